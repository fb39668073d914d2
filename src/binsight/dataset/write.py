"""The files of a dataset, as `manifest` draws them. The same parts give the same bytes."""

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from binsight import __version__
from binsight.dataset.chains import Link
from binsight.dataset.croissant import describe_dataset
from binsight.dataset.manifest import SPLITS, SUMMARY_NAME, Dataset, LabelledPhoto, further_columns, write_manifest
from binsight.dataset.problem import Problem
from binsight.errors import BadDataset

_FROM_ELSEWHERE = ("source", "binsight")
"""Entries of the summary that may differ between two runs that make the same dataset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetParts:
    """All that a dataset holds but the photos' bytes. `settings` is what the user chose, `notes` what to mind."""

    name: str
    photos: tuple[LabelledPhoto, ...]
    rejects: tuple[Problem, ...]
    links: Sequence[Link]
    notes: tuple[str, ...]
    licence: str | None
    settings: Mapping[str, Any]
    source: Mapping[str, Any]


def write_dataset(folder: Path, parts: DatasetParts) -> dict[str, Any]:
    """Write every file but the photos, the summary last, and return the summary."""
    extras = further_columns(parts.photos)
    for split in SPLITS:
        chosen = [photo for photo in parts.photos if photo.split == split]
        if chosen:
            _write_lines(folder / split / "metadata.jsonl", [_imagefolder_row(photo, extras) for photo in chosen])
    _write_rejects(folder / "rejects.csv", parts.rejects)
    digest = write_manifest(folder / "manifest.parquet", parts.photos)
    description = describe_dataset(parts.name, parts.photos, manifest_sha256=digest, licence=parts.licence)
    _write_json(folder / "croissant.json", description)
    summary = _summary(parts, digest)
    _write_json(folder / SUMMARY_NAME, summary)
    return summary


def is_same_dataset(folder: Path, summary: Mapping[str, Any]) -> bool:
    """Whether `folder` holds the dataset that `summary` speaks of. Raises `BadDataset` where it is damaged."""
    try:
        existing = json.loads((folder / SUMMARY_NAME).read_text())
    except (OSError, ValueError):
        return False
    if not isinstance(existing, dict) or _identity(existing) != _identity(summary):
        return False
    try:
        Dataset.open(folder).verify()
    except BadDataset as error:
        raise BadDataset(f"{error}; {folder} is damaged: remove it first") from None
    return True


def _identity(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in summary.items() if name not in _FROM_ELSEWHERE}


def _imagefolder_row(photo: LabelledPhoto, extras: Sequence[str]) -> dict[str, Any]:
    """A row as HF ImageFolder reads it: `file_name` is relative to the file of the rows, and all rows are alike.

    https://huggingface.co/docs/datasets/image_dataset#imagefolder
    """
    row = {"file_name": PurePosixPath(photo.file).name, "photo": photo.photo, "count": photo.count}
    return row | {"group": photo.group} | {name: photo.extras.get(name, "") for name in extras}


def _write_rejects(path: Path, rejects: Sequence[Problem]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("photo", "reason", "detail"))
        writer.writerows((reject.photo, reject.reason, reject.detail) for reject in rejects)


def _summary(parts: DatasetParts, digest: str) -> dict[str, Any]:
    sizes = sorted(Counter(photo.group for photo in parts.photos).values(), reverse=True)
    return {
        "sha256": digest,
        "name": parts.name,
        "binsight": __version__,
        "licence": parts.licence,
        "source": dict(parts.source),
        **parts.settings,
        "photos": len(parts.photos),
        "splits": {split: _split_summary(parts.photos, split) for split in SPLITS},
        "groups": {"number": len(sizes), "largest": sizes[0], "of_one_photo": sizes.count(1)},
        "links": dict(sorted(Counter(link.kind for link in parts.links).items())),
        "links_crossing": 0,
        "rejects": dict(sorted(Counter(reject.reason for reject in parts.rejects).items())),
        "notes": list(parts.notes),
    }


def _split_summary(photos: Sequence[LabelledPhoto], split: str) -> dict[str, Any]:
    chosen = [photo for photo in photos if photo.split == split]
    counts = Counter(photo.count for photo in chosen)
    return {
        "photos": len(chosen),
        "groups": len({photo.group for photo in chosen}),
        "counts": {str(count): number for count, number in sorted(counts.items())},
    }


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
