"""A certificate's thresholds on photos that it was not made from: what they verify there. Pure functions.

A model is chosen and tempered on some photos, and certified on the same where there are no others. Photos that chose
nothing then say whether the bound holds.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from binsight.decision.certificate import Band, BandCertificate, Certificate, binomial_tail
from binsight.decision.certify import coverage_of, in_band, one_a_chain, upper_bounds
from binsight.decision.resample import CONFIDENCE, Interval
from binsight.decision.scores import Floats, Ints, checked_counts, checked_probs

Finding = Literal["confirmed", "not contradicted", "broken", "not tried"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BandCheck:
    """What one certified threshold does on other photos.

    `false_accepts` is the share of wrong records accepted, one a chain as in `certify.py`, with the exact 95%
    interval; None where there is no wrong record. `coverage` is the share of right records accepted.
    """

    certified: BandCertificate
    num_wrong: int
    num_accepted: int
    false_accepts: float | None
    false_accepts_interval: Interval
    num_right: int
    coverage: float
    coverage_interval: Interval | None

    @property
    def finding(self) -> Finding:
        """Whether these photos by themselves show the bound to hold, show it not to, or are too few for either."""
        if not self.num_wrong:
            return "not tried"
        if self.false_accepts_interval.low > self.certified.alpha:
            return "broken"
        return "confirmed" if self.false_accepts_interval.high <= self.certified.alpha else "not contradicted"

    def as_json(self) -> dict[str, Any]:
        """The band, the bound and the threshold, and what they did."""
        certified = {name: getattr(self.certified, name) for name in ("low", "high", "alpha", "threshold")}
        measured = asdict(self)
        del measured["certified"]
        return certified | measured | {"finding": self.finding}


def confirm(
    certificate: Certificate, probs_BK: npt.ArrayLike, counts_B: npt.ArrayLike, groups: Sequence[str]
) -> tuple[BandCheck, ...]:
    """Apply every certified threshold to these photos.

    Raises `ValueError` where the arrays do not fit together or the certificate is for another number of counts.
    """
    probs = checked_probs(probs_BK)
    counts = checked_counts(counts_B, num_photos=len(probs))
    if len(groups) != len(probs):
        raise ValueError(f"groups must name one group per photo ({len(probs)}), but got {len(groups)}")
    if certificate.num_counts != probs.shape[1]:
        raise ValueError(
            f"the certificate is for estimates of {certificate.num_counts} counts, but these have {probs.shape[1]}"
        )
    checks = []
    for certified in certificate.certified:
        assert certified.threshold is not None
        band = Band(certified.low, certified.high)
        num_wrong, num_accepted = _tried(certified, probs, counts, groups, seed=certificate.seed)
        coverage, interval = coverage_of(certified.threshold, probs, counts, groups, band)
        checks.append(
            BandCheck(
                certified=certified,
                num_wrong=num_wrong,
                num_accepted=num_accepted,
                false_accepts=num_accepted / num_wrong if num_wrong else None,
                false_accepts_interval=binomial_interval(num_accepted, num_wrong),
                num_right=int(in_band(counts, band).sum()),
                coverage=coverage,
                coverage_interval=interval,
            )
        )
    return tuple(checks)


def broken_bands(
    certificate: Certificate,
    probs_BK: Floats,
    counts_B: Ints,
    groups: Sequence[str],
    *,
    alpha: float,
    level: float,
) -> tuple[BandCertificate, ...]:
    """The bands certified at `alpha` whose bound these photos show not to hold.

    If all hold, any is found broken with a probability of at most `level`, which the bands share (Bonferroni).
    """
    certified = [band for band in certificate.certified if band.alpha == alpha]

    def is_broken(band: BandCertificate) -> bool:
        num_wrong, num_accepted = _tried(band, probs_BK, counts_B, groups, seed=certificate.seed)
        p = 1 - binomial_tail(num_accepted - 1, num_wrong, alpha) if num_accepted else 1.0
        return p <= level / len(certified)

    return tuple(band for band in certified if is_broken(band))


def _tried(
    certified: BandCertificate, probs_BK: Floats, counts_B: Ints, groups: Sequence[str], *, seed: int
) -> tuple[int, int]:
    """How many wrong records the band has, one a chain, and how many of them its threshold accepts."""
    drawn = one_a_chain(probs_BK, counts_B, groups, Band(certified.low, certified.high), seed=seed)
    accepted_W = probs_BK[drawn.photo_W, drawn.recorded_W] >= (certified.threshold or 1.0)
    return len(drawn), int(accepted_W.sum())


def binomial_interval(num_accepted: int, num_cases: int) -> Interval:
    """The exact 95% interval of Clopper and Pearson; all of 0 to 1 without cases."""
    # Acceptances and refusals are bounded alike, half of what may be missed at either end.
    either = np.array([num_accepted, num_cases - num_accepted], dtype=np.int64)
    accepted, refused = upper_bounds(either, num_cases, delta=(1 - CONFIDENCE) / 2).tolist()
    return Interval(low=1 - refused, high=accepted)
