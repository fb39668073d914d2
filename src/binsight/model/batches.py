"""Batches of normalised photos, in an order that depends on nothing but seed and epoch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from binsight.dataset.manifest import Dataset, LabelledPhoto, Split, further_columns
from binsight.errors import BadDataset, BadRecipe
from binsight.imaging import Preprocessing, images_BCHW
from binsight.model.drawn_photos import drawn_counts
from binsight.model.pixels import cached_pixels
from binsight.model.recipe import Recipe
from binsight.model.recompress import recompressed

Batch = tuple[Tensor, Tensor]
"""`images_BCHW`, and the photos' places (B,) in their split."""


def wanted_photos(dataset: Dataset, recipe: Recipe, split: Split) -> tuple[LabelledPhoto, ...]:
    """The photos of a split that the recipe asks for; beside `train`, the natural ones among them.

    Raises `BadDataset` where they are fewer than two, `BadRecipe` as `check_chosen_by` does.
    """
    data = recipe.data
    check_chosen_by(dataset, recipe)
    chosen = dataset.select(split, where=lambda photo: matches(photo, data.where))
    if split != "train":
        chosen = tuple(photo for photo in chosen if matches(photo, data.natural))
    if split == "train" and recipe.data.most is not None and recipe.data.most < len(chosen):
        kept = np.random.default_rng(recipe.seed).choice(len(chosen), recipe.data.most, replace=False)
        chosen = tuple(chosen[index] for index in sorted(kept))
    if len(chosen) < 2:
        raise BadDataset(
            f"{dataset.folder} must have at least 2 {split} photos that the recipe asks for, but has {len(chosen)}"
        )
    return chosen


def check_chosen_by(dataset: Dataset, recipe: Recipe) -> None:
    """Raises `BadRecipe` where `data.where` or `data.natural` names a column by which no photo can be chosen."""
    _check_columns(dataset, "data.where", recipe.data.where)
    _check_columns(dataset, "data.natural", recipe.data.natural)


def check_columns(dataset: Dataset, recipe: Recipe) -> None:
    """Raises `BadRecipe` where the recipe names a column, to choose by or to learn, that came with no photo."""
    check_chosen_by(dataset, recipe)
    _check_columns(dataset, "data.weight", [recipe.data.weight] if recipe.data.weight else [])
    _check_columns(dataset, "model.auxiliary", recipe.model.auxiliary)


def _check_columns(dataset: Dataset, field: str, columns: Iterable[str]) -> None:
    """Raises `BadRecipe` for a column that came with no photo, which is a misspelt one."""
    for column in columns:
        if not any(column in photo.extras for photo in dataset.photos):
            have = ", ".join(further_columns(dataset.photos)) or "none"
            raise BadRecipe(
                f"{field} must name columns that came with labels or records, which in {dataset.folder} are {have}, but "
                f"names {column}; mend the recipe"
            )


class Photos:
    """One split as the trainer uses it: pixels (N, size, size, 3), counts (N,), whether they come naturally (N,), weights
    (N,) of mean 1. The last `num_drawn` of a `train` split are drawn bins, which no photo of `chosen` stands for.

    Raises `BadDataset` as `wanted_photos` does, and where no photo is natural; `BadRecipe` for a column that is not there.
    """

    def __init__(self, dataset: Dataset, recipe: Recipe, split: Split) -> None:
        chosen = wanted_photos(dataset, recipe, split)
        check_columns(dataset, recipe)
        self.num_drawn = num_drawn = recipe.data.drawn if split == "train" else 0
        counts = np.array([photo.count for photo in chosen])
        self.counts: npt.NDArray[np.int64] = np.concatenate([counts, drawn_counts(num_drawn)])
        is_natural = [matches(photo, recipe.data.natural) for photo in chosen]
        if not any(is_natural):
            raise BadDataset(f"{dataset.folder} has no {split} photo of those that data.natural asks for")
        self.is_natural = np.array([*is_natural, *[False] * num_drawn])
        self.chosen = chosen
        self.weights = np.append(_weights(chosen, recipe.data.weight), np.ones(num_drawn, np.float32))
        self.pixels = cached_pixels(dataset, chosen, recipe.data.preprocessing, num_drawn=num_drawn)

    def __len__(self) -> int:
        return len(self.counts)

    def auxiliary_NA(self, columns: Sequence[str]) -> npt.NDArray[np.float32]:
        """The logarithms of the columns' numbers, standardised; not a number where a photo, or a drawn bin, has none.

        Raises `BadDataset` for a column that holds something else, or only one number.
        """
        values_NA = np.array([[_number(photo, column) for column in columns] for photo in self.chosen])
        for column, values_N in zip(columns, values_NA.T, strict=True):
            if len(np.unique(values_N[~np.isnan(values_N)])) < 2:
                raise BadDataset(f"the dataset's column {column} has fewer than 2 different numbers to learn from")
        logs_NA = np.log1p(values_NA)
        standard_NA: npt.NDArray[np.float32] = (logs_NA - np.nanmean(logs_NA, axis=0)) / np.nanstd(logs_NA, axis=0)
        unknown_DA = np.full((self.num_drawn, len(columns)), np.nan)
        return np.concatenate([standard_NA, unknown_DA]).astype(np.float32)


