"""A dataset that counted bins join: their photos train, as far as nothing ties them to photos that judge.

```
base ──────────┐
promotion set ─┼─▶ one folder of links, splits and groups as they were ─▶ binsight.dataset.prepare ─▶ dataset
counted bins ──┘   (new ones: train)                                      links, leaks, gate
```
What keeps a new photo away from the promotion set is what keeps any dataset's splits apart: the same bin, a near-identical
picture, one gate. Photos of the promotion set that the base does not hold are put into `test` for that, and stay there.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from binsight.dataset.check import by_processes
from binsight.dataset.manifest import Dataset, LabelledPhoto
from binsight.dataset.prepare import Prepared, PrepareOptions, prepare
from binsight.dataset.split import Shares
from binsight.decision.sampled import MOST, training_weights
from binsight.errors import StorageFailure
from binsight.imaging.decode import limits_set
from binsight.lifecycle.counted import (
    CAPTURED,
    LEFT_OUT_COLUMNS,
    MOST_SAID,
    LeftOut,
    name_of,
    read_gathered,
    without_metadata,
    write_table,
)
from binsight.storage.files import make_folder

WEIGHT = "weight"
"""The column of the dataset that says how much a photo counts; a recipe reads it as `data.weight`."""
_TRAIN_ALONE: Shares = {"train": 1.0, "val": 0.0, "test": 0.0}
_WORTH_PROCESSES = 1000
"""With fewer photos, further processes take longer to begin than they save."""


@dataclass(slots=True, kw_only=True)
class Joining:
    """What is put together: labels by photo id with the file of each, counted bins that stay out, and photos of the base
    that do because their bins were counted otherwise."""

    labels: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    contradicted: set[str] = field(default_factory=set)


def extend(
    base: Dataset,
    promotion: Dataset,
    promotion_split: str,
    counts: Path,
    out: Path,
    *,
    columns: Mapping[str, str],
    most_weight: float = MOST,
    say: Callable[[str], None],
) -> Prepared:
    """Make the dataset at `out`; what stayed out, and why, is written beside it. Raises as `prepare` does."""
    judging = [photo for photo in promotion.photos if photo.split == promotion_split]
    joining = _joined(base, promotion, judging, read_gathered(counts), counts / "photos", columns, most_weight)
    source = out.with_name("source")
    _link(source, joining)
    labels = out.with_name("labels.csv")
    # Where no new photo joins, the column is empty, and there all the same: the recipe names it.
    names = dict.fromkeys([*(name for row in joining.labels.values() for name in row), WEIGHT])
    write_table(labels, tuple(names), joining.labels.values())
    limits = limits_set()
    check = by_processes((os.cpu_count() or 1) if len(joining.files) >= _WORTH_PROCESSES else 1)
    options = PrepareOptions(shares=_TRAIN_ALONE, on_leak="reject", limits=limits, check=check)
    prepared = prepare(source, out, labels=labels, options=options)
    shutil.rmtree(source)
    held = {photo.photo for photo in Dataset.open(out).photos}
    joined = [photo for photo in joining.files if photo.startswith("counted/") and photo in held]
    joining.left_out += (
        LeftOut(
            task="", bin=_bin(row), why="its photo is tied to photos that judge, or cannot be read; see rejects.csv"
        )
        for photo, row in joining.labels.items()
        if photo.startswith("counted/") and photo not in held
    )
    write_table(
        out.with_name("stayed_out.csv"),
        LEFT_OUT_COLUMNS,
        ({"task": one.task, "bin": one.bin, "why": one.why} for one in joining.left_out),
    )
    say(f"{len(joined):,} photos of counted bins train beside those of {base.folder}")
    for one in joining.left_out[:MOST_SAID]:
        say(f"left out: bin {one.bin}: {one.why}")
    return prepared


def _joined(
    base: Dataset,
    promotion: Dataset,
    judging: list[LabelledPhoto],
    rows: list[dict[str, str]],
    photos: Path,
    columns: Mapping[str, str],
    most_weight: float,
) -> Joining:
    joining = Joining()
    new = list(_new(rows, _known(base, rows), _bins(judging), joining))
    for photo in base.photos:
        if photo.photo not in joining.contradicted:
            _put(joining, photo.photo, base.path_of(photo), photo)
    held = {photo.sha256 for photo in base.photos}
    for photo in judging:
        if photo.sha256 not in held:
            _put(joining, f"promotion/{photo.photo}", promotion.path_of(photo), photo, split="test")
    weights = training_weights(np.array([float(row["probability"]) for row in new]), most=most_weight)
    for row, weight in zip(new, weights.tolist(), strict=True):
        name = f"counted/{Path(row['file']).stem}"
        joining.files[name] = photos / row["file"]
        joining.labels[name] = {
            "photo": name,
            "count": row["count"],
            "split": "train",
            "group": f"bin {_bin(row)}",
            "origin": row["origin"],
            "site": row["site"],
            "bin_id": row["bin_id"],
            WEIGHT: repr(round(weight, 6)),
            **columns,
        }
    return joining


def _known(base: Dataset, rows: list[dict[str, str]]) -> dict[str, LabelledPhoto]:
    """The base's photos by the names that those of counted bins would have. A capture has lost its metadata, so that its
    photo may lie in the base as other bytes."""
    known = {name_of(photo.sha256, ""): photo for photo in base.photos}
    if any(row["origin"] == CAPTURED for row in rows):
        for photo in base.photos:
            known.setdefault(name_of(without_metadata(base.read_bytes(photo)), ""), photo)
    return known


def _new(
    rows: list[dict[str, str]],
    known: Mapping[str, LabelledPhoto],
    judged_bins: frozenset[tuple[str, str]],
    joining: Joining,
) -> Iterator[dict[str, str]]:
    """The counted bins whose photos join; `known` are the base's photos, as `_known` has them."""
    for row in rows:
        there = known.get(Path(row["file"]).stem)
        if _is_judged(row, judged_bins):
            why = "the promotion set has photos of this bin"
        elif there is None:
            yield row
            continue
        elif there.count == int(row["count"]):
            why = "its photo is in the dataset already, with this count"
        elif there.split == "train":
            joining.contradicted.add(there.photo)
            why = (
                f"its photo is in the dataset as {there.photo} with {there.count}, and was counted as {row['count']}: both "
                "stay out; count it again"
            )
        else:
            why = f"its photo judges models, as {there.photo} of {there.split}"
        joining.left_out.append(LeftOut(task=row["task"], bin=_bin(row), why=why))


