"""The promotion set: photos with counts that nobody learned from, frozen before the first challenger is asked about them.

Its identity is the hash of its photos' bytes, counts and chains, whatever folder they lie in. When it was frozen, and how
many challengers it has judged, the ledger knows (storage/ledger/promotions.py).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from binsight.dataset.manifest import Dataset, LabelledPhoto, Split
from binsight.errors import BadInput
from binsight.lifecycle.comparison import SetFacts
from binsight.model.evaluate import select
from binsight.storage.ledger import Promotions


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionSet:
    """Photos of one split of a dataset under a name, and what the ledger knows of them once they are frozen."""

    name: str
    dataset: Dataset
    split: Split
    where: Mapping[str, tuple[str, ...]]
    photos: tuple[LabelledPhoto, ...]
    sha256: str
    frozen_sha256: str = ""
    frozen_at: str = ""
    shared_with: str = ""

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        split: Split = "test",
        where: Mapping[str, Sequence[str]] | None = None,
        name: str = "",
    ) -> "PromotionSet":
        """The photos of a split for which every column of `where` has one of its values.

        The name is FOLDER/SPLIT where none is given. Raises as `Dataset.open` and `select` do, and `BadInput` for photos
        chosen by their count: a model may win there by answering that count always.
        """
        dataset = Dataset.open(folder)
        if where and "count" in where:
            raise BadInput("a promotion set must have all counts, but is chosen by count; choose by another column")
        chosen = select(dataset, split, where or {})
        conditions = [f"{column}={','.join(values)}" for column, values in chosen.where.items()]
        return cls(
            name=name or "/".join([folder.resolve().name, split, *conditions]),
            dataset=dataset,
            split=split,
            where=chosen.where,
            photos=chosen.photos,
            sha256=digest_of(chosen.photos),
        )

    @property
    def facts(self) -> SetFacts:
        """What a comparison keeps of it, before anybody has looked."""
        return SetFacts(
            name=self.name,
            dataset_sha256=self.dataset.digest,
            split=self.split,
            where=self.where,
            sha256=self.sha256,
            num_photos=len(self.photos),
            num_groups=len({photo.group for photo in self.photos}),
            frozen_sha256=self.frozen_sha256,
            frozen_at=self.frozen_at,
            shared_with=self.shared_with,
        )


def digest_of(photos: Sequence[LabelledPhoto]) -> str:
    """The identity of labelled photos, in whatever order."""
    rows = sorted([photo.sha256, photo.photo, photo.count, photo.group] for photo in photos)
    return sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()


def freeze(promotions: Promotions, promotion_set: PromotionSet, *, by: str) -> PromotionSet:
    """The set as it was frozen under its name; now, where it never was. What is frozen does not change any more."""
    frozen = promotions.freeze(
        promotion_set.name,
        sha256=promotion_set.sha256,
        dataset_sha256=promotion_set.dataset.digest,
        split=promotion_set.split,
        photos=[photo.sha256 for photo in promotion_set.photos],
        by=by,
    )
    return replace(
        promotion_set, frozen_sha256=frozen.sha256, frozen_at=frozen.frozen_at, shared_with=frozen.shared_with
    )
