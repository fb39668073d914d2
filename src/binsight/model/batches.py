"""Batches of normalised photos, in an order that depends on nothing but seed and epoch."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from binsight.dataset.manifest import Dataset, LabelledPhoto, Split
from binsight.errors import BadDataset
from binsight.imaging import Preprocessing, images_BCHW
from binsight.model.pixels import cached_pixels
from binsight.model.recipe import Recipe

Batch = tuple[Tensor, Tensor]


def wanted_photos(dataset: Dataset, recipe: Recipe, split: Split) -> tuple[LabelledPhoto, ...]:
    """The photos of a split that the recipe asks for. Raises `BadDataset` where they are fewer than two."""
    chosen = dataset.select(split, where=lambda photo: _matches(photo, recipe.data.where))
    if split == "train" and recipe.data.most is not None and recipe.data.most < len(chosen):
        kept = np.random.default_rng(recipe.seed).choice(len(chosen), recipe.data.most, replace=False)
        chosen = tuple(chosen[index] for index in sorted(kept))
    if len(chosen) < 2:
        raise BadDataset(
            f"{dataset.folder} must have at least 2 {split} photos that the recipe asks for, but has {len(chosen)}"
        )
    return chosen


class Photos:
    """One split as the trainer uses it: pixels (N, size, size, 3) and counts (N,)."""

    def __init__(self, dataset: Dataset, recipe: Recipe, split: Split) -> None:
        chosen = wanted_photos(dataset, recipe, split)
        self.counts: npt.NDArray[np.int64] = np.array([photo.count for photo in chosen])
        self.pixels = cached_pixels(dataset, chosen, recipe.data.preprocessing)

    def __len__(self) -> int:
        return len(self.counts)


def _matches(photo: LabelledPhoto, where: Mapping[str, Sequence[str]]) -> bool:
    return all(photo.extras.get(column) in values for column, values in where.items())


def batch_order(num_photos: int, batch_size: int, *, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Indices (batches, batch_size) of one epoch: every photo once, but for the few that fill no batch."""
    batch_size = min(batch_size, num_photos)
    order = np.random.default_rng([seed, epoch]).permutation(num_photos)
    num_batches = num_photos // batch_size  # a last, smaller batch would upset batch statistics
    return order[: num_batches * batch_size].reshape(num_batches, batch_size)


class _Batches(TorchDataset[Batch]):
    """Item i is the i-th batch of the order: one gather, one normalisation."""

    def __init__(
        self,
        pixels_NHWC: npt.NDArray[np.uint8],
        counts_N: npt.NDArray[np.int64],
        preprocessing: Preprocessing,
        order: Sequence[npt.NDArray[np.int64]],
    ) -> None:
        self.pixels, self.counts, self.preprocessing, self.order = pixels_NHWC, counts_N, preprocessing, order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> Batch:
        # Sorted, so that a mapped file is read forwards; the order within a batch does not matter.
        chosen = np.sort(self.order[index])
        images = images_BCHW(np.asarray(self.pixels[chosen]), self.preprocessing)
        return torch.from_numpy(images), torch.from_numpy(self.counts[chosen])


def batches(
    pixels_NHWC: npt.NDArray[np.uint8],
    counts_N: npt.NDArray[np.int64],
    preprocessing: Preprocessing,
    order: Sequence[npt.NDArray[np.int64]],
    *,
    workers: int = 0,
    pin_memory: bool = False,
) -> Iterator[Batch]:
    """Yield (`images_BCHW`, `counts_B`) for every row of `order`, prepared ahead by `workers` processes if any."""
    dataset = _Batches(pixels_NHWC, counts_N, preprocessing, order)
    yield from DataLoader(dataset, batch_size=None, num_workers=workers, pin_memory=pin_memory)
