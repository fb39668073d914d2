"""The photos of a folder or of a bucket's prefix: listed once, and read later if they are still the same."""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from binsight.counting.sources import SUFFIXES
from binsight.errors import BadInput, BadPhoto, ChangedMeanwhile, MissingObject, MissingStore, StorageFailure
from binsight.settings import settings
from binsight.storage.objects import Objects, open_store

_OF_ONE_PHOTO = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG}
)
"""What a folder says of a photo that has gone or that is shut; all else (EIO, ESTALE, …) is the disk's or the mount's."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A photo as the listing had it. `tag` is another one when the photo is; empty where the store has none."""

    name: str
    size: int
    tag: str


class Photos(Protocol):
    """Where photos are."""

    def list(self) -> Iterator[Listed]:
        """All photos, in the order of their names; memory grows with the largest single folder at most."""

    def read(self, photo: Listed) -> bytes:
        """Raises `MissingObject` where it has gone, `ChangedMeanwhile` where it is another one, `BadPhoto` and
        `BadInput` where it has too many bytes, `StorageFailure` where the store fails."""


def open_photos(url: str, *, endpoint_url: str | None = None, anonymous: bool = False) -> Photos:
    """The photos below a folder or an `s3://` URL. Raises as `open_store`."""
    if url.startswith("s3://"):
        return _Bucket(open_store(url, endpoint_url=endpoint_url, anonymous=anonymous))
    if not Path(url).is_dir():
        raise MissingStore(
            f"{url} must be a folder or s3://bucket/prefix, and no such folder is there; check the path"
        )
    return _Folder(Path(url))


@dataclass(frozen=True)
class _Bucket:
    objects: Objects

    def list(self) -> Iterator[Listed]:
        for info in self.objects.list():
            if info.name.lower().endswith(SUFFIXES):
                yield Listed(info.name, info.size, info.tag)

    def read(self, photo: Listed) -> bytes:
        return self.objects.read(photo.name, max_bytes=settings().max_photo_bytes, tag=photo.tag)


@dataclass(frozen=True)
class _Folder:
    folder: Path

    def list(self) -> Iterator[Listed]:
        for parent, folders, files in os.walk(
            self.folder, onerror=lambda error: _check_place(error, error.filename)
        ):
            folders.sort()
            for name in sorted(files):
                if name.lower().endswith(SUFFIXES):
                    yield self._listed(Path(parent, name))

    def read(self, photo: Listed) -> bytes:
        path, limit = self.folder / photo.name, settings().max_photo_bytes
        try:
            found = path.stat()
            if (found.st_size, _tag(found)) != (photo.size, photo.tag):
                raise ChangedMeanwhile(f"{path} was changed since it was listed; count it in another --out")
            if found.st_size > limit:
                raise BadPhoto(
                    f"{path} must be at most {limit:,} bytes, but has {found.st_size:,}; save it smaller",
                    reason="too_many_bytes",
                )
            return path.read_bytes()
        except OSError as error:
            _check_place(error, path)
            raise MissingObject(
                f"{path} cannot be read ({error.strerror}); check the path and the rights"
            ) from None

    def _listed(self, path: Path) -> Listed:
        name = path.relative_to(self.folder).as_posix()
        try:
            name.encode()
        except UnicodeEncodeError:
            raise BadInput(f"{str(path)!a} has a name that is not UTF-8; rename it") from None
        try:
            found = path.stat()
        except OSError as error:
            _check_place(error, path)
            # A link to nothing: a row with an error, as of one that goes later.
            return Listed(name, 0, "")
        return Listed(name, found.st_size, _tag(found))


def _check_place(error: OSError, path: Path | str) -> None:
    """Raises `StorageFailure` where the disk or the mount is at fault, and not the one photo: no row is to say that."""
    if error.errno not in _OF_ONE_PHOTO:
        raise StorageFailure(
            f"{path} cannot be read ({error.strerror}); mend the disk or the mount, or take the photo away, and run "
            "the same command again"
        ) from None


def _tag(found: os.stat_result) -> str:
    return f"{found.st_mtime_ns:x}"