def matches(photo: LabelledPhoto, where: Mapping[str, Sequence[str]]) -> bool:
    """Whether the photo has one of the wanted values in every column named."""
    return all(photo.extras.get(column) in values for column, values in where.items())


def _weights(photos: Sequence[LabelledPhoto], column: str | None) -> npt.NDArray[np.float32]:
    """How much each photo counts, 1 on average; 1 where it does not say. Raises `BadDataset` for what is no weight."""
    if column is None:
        return np.ones(len(photos), np.float32)
    values = np.array([_number(photo, column) if photo.extras.get(column) else 1.0 for photo in photos])
    if not values.sum():
        raise BadDataset(f"the dataset's column {column} must give some photo a weight above 0, but gives none")
    weights: npt.NDArray[np.float32] = (values / values.mean()).astype(np.float32)
    return weights


def _number(photo: LabelledPhoto, column: str) -> float:
    """The photo's number; not a number where its column is empty. Raises `BadDataset` where it holds something else."""
    text = photo.extras.get(column, "")
    if not text:
        return float("nan")
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise BadDataset(
            f"the dataset's column {column} must hold numbers of 0 or more, but holds {text!r} for photo {photo.photo}; "
            "prepare it again with a number there, or with nothing where none is known"
        )
    return value


def batch_order(num_photos: int, batch_size: int, *, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Indices (batches, batch_size) of one epoch: every photo once, but for the few that fill no batch."""
    batch_size = min(batch_size, num_photos)
    order = np.random.default_rng([seed, epoch]).permutation(num_photos)
    num_batches = num_photos // batch_size  # a last, smaller batch would upset batch statistics
    return order[: num_batches * batch_size].reshape(num_batches, batch_size)


class _Batches(TorchDataset[Batch]):
    """Item i is the i-th batch of the order: one gather, some photos saved again, one normalisation."""

    def __init__(
        self,
        pixels_NHWC: npt.NDArray[np.uint8],
        preprocessing: Preprocessing,
        order: Sequence[npt.NDArray[np.int64]],
        jpeg: float,
    ) -> None:
        self.pixels, self.preprocessing, self.order, self.jpeg = pixels_NHWC, preprocessing, order, jpeg

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> Batch:
        # Sorted, so that a mapped file is read forwards; the order within a batch does not matter.
        chosen = np.sort(self.order[index])
        pixels_NHWC = np.asarray(self.pixels[chosen])
        if self.jpeg:  # drawn by the batch's photos, so that a run that was stopped draws the same
            pixels_NHWC = recompressed(pixels_NHWC, self.jpeg, np.random.default_rng(chosen))
        images = images_BCHW(pixels_NHWC, self.preprocessing)
        return torch.from_numpy(images), torch.from_numpy(chosen)


def batches(
    pixels_NHWC: npt.NDArray[np.uint8],
    preprocessing: Preprocessing,
    order: Sequence[npt.NDArray[np.int64]],
    *,
    jpeg: float = 0.0,
    workers: int = 0,
    pin_memory: bool = False,
) -> Iterator[Batch]:
    """Yield a `Batch` for every row of `order`, prepared ahead by `workers` processes if any.

    A share of `jpeg` of the photos is saved again (`recompressed`).
    """
    dataset = _Batches(pixels_NHWC, preprocessing, order, jpeg)
    yield from DataLoader(dataset, batch_size=None, num_workers=workers, pin_memory=pin_memory)
