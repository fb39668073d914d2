"""Folds of a dataset: every chain of bins is held out once, for a network that has seen no photo of it.

A fold is a dataset like any other, so that whatever trains on datasets trains on it. It holds no photo but a link to the
dataset it is made from:

```
FOLD/
├── dataset.json        the manifest's sha256, the whole dataset's, and which fold of how many this is
├── manifest.parquet    the same photos, split anew: `test` is held out, `train` and `val` are of the other chains
└── photos              a symbolic link to the whole dataset
```
"""

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from binsight.dataset.bulk import no_garbage_collected
from binsight.dataset.manifest import MANIFEST_NAME, SUMMARY_NAME, Dataset, LabelledPhoto, Split, write_manifest
from binsight.dataset.split import hashed_position
from binsight.errors import BadInput, StorageFailure
from binsight.storage.files import make_folder, written_whole

PHOTOS_NAME = "photos"

VAL_SHARE = 0.1
"""Part of the photos that are not held out by which the best epoch is chosen. The held-out ones may not choose it: they
would be judged by the network that likes their records best."""


@no_garbage_collected()
def deal(photos: Sequence[LabelledPhoto], *, num_folds: int, seed: int) -> dict[str, int]:
    """The fold of every chain: in the order of their keyed hashes, each goes to the fold with the fewest photos.

    Raises `BadInput` where there are not two folds, or fewer chains than folds.
    """
    sizes = Counter(photo.group for photo in photos)
    if not 2 <= num_folds <= len(sizes):
        raise BadInput(
            f"the folds must be at least 2 and at most as many as the {len(sizes)} chains of bins of the "
            f"{len(photos)} photos, but are {num_folds}; choose another number with --folds"
        )
    held = [0] * num_folds
    fold_of = {}
    for chain in _in_hashed_order(sizes, f"fold {seed}"):
        fold_of[chain] = held.index(min(held))
        held[fold_of[chain]] += sizes[chain]
    return fold_of


@no_garbage_collected()
def fold_photos(
    photos: Sequence[LabelledPhoto], fold_of: dict[str, int], fold: int, *, seed: int
) -> tuple[LabelledPhoto, ...]:
    """The photos split for one fold: `test` its own chains, `val` some of the others, `train` the rest."""
    others = Counter(photo.group for photo in photos if fold_of[photo.group] != fold)
    split_of: dict[str, Split] = dict.fromkeys(others, "train")
    num_val, enough = 0, VAL_SHARE * others.total()
    for chain in _in_hashed_order(others, f"val {seed} {fold}"):
        if num_val >= enough:
            break
        split_of[chain] = "val"
        num_val += others[chain]
    return tuple(
        replace(photo, split=split_of.get(photo.group, "test"), file=f"{PHOTOS_NAME}/{photo.file}")
        for photo in photos
    )


def write_fold(dataset: Dataset, photos: tuple[LabelledPhoto, ...], folder: Path, **about: object) -> None:
    """Write photos of a dataset, split anew, as a dataset of links.

    Raises `BadDataset` where the photos are not files of a folder, `StorageFailure` where the disk fails.
    """
    for photo in dataset.photos[:1]:
        dataset.path_of(photo)
    link = folder / PHOTOS_NAME
    make_folder(folder)
    try:
        link.unlink(missing_ok=True)  # the dataset may have moved since
        link.symlink_to(os.path.relpath(dataset.folder.resolve(), folder.resolve()), target_is_directory=True)
    except OSError as error:
        raise StorageFailure(f"{link} cannot be made ({error.strerror}); choose another folder") from None
    with written_whole(folder / MANIFEST_NAME) as part:
        digest = write_manifest(part, photos)
    with written_whole(folder / SUMMARY_NAME) as part:
        part.write_text(json.dumps({"sha256": digest, "fold_of": dataset.digest, **about}, indent=2) + "\n")


def _in_hashed_order(chains: Counter[str], key: str) -> list[str]:
    return sorted(chains, key=lambda chain: (hashed_position(chain, key=key), chain))
