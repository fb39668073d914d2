"""Where captures lie: a folder or a bucket, in which whatever was put is safe once `put` returns.

```
DEST/<endpoint>/<variant>/yyyy/mm/dd/hh/…         captures
DEST/<endpoint>/ground_truth/yyyy/mm/dd/hh/…      counts added later; no variant can be called so
```
Everything of an hour lies in the hour's folder, and is deleted with it.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from binsight.errors import MissingStore, StorageFailure
from binsight.storage.captures.capture import hour_folder, hour_of
from binsight.storage.files import part_of
from binsight.storage.objects import ObjectInfo, Objects, open_store

GROUND_TRUTH = "ground_truth"
"""The part of an endpoint in which the counts added later lie."""
_UPLOADS = 16  # objects in flight
_DIGITS = "[0-9][0-9]*"
_HOURS = f"{_DIGITS}/{_DIGITS}/{_DIGITS}/{_DIGITS}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A part of a destination; names are relative to it. Makes nothing before the first `put`."""

    url: str

    @classmethod
    def of(cls, destination: str, *parts: str) -> "Place":
        """The part of a destination (`s3://…`, `file://…` or a folder). Raises `BadInput` for a URL of another kind."""
        if "://" not in destination:
            destination = str(Path(destination).expanduser().absolute())
        elif not destination.startswith("file://"):
            open_store(destination)  # asks nothing; says what is wrong with the URL
        return cls(url="/".join([destination.rstrip("/"), *parts]))

    @property
    def folder(self) -> Path | None:
        """The folder, None for a bucket."""
        path = self.url.removeprefix("file://")
        return None if "://" in path else Path(path)

    def address(self, name: str) -> str:
        """Where a file of this place lies, for whoever opens it by itself: a path, or a URL of a bucket."""
        return f"{self.url if self.folder is None else self.folder}/{name}"

    def put(self, files: Mapping[str, bytes]) -> None:
        """Write files, each whole or not at all; they are on the disk, under their names, when this returns.

        A file that is there already is left as it is: names go by content or are new. Raises `StorageFailure`.
        """
        if self.folder is not None:
            write_durably({self.folder / name: data for name, data in files.items()})
            return
        store = self.objects()
        with ThreadPoolExecutor(_UPLOADS) as pool:
            list(pool.map(lambda item: store.write(*item), files.items()))

    def objects(self) -> Objects:
        """What lies here. Raises `MissingStore` for a folder that is not there."""
        return open_store(self.url)

    def names(self, suffix: str = "") -> Iterator[ObjectInfo]:
        """What lies in folders of hours and ends so, in the order of their names."""
        try:
            infos = [info for info in self.objects().list() if info.name.endswith(suffix) and hour_of(info.name)]
        except MissingStore:
            return
        yield from sorted(infos, key=lambda info: info.name)

    def remove_before(self, moment: datetime) -> None:
        """Delete the hours that were over at that moment. Raises `StorageFailure`."""
        first_kept = hour_folder(moment)
        if self.folder is None:
            old = [info.name for info in self.names() if hour_folder(_hour(info.name)) < first_kept]
            self.objects().remove(old)
            return
        # By folders and not by files: what a crash left under a temporary name goes too.
        for hour in self.folder.glob(_HOURS):
            if hour.relative_to(self.folder).as_posix() >= first_kept:
                continue
            try:
                shutil.rmtree(hour)
            except OSError as error:
                raise failed(error, hour) from None
            with suppress(OSError):  # days, months and years that are empty now
                for parent in (hour.parent, hour.parent.parent, hour.parent.parent.parent):
                    parent.rmdir()

    def oldest_of_endpoint(self) -> datetime | None:
        """The first hour of which any variant of this one's endpoint keeps something; None where none does."""
        endpoint = Place(url=self.url.rpartition("/")[0])
        if endpoint.folder is None:
            names = [info.name for info in endpoint.names()]
        else:
            names = [hour.relative_to(endpoint.folder).as_posix() for hour in endpoint.folder.glob(f"*/{_HOURS}")]
        kept = (hour_of(name) for name in names if not name.startswith(f"{GROUND_TRUTH}/"))
        return min(filter(None, kept), default=None)

    @property
    def free_bytes(self) -> int | None:
        """Bytes free on the disk, None for a bucket and before there is a folder."""
        folder = self.folder
        while folder is not None and not folder.exists():
            folder = folder.parent if folder != folder.parent else None
        return None if folder is None else shutil.disk_usage(folder).free


def _hour(name: str) -> datetime:
    hour = hour_of(name)
    assert hour is not None
    return hour


def write_durably(files: Mapping[Path, bytes]) -> None:
    """Write files so that each is there whole, also after the power fails: all on the disk when this returns.

    A temporary name, fsync, rename, fsync of the folder. What a crash leaves under a temporary name is deleted with its
    hour. Raises `StorageFailure`.
    """
    try:
        for folder in {path.parent for path in files}:
            make_folder_durably(folder)
        for path, data in files.items():
            if not path.exists():
                _write(path, data)
        for folder in {path.parent for path in files}:  # also for files that another process renamed a moment ago
            sync_folder(folder)
    except OSError as error:
        raise failed(error, next(iter(files)).parent) from None


def _write(path: Path, data: bytes) -> None:
    part = part_of(path)
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except OSError:
        with suppress(OSError):
            part.unlink()
        raise


def make_folder_durably(folder: Path) -> None:
    """Make a folder and those above it, each known to the disk. Raises `OSError`."""
    missing = [folder, *folder.parents]
    missing = missing[: next((i for i, one in enumerate(missing) if one.is_dir()), len(missing))]
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        sync_folder(one.parent)


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk. Raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def failed(error: OSError, folder: Path) -> StorageFailure:
    """What a disk's error means for whoever runs the service."""
    return StorageFailure(f"{folder} cannot be written ({error.strerror or error}); free space or mend the disk")
