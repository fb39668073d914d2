"""What checking found of every photo, kept with a dataset, so that one that extends it opens only what is new.

A photo is known where its source file has the size and the modification time of before, as rsync and make have it:
reading all bytes again to be surer would take most of the time that is saved. What was found with other limits, or
by another version of Binsight, is not relied on.
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from binsight import __version__
from binsight.dataset.chains import Link
from binsight.dataset.check import Check, CheckedPhoto, PhotoFile
from binsight.dataset.intake import SourcePhoto
from binsight.dataset.likeness import Fingerprint, near_identical_pairs
from binsight.dataset.manifest import Dataset, arrow, read_table
from binsight.errors import BadDataset
from binsight.imaging.decode import Limits
from binsight.progress import progress_bar

CHECKS_NAME = "checks.parquet"

_FOUND_BY = b"found_by"
"""Key of the file's metadata that says by what, and within which limits."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """A file's size in bytes and its modification time in nanoseconds."""

    num_bytes: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> "Stamp | None":
        """None where the file cannot be looked at."""
        try:
            status = path.stat()
        except OSError:
            return None
        return cls(status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPhoto:
    """One photo as it was found: `file` is where its bytes lie, None where they were not kept."""

    stamp: Stamp
    found: CheckedPhoto
    file: Path | None
    alike: str
    """Photos with the same, not empty, text are near-identical pictures."""


@dataclass(frozen=True, slots=True)
class KnownPhotos:
    """The photos of a dataset that is extended, by name."""

    photos: Mapping[str, KnownPhoto] = field(default_factory=dict)

    @classmethod
    def open(cls, dataset: Dataset, limits: Limits) -> "KnownPhotos":
        """None is known where the dataset has no such file, or one made within other limits or by another version.

        Raises `BadDataset` where the file cannot be read.
        """
        path = dataset.folder / CHECKS_NAME
        if not path.is_file():
            return cls()
        pa, _ = arrow()
        try:
            table = read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise BadDataset(
                f"{path} is not a readable Parquet file ({error}); remove it, and all photos are checked again"
            ) from None
        if (table.schema.metadata or {}).get(_FOUND_BY) != _found_by(limits):
            return cls()
        files = {photo.photo: dataset.path_of(photo) for photo in dataset.photos}
        return cls({row["photo"]: _known(row, files.get(row["photo"])) for row in _rows(table)})

    def reuse(self, photo: str, stamp: Stamp | None) -> CheckedPhoto | None:
        """What was found of an unchanged photo; None where it must be checked."""
        known = self.photos.get(photo)
        if known is None or stamp is None or known.stamp != stamp:
            return None
        has_bytes = known.file is not None and known.file.is_file()
        return known.found if known.found.reason or has_bytes else None

    def alike(self, photos: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Pairs that tie together which of these photos are near-identical pictures."""
        first: dict[str, str] = {}
        for photo in photos:
            if name := self.photos[photo].alike:
                if name in first:
                    yield first[name], photo
                else:
                    first[name] = photo


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """What was found of every photo of a source: those that are known were `reused`, the others read and `staged`."""

    found: Mapping[str, CheckedPhoto]
    stamps: Mapping[str, Stamp | None]
    reused: frozenset[str]
    known: KnownPhotos
    staged: Mapping[str, Path]

    def of(self, photos: Iterable[str]) -> "Checks":
        """What was found of these photos alone."""
        return replace(self, found={photo: self.found[photo] for photo in photos})

    def near_identical(self) -> list[tuple[str, str]]:
        """Pairs of photos that are nearly the same picture, so that what hangs together does by them."""
        prints = {photo: found.fingerprint for photo, found in self.found.items() if found.fingerprint}
        photos = list(prints)
        pairs = near_identical_pairs(list(prints.values()), [photo in self.reused for photo in photos])
        return [*self.known.alike(self.reused), *((photos[i], photos[j]) for i, j in pairs)]

    def place(self, photo: str, path: Path) -> None:
        """Have a good photo's bytes at `path`: those that were staged are moved there.

        Raises `BadDataset` where the dataset that is extended has lost them since.
        """
        if photo in self.reused:
            file = self.known.photos[photo].file
            assert file is not None
            _link(file, path)
        else:
            self.staged[photo].rename(path)


