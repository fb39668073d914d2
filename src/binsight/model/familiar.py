"""What a model has seen of the photos that judge it: it answers those from memory, which tells nothing of others."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from binsight.dataset.manifest import LabelledPhoto, Split

OF_ITS_OWN: dict[Split, str] = {
    "train": "The model has learned from these photos, so expect less of it on others.",
    "val": "The model was chosen by such photos, so expect a little less of it on others.",
    "test": "The dataset keeps these photos, and all others of the same chains, out of what models learn from.",
}
"""What the split of a dataset says to a model that was trained on that very dataset, and on nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Familiar:
    """Of `num_photos` photos the model has learned from `num_seen`, or was chosen by them, as far as that is known.

    `datasets` are the hashes of those that it says it has learned from. `own_split` is the split of the photos where one
    of them is the dataset that judges. `first` says of one photo how it was seen, `not_known` what nobody knows, as a
    clause; both are empty where there is nothing to say.
    """

    datasets: tuple[str, ...] = ()
    own_split: Split | None = None
    num_photos: int = 0
    num_seen: int = 0
    first: str = ""
    not_known: str = ""

    @property
    def warns(self) -> bool:
        """Whether the figures must not be taken for those on photos that the model has not seen."""
        return bool(self.num_seen or self.not_known)

    @property
    def sentence(self) -> str:
        """What it means for the figures."""
        if self.own_split is not None and (self.own_split != "test" or not self.warns):
            return OF_ITS_OWN[self.own_split]
        if not self.warns:
            return (
                "The model has learned from none of these photos, from none that is nearly the same picture, and from none "
                "of the same chains of bins."
            )
        if not self.num_seen:
            return f"Whether the model has learned from these photos is not known: {self.not_known}."
        more = f" There may be more: {self.not_known}." if self.not_known else ""
        return (
            f"The model has learned from {self.num_seen:,} of these {self.num_photos:,} photos, or was chosen by them "
            f"({self.first}), so that the figures do not tell how good it is on others: measure it on photos that it has "
            f"not seen.{more}"
        )

    def as_json(self) -> dict[str, Any]:
        """As `metrics.json` holds it."""
        return asdict(self) | {"datasets": list(self.datasets), "sentence": self.sentence}


Look = Callable[[Sequence[LabelledPhoto]], Familiar]
"""Finds out what a model has seen of the photos that it was asked about."""


def nobody_looked(photos: Sequence[LabelledPhoto]) -> Familiar:
    """For models of which nothing is told but their answers."""
    return Familiar(num_photos=len(photos), not_known="nobody has looked what it was trained on")
