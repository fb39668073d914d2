"""Which records a model could verify on the measured photos: thresholds certified there, and a bundle's own."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from binsight.dataset.manifest import LabelledPhoto, Split
from binsight.decision.certificate import Certificate
from binsight.decision.certify import certify
from binsight.decision.confirm import BandCheck, Finding, confirm
from binsight.decision.scores import Floats
from binsight.errors import BadInput
from binsight.model.familiar import Familiar
from binsight.model.predictor import Predictions

CHOSEN_ON: dict[Split, str] = {
    "train": "The model has learned from these photos, so their thresholds are of no use on others.",
    "val": "Such photos chose the model too; confirm these thresholds on photos that chose nothing.",
    "test": "Thresholds found here have looked at the counts of these photos: other photos must confirm them.",
}

CHOSEN_BY_COUNT = (
    "These photos were chosen by their count, so wrong records of other counts are missing, and no figure of verified "
    "records tells how it would be on all."
)

_EXPECTED = 5
"""So many photos of a count chance leaves out altogether once in 150 times."""


def are_chosen_by_count(photos: Sequence[LabelledPhoto], of_split: Sequence[LabelledPhoto]) -> bool:
    """Whether photos lack a count that their split has, more than by chance: by whatever column they were chosen.

    A column may say by another name how the photos were collected, such as a list of bins with one to five items.
    """
    held, share = {photo.count for photo in photos}, len(photos) / len(of_split)
    left_out = Counter(photo.count for photo in of_split if photo.count not in held)
    return any(share * number >= _EXPECTED for number in left_out.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """`here` is certified on the measured photos themselves; `checks` is what the bundle's certificate does on them.

    `bundle` is None for a run and for a bundle without a certificate. `checks` is None where there is no `bundle`, or
    where these photos cannot confirm its certificate: it is from these very ones, or the model has seen some of them.
    `doubt` says that, or that it is not known, or that the photos were chosen `by_count`; empty where none is so.
    """

    here: Certificate
    bundle: Certificate | None
    checks: tuple[BandCheck, ...] | None
    doubt: str = ""
    by_count: bool = False

    def finding(self, check: BandCheck) -> Finding:
        """What the photos say of a bound. Where they are in doubt, they confirm none, however few wrong records pass."""
        return "not contradicted" if self.doubt and check.finding == "confirmed" else check.finding

    def as_json(self) -> dict[str, Any]:
        """Both certificates, and what the bundle's does here."""
        return {
            "certified_on_these_photos": self.here.as_json(),
            "bundle_certificate": None if self.bundle is None else self.bundle.as_json(),
            "bundle_on_these_photos": None
            if self.checks is None
            else [check.as_json() | {"finding": self.finding(check)} for check in self.checks],
            "doubt": self.doubt,
        }


def verification(
    predictions: Predictions,
    prior_K: Floats,
    *,
    dataset_sha256: str,
    split: Split,
    by_count: bool,
    bundle: Certificate | None,
    familiar: Familiar,
) -> Verification:
    """Certify on the measured photos and, where it is from others that the model has not seen, put the bundle's
    certificate to the test.

    `by_count` says that the photos were chosen by their count: the certificate then warns of it, and they confirm none.

    Raises `BadInput` where the certificate is for another number of counts than the model gives.
    """
    here = certify(
        predictions.probs_BK,
        predictions.counts_B,
        predictions.groups,
        prior_K,
        dataset_sha256=dataset_sha256,
        split=split,
        note=f"{CHOSEN_ON[split]} {CHOSEN_BY_COUNT}" if by_count else CHOSEN_ON[split],
    )
    checks, doubt = None, ""
    if bundle is not None:
        if bundle.num_counts != here.num_counts:
            raise BadInput(
                f"the bundle's certificate must be for its {here.num_counts} counts, but is for {bundle.num_counts}; "
                "export the bundle again"
            )
        if (bundle.dataset_sha256, bundle.split) == (dataset_sha256, split):
            doubt = "The bundle's certificate is from these very photos, which cannot confirm it."
        elif familiar.num_seen:
            doubt = "The model has seen photos among these, which cannot confirm the bundle's certificate."
        else:
            checks = confirm(bundle, predictions.probs_BK, predictions.counts_B, predictions.groups)
            doubt = " ".join(_doubts(familiar, by_count=by_count))
    return Verification(here=here, bundle=bundle, checks=checks, doubt=doubt, by_count=by_count)


def _doubts(familiar: Familiar, *, by_count: bool) -> Iterator[str]:
    """Why bounds that hold on the measured photos are not confirmed by them."""
    if by_count:
        yield "Photos that were chosen by their count cannot confirm it."
    if familiar.not_known:
        yield "That confirms nothing as long as it is not known whether the model has learned from these photos."
