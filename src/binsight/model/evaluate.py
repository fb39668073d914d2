"""Measure a model on a dataset: which photos, how good, beside which blind answers.

```
Selection ─▶ predict_all ─▶ Predictions ─▶ seen before? ─▶ measure ─▶ Evaluation ─▶ write_evaluation (evaluation_page.py)
```
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from binsight.dataset.manifest import Dataset, LabelledPhoto, Split, further_columns
from binsight.decision.certificate import Certificate
from binsight.decision.measures import Measured, Range, count_prior, measure, measure_ranges
from binsight.decision.scores import Floats, PhotoScores, photo_scores
from binsight.errors import BadInput
from binsight.model.familiar import Familiar, Look, nobody_looked
from binsight.model.predictor import Predictions, Predictor, is_tempered, predict_all
from binsight.model.readability import Readability, readability
from binsight.model.verification import Verification, are_chosen_by_count, verification

DEFAULT_BY = "kind"
"""The column that slices a report where the dataset has it and no other is asked for."""

MAX_VALUES = 30
"""A column with more values than this makes slices of a few photos each, which say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The photos to measure on, and the training photos of the same sort, whose counts the blind answers use.

    `prior_from` says where those come from: the train split under the same conditions or, where that has none,
    the measured photos themselves, which makes the blind answers better than blind.
    """

    split: Split
    where: Mapping[str, tuple[str, ...]]
    photos: tuple[LabelledPhoto, ...]
    prior_photos: tuple[LabelledPhoto, ...]
    prior_from: str

    @property
    def text(self) -> str:
        """The selection in words: `test, in_file_list = 1`."""
        conditions = [f"{column} = {' or '.join(values)}" for column, values in self.where.items()]
        return ", ".join([self.split, *conditions])


def select(dataset: Dataset, split: Split, where: Mapping[str, Sequence[str]]) -> Selection:
    """The photos of a split for which every column of `where` has one of its values.

    Raises `BadInput` for a column that the dataset does not have and for a selection without photos.
    """
    check_columns(dataset, where)
    wanted = {column: tuple(values) for column, values in where.items()}

    def holds(photo: LabelledPhoto) -> bool:
        return all(value_of(photo, column) in values for column, values in wanted.items())

    photos = dataset.select(split, where=holds)
    if not photos:
        raise BadInput(_empty_message(dataset, split, wanted))
    train = dataset.select("train", where=holds)
    return Selection(
        split=split,
        where=wanted,
        photos=photos,
        prior_photos=train or photos,
        prior_from="the train split" if train else "the measured photos themselves",
    )


def columns_of(dataset: Dataset) -> tuple[str, ...]:
    """The columns that photos can be chosen and sliced by: those of the manifest."""
    own = (field.name for field in fields(LabelledPhoto) if field.name != "extras")
    return (*own, *further_columns(dataset.photos))


def value_of(photo: LabelledPhoto, column: str) -> str:
    """A photo's value in a column, as text; empty where it has none."""
    return photo.extras.get(column, "") if column not in _OWN_COLUMNS else str(getattr(photo, column))


_OWN_COLUMNS = frozenset(field.name for field in fields(LabelledPhoto)) - {"extras"}


def check_columns(dataset: Dataset, wanted: Mapping[str, Any] | Sequence[str]) -> None:
    """Raises `BadInput` naming the columns that exist where a wanted one does not."""
    columns = columns_of(dataset)
    for column in wanted:
        if column not in columns:
            raise BadInput(f"{dataset.folder} has no column {column}; it has {', '.join(columns)}")


def _empty_message(dataset: Dataset, split: Split, where: Mapping[str, tuple[str, ...]]) -> str:
    in_split = dataset.select(split)
    if not in_split:
        held = Counter(photo.split for photo in dataset.photos)
        have = ", ".join(f"{name} {num}" for name, num in held.items()) or "none at all"
        return f"{dataset.folder} has no photos in its split {split} (photos by split: {have}); name another"
    seen = []
    for column, values in where.items():
        most = Counter(value_of(photo, column) for photo in in_split).most_common(8)
        seen.append(f"{column} = {' or '.join(values)}, where it holds " + ", ".join(v or "''" for v, _ in most))
    return f"no photo of the split {split} has {'; and '.join(seen)}; choose a value that occurs together"