def check_source(
    photos: Sequence[SourcePhoto], staging: Path, known: KnownPhotos, *, limits: Limits, check: Check
) -> Checks:
    """Decode every photo that is not known, and lay the good ones' bytes aside in the folder `staging`.

    Raises as `check`.
    """
    # Looked at before they are read: a change since is noticed.
    stamps = {photo.photo: Stamp.of(photo.path) for photo in photos}
    reused = {name: again for name, stamp in stamps.items() if (again := known.reuse(name, stamp)) is not None}
    files = [
        PhotoFile(photo=photo.photo, path=photo.path, staged=staging / str(number))
        for number, photo in enumerate(photos)
        if photo.photo not in reused
    ]
    with progress_bar("photo") as bar:
        checked = bar.track(check(files, limits), total=len(files), description="check")
        found = reused | {photo.photo: photo for photo in checked}
    return Checks(
        found={photo.photo: found[photo.photo] for photo in photos},
        stamps=stamps,
        reused=frozenset(reused),
        known=known,
        staged={file.photo: file.staged for file in files},
    )


def write_checks(path: Path, checks: Checks, links: Iterable[Link], limits: Limits) -> None:
    """Keep what was found of photos whose files could be looked at."""
    pa, parquet = arrow()
    alike = {photo: link.photos[0] for link in links if link.kind == "pixels" for photo in link.photos}
    kept = [(found, stamp) for photo, found in checks.found.items() if (stamp := checks.stamps[photo]) is not None]
    found_by = {_FOUND_BY: _found_by(limits)}
    schema = pa.schema(
        [
            ("photo", pa.string()),
            ("num_bytes", pa.int64()),
            ("modified_ns", pa.int64()),
            ("sha256", pa.string()),
            ("width", pa.int64()),
            ("height", pa.int64()),
            ("phash", pa.uint64()),
            ("detail", pa.binary()),
            ("reason", pa.string()),
            ("why", pa.string()),
            ("alike", pa.string()),
        ],
        metadata=found_by,
    )
    columns = {
        "photo": [found.photo for found, _ in kept],
        "num_bytes": [stamp.num_bytes for _, stamp in kept],
        "modified_ns": [stamp.modified_ns for _, stamp in kept],
        "sha256": [found.sha256 for found, _ in kept],
        "width": [found.width for found, _ in kept],
        "height": [found.height for found, _ in kept],
        "phash": [found.fingerprint.phash if found.fingerprint else None for found, _ in kept],
        "detail": [found.fingerprint.detail if found.fingerprint else None for found, _ in kept],
        "reason": [found.reason for found, _ in kept],
        "why": [found.detail for found, _ in kept],
        "alike": [alike.get(found.photo, "") for found, _ in kept],
    }
    parquet.write_table(pa.table(columns, schema=schema), path, compression="zstd")


def _found_by(limits: Limits) -> bytes:
    return json.dumps({"binsight": __version__, **asdict(limits)}, sort_keys=True).encode()


def _rows(table: Any) -> Iterator[dict[str, Any]]:
    """Rows in blocks, so that no second copy of a large file is in memory."""
    for batch in table.to_batches(max_chunksize=10_000):
        yield from batch.to_pylist()


def _known(row: Mapping[str, Any], file: Path | None) -> KnownPhoto:
    has_print = row["detail"] is not None
    return KnownPhoto(
        stamp=Stamp(row["num_bytes"], row["modified_ns"]),
        found=CheckedPhoto(
            photo=row["photo"],
            sha256=row["sha256"],
            width=row["width"],
            height=row["height"],
            fingerprint=Fingerprint(phash=row["phash"], detail=row["detail"]) if has_print else None,
            reason=row["reason"],
            detail=row["why"],
        ),
        file=file,
        alike=row["alike"],
    )


def _link(file: Path, path: Path) -> None:
    """Have the bytes of a dataset's file at another place as well. Datasets are never changed, so that one copy does."""
    try:
        os.link(file, path)
    except FileNotFoundError:
        raise BadDataset(f"{file} was removed while its dataset was extended; try again") from None
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(file, path)