def _is_judged(row: Mapping[str, str], judged_bins: frozenset[tuple[str, str]]) -> bool:
    """Whether the promotion set has photos of this bin. Of a capture nobody knows the site: a bin of that name will do."""
    if row["origin"] == CAPTURED:
        return any(row["bin_id"] == bin_id for _, bin_id in judged_bins)
    return (row["site"], row["bin_id"]) in judged_bins


def _bins(photos: list[LabelledPhoto]) -> frozenset[tuple[str, str]]:
    named = ((photo.extras.get("site", ""), photo.extras.get("bin_id", "")) for photo in photos)
    return frozenset(one for one in named if one[1])


def _bin(row: Mapping[str, str]) -> str:
    return f"{row['site']}/{row['bin_id']}" if row["site"] else row["bin_id"]


def _put(joining: Joining, name: str, file: Path, photo: LabelledPhoto, *, split: str = "") -> None:
    joining.files[name] = file
    own = {"photo": name, "count": photo.count, "split": split or photo.split, "group": photo.group}
    joining.labels[name] = {**own, **photo.extras}


def _link(source: Path, joining: Joining) -> None:
    """A folder in which each photo lies under its id."""
    for name, file in joining.files.items():
        place = source / (name + file.suffix.lower())
        make_folder(place.parent)
        try:
            place.symlink_to(file.resolve())
        except OSError as error:
            raise StorageFailure(f"{place} cannot be made ({error.strerror}); free space and go on") from None