UNTEMPERED = (
    "A run's answers are not tempered yet: its probabilities, what could be verified by them and what is flagged are not "
    "those of its bundle, for which export fits a temperature. Evaluate the bundle for these; which counts are answered "
    "stays the same."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What was measured. `by` maps a column to its values, each with the ranges measured on its photos.

    `tempered` says whether the answers are those that will be counted with, as a bundle's are and a run's are not.
    """

    model: str
    dataset: Dataset
    selection: Selection
    predictions: Predictions
    familiar: Familiar
    photo_scores: PhotoScores
    prior_K: Floats
    ranges: dict[Range, Measured]
    by_count: dict[int, Measured]
    by: dict[str, dict[str, dict[Range, Measured]]]
    verification: Verification
    readability: Readability
    tempered: bool = True

    @property
    def num_counts(self) -> int:
        """K: counts from 0, where the last stands for this many or more."""
        return len(self.prior_K)

    def count_name(self, count: int) -> str:
        """`7`, or `20+` for the last one."""
        return f"{count}+" if count == self.num_counts - 1 else str(count)


def evaluate(
    name: str,
    model: Predictor,
    dataset: Dataset,
    selection: Selection,
    *,
    by: Sequence[str] | None = None,
    certificate: Certificate | None = None,
    readable_from: float | None = None,
    look: Look = nobody_looked,
) -> Evaluation:
    """Ask the model about the selected photos and measure its answers.

    `by` names the columns whose values are measured apart; without it, `kind` where the dataset has it.
    `certificate` and `readable_from` are the bundle's, to be tested on these photos; `look` finds out which of them the
    model has seen. Raises `BadInput` for a column
    that does not exist or has too many values, and as `predict_all` and `verification` do.
    """
    by = _sliceable(dataset, selection.photos, by)
    predictions = predict_all(model, dataset, selection.photos)
    familiar = look(predictions.photos)
    probs_BK, counts_B, groups = predictions.probs_BK, predictions.counts_B, predictions.groups
    num_counts = probs_BK.shape[1]
    prior_K = count_prior([photo.count for photo in selection.prior_photos], num_counts)
    capped_B = np.minimum(counts_B, num_counts - 1)

    def ranges_where(chosen: list[int]) -> dict[Range, Measured]:
        return measure_ranges(probs_BK[chosen], counts_B[chosen], [groups[i] for i in chosen], prior_K)

    by_count = {}
    for count in np.unique(capped_B).tolist():
        chosen = np.flatnonzero(capped_B == count).tolist()
        measured = measure(probs_BK[chosen], counts_B[chosen], [groups[i] for i in chosen], prior_K)
        assert measured is not None
        by_count[count] = measured
    by_value: dict[str, dict[str, dict[Range, Measured]]] = {}
    for column in by:
        places: dict[str, list[int]] = {}
        for i, photo in enumerate(predictions.photos):
            places.setdefault(value_of(photo, column), []).append(i)
        by_value[column] = {value: ranges_where(places[value]) for value in sorted(places)}
    return Evaluation(
        model=name,
        dataset=dataset,
        selection=selection,
        predictions=predictions,
        familiar=familiar,
        photo_scores=photo_scores(probs_BK, counts_B),
        prior_K=prior_K,
        ranges=ranges_where(list(range(len(counts_B)))),
        by_count=by_count,
        by=by_value,
        verification=verification(
            predictions,
            prior_K,
            dataset_sha256=dataset.digest,
            split=selection.split,
            by_count="count" in selection.where
            or are_chosen_by_count(selection.photos, dataset.select(selection.split)),
            bundle=certificate,
            familiar=familiar,
        ),
        readability=readability(predictions, dataset, readable_from),
        tempered=is_tempered(model),
    )


def _sliceable(dataset: Dataset, photos: Sequence[LabelledPhoto], by: Sequence[str] | None) -> tuple[str, ...]:
    if by is None:
        return (DEFAULT_BY,) if DEFAULT_BY in columns_of(dataset) else ()
    check_columns(dataset, by)
    for column in by:
        num_values = len({value_of(photo, column) for photo in photos})
        if num_values > MAX_VALUES:
            raise BadInput(
                f"a column to report by must have at most {MAX_VALUES} values, but {column} has {num_values:,} "
                "in the selected photos; choose a coarser one"
            )
    return tuple(dict.fromkeys(by))
