"""Small worlds for tests of evaluation: drawn datasets, and models that answer by rule."""

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from binsight.dataset.manifest import (
    MANIFEST_NAME,
    SUMMARY_NAME,
    Dataset,
    LabelledPhoto,
    Split,
    write_manifest,
)

NUM_COUNTS = 21


def dataset_of(folder: Path, labels: Sequence[tuple[Split, int, str]], *, kind: bool = True) -> Dataset:
    """A dataset of grey squares, one for each (split, count, group); every other one is of kind `b`."""
    jpeg = io.BytesIO()
    Image.new("RGB", (48, 32), "grey").save(jpeg, "JPEG")
    photos = []
    for i, (split, count, group) in enumerate(labels):
        name = f"{i:04d}"
        (folder / split).mkdir(parents=True, exist_ok=True)
        (folder / split / f"{name}.jpg").write_bytes(jpeg.getvalue())
        photos.append(
            LabelledPhoto(
                photo=name,
                file=f"{split}/{name}.jpg",
                count=count,
                split=split,
                group=group,
                sha256="",
                width=48,
                height=32,
                extras={"kind": "ab"[i % 2], "site": "north"} if kind else {},
            )
        )
    digest = write_manifest(folder / MANIFEST_NAME, tuple(photos))
    (folder / SUMMARY_NAME).write_text(json.dumps({"sha256": digest}))
    return Dataset.open(folder)


def everyday(folder: Path) -> Dataset:
    """300 training and 120 test photos with counts 0 … 12 in pairs; 3 is the most frequent."""
    rng = np.random.default_rng(0)
    counts = rng.choice(13, size=420, p=[0.04, 0.12, 0.16, 0.24, 0.16, 0.1, 0.06, *[0.02] * 6])
    return dataset_of(
        folder,
        [("train" if i < 300 else "test", int(count), f"g{i // 2}") for i, count in enumerate(counts)],
    )


class Rule:
    """A predictor that computes each photo's distribution from its label: a model as good as the rule."""

    def __init__(self, row: Callable[[LabelledPhoto], np.ndarray]) -> None:
        self.row = row

    def predict(self, dataset: Dataset, photos: Sequence[LabelledPhoto]) -> np.ndarray:
        for photo in photos:
            Image.open(io.BytesIO(dataset.read_bytes(photo))).load()
        return np.array([self.row(photo) for photo in photos])


def around(centre: float, *, spread: float = 0.7, num_counts: int = NUM_COUNTS) -> np.ndarray:
    """A distribution that falls off on both sides of a count."""
    weights = np.exp(-np.abs(np.arange(num_counts) - centre) / spread)
    return weights / weights.sum()


def seeing(noise: float = 1.0, *, num_counts: int = NUM_COUNTS) -> Rule:
    """A model that sees the count up to an error of its own for each photo."""

    def row(photo: LabelledPhoto) -> np.ndarray:
        error = np.random.default_rng(int(photo.photo)).normal(0, noise)
        return around(max(0.0, photo.count + error), num_counts=num_counts)

    return Rule(row)
