"""What a folder of photos and records holds, as names, paths and records; no photo is opened.

Two layouts are known:

```
FOLDER/bin-images/<id>.jpg          ABID's: photos and records in two folders
FOLDER/metadata/<id>.json

FOLDER/…/<id>.jpg                   a plain folder, searched with all below it; a photo's id is its path without
FOLDER/…/<id>.json                  the ending, and its record, where there is one, lies beside it
```
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from binsight.dataset.fetch_folder import PHOTOS, RECORDS
from binsight.dataset.labels import Label, read_labels
from binsight.dataset.problem import PHOTO_SUFFIXES, Problem
from binsight.errors import BadDataset, BadRecord, MissingObject
from binsight.records import BinRecord

OTHER_IMAGE_SUFFIXES = frozenset({".avif", ".bmp", ".gif", ".heic", ".heif", ".jp2", ".tif", ".tiff"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePhoto:
    """One photo of a source, unopened.

    `count` comes from the labels where they have one, else from the record, else it is None. `split` and
    `group` are the labels' own, where given; their further columns are in `extras`, beside the
    record's own (`BinRecord.columns`). In a plain folder with
    folders inside, `photo` holds slashes.
    """

    photo: str
    path: Path
    record: BinRecord | None = None
    count: int | None = None
    split: str | None = None
    group: str | None = None
    extras: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """All photos of a folder, sorted by id, what is wrong with its files, and the records whose photo is not there."""

    photos: tuple[SourcePhoto, ...]
    problems: tuple[Problem, ...]
    records_alone: Mapping[str, BinRecord] = field(default_factory=dict)


def read_source(folder: Path, labels: Path | None = None) -> Source:
    """List the photos of a folder, read their records and join the labels.

    A bad file becomes a `Problem`, with one of the reasons `duplicate_id`, `format`, `broken_record`,
    `record_without_photo`, `photo_without_record`, or one of `read_labels`'s. A photo has the reason
    `photo_without_record` only if it has no label either, and other photos have records.

    Raises `MissingObject` for a folder or labels file that is not there, `BadDataset` for a folder without
    photos, `BadInput` for labels that are not a CSV with the needed columns.
    """
    if not folder.is_dir():
        raise MissingObject(f"{folder} is not a folder; name the folder that holds the photos")
    problems: list[Problem] = []
    is_abid = (folder / PHOTOS).is_dir()
    photo_root, record_root = (folder / PHOTOS, folder / RECORDS) if is_abid else (folder, folder)
    paths = _photo_paths(photo_root, problems)
    if not paths:
        raise BadDataset(
            f"{photo_root} holds no photos ({', '.join(sorted(PHOTO_SUFFIXES))}); name the folder that does"
        )
    labelled = read_labels(labels, known=paths.keys(), problems=problems) if labels else {}
    records = _records(record_root, paths, problems, strict=is_abid)
    photos = tuple(_joined(photo, paths[photo], records, labelled) for photo in sorted(paths))
    alone = {photo: record for photo, record in records.items() if photo not in paths}
    expects_records = bool(labelled) or any(photo.record for photo in photos)
    if expects_records:
        known_bad = {problem.photo for problem in problems}
        problems += (
            Problem(photo.photo, "photo_without_record", "the photo has neither a record nor a label")
            for photo in photos
            if photo.record is None and photo.photo not in labelled and photo.photo not in known_bad
        )
    return Source(photos=photos, problems=tuple(sorted(problems)), records_alone=alone)


def _joined(photo: str, path: Path, records: Mapping[str, BinRecord], labelled: Mapping[str, Label]) -> SourcePhoto:
    record, label = records.get(photo), labelled.get(photo)
    if label is None:
        count, extras = (record.expected, record.columns) if record else (None, {})
        return SourcePhoto(photo=photo, path=path, record=record, count=count, extras=extras)
    count = label.count
    if count is None and record is not None and not label.is_broken:
        count = record.expected
    return SourcePhoto(
        photo=photo,
        path=path,
        record=record,
        count=count,
        split=label.split,
        group=label.group,
        extras={**(record.columns if record else {}), **label.extras},
    )


def _photo_paths(root: Path, problems: list[Problem]) -> dict[str, Path]:
    """Path of each photo id; the first by name where several files have one id."""
    paths: dict[str, Path] = {}
    for file in _files(root):
        photo, suffix = _split(file)
        if suffix in PHOTO_SUFFIXES:
            if photo in paths:
                detail = f"{_name(file)} has the same id as {paths[photo].name}, which is used; rename one of them"
                problems.append(Problem(file, "duplicate_id", detail))
            else:
                paths[photo] = root / file
        elif suffix in OTHER_IMAGE_SUFFIXES:
            detail = f"{_name(file)} is not a JPEG, PNG or WebP photo; convert it to one of these"
            problems.append(Problem(file, "format", detail))
    return paths


def _records(
    root: Path, paths: Mapping[str, Path], problems: list[Problem], *, strict: bool
) -> dict[str, BinRecord]:
    """Records by photo id, also those without a photo; unless `strict`, other JSON files that belong to no photo are
    passed over."""
    records: dict[str, BinRecord] = {}
    for file in _files(root) if root.is_dir() else ():
        photo, suffix = _split(file)
        if suffix != ".json":
            continue
        try:
            record = BinRecord.from_abid_json((root / file).read_bytes(), photo=photo)
        except (BadRecord, OSError) as error:
            if strict or photo in paths:
                problems.append(Problem(photo, "broken_record", str(error)))
            continue
        records[photo] = record
        if photo not in paths:
            problems.append(
                Problem(
                    photo, "record_without_photo", f"{_name(file)} has no photo; fetch it, or remove the record"
                )
            )
    return records


def _files(root: Path) -> Iterator[str]:
    """Every file below a folder, as its path from there, in the order of names; hidden files and folders are passed over.

    Plain text: of a million files, paths as objects cost more than reading the folders.
    """
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = "" if folder == str(root) else f"{Path(folder).relative_to(root).as_posix()}/"
        yield from (f"{below}{name}" for name in sorted(names) if not name.startswith("."))


def _split(file: str) -> tuple[str, str]:
    """A photo's id, its path without the ending, and that: `a/b.JPG` as `a/b` and `.jpg`."""
    photo, dot, ending = file.rpartition(".")
    return (photo, f".{ending.lower()}") if dot else (file, "")


def _name(file: str) -> str:
    return file.rpartition("/")[2]
