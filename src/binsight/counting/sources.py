"""Which photos a command line names: files, folders, globs and `s3://` URLs, as (name, how to read it)."""

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from pathlib import Path

from binsight.counting.counter import PhotoBytes
from binsight.errors import BadPhoto, MissingObject
from binsight.settings import settings
from binsight.storage.objects import Objects, open_store

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def find_photos(
    arguments: Iterable[str], *, endpoint_url: str | None = None, anonymous: bool = False
) -> Iterator[tuple[str, PhotoBytes]]:
    """The photos that the arguments name, in order; folders and prefixes with all below them.

    A file that is named is taken whatever its ending; in folders and prefixes only photos' endings count.
    `anonymous` sends unsigned requests, for public buckets. Raises `MissingObject` where an argument names nothing.
    """
    for argument in arguments:
        found = False
        for photo in _photos_of(argument, endpoint_url, anonymous):
            found = True
            yield photo
        if not found:
            raise MissingObject(f"{argument} names no photo ({', '.join(SUFFIXES)}); check the path")


def photo_reader(*, endpoint_url: str | None = None, anonymous: bool = False) -> Callable[[str], PhotoBytes]:
    """How to get a photo by the name that `find_photos` gave it: for names that come back later, in another order."""
    opened = lru_cache(maxsize=64)(partial(open_store, endpoint_url=endpoint_url, anonymous=anonymous))

    def read(name: str) -> PhotoBytes:
        if not name.startswith("s3://"):
            return partial(_read_file, Path(name))
        folder, _, file = name.rpartition("/")
        return partial(_read_object, opened(folder), file)

    return read


def _photos_of(argument: str, endpoint_url: str | None, anonymous: bool) -> Iterator[tuple[str, PhotoBytes]]:
    if argument.startswith("s3://"):
        yield from _objects(argument, endpoint_url, anonymous)
        return
    path = Path(argument)
    if path.is_dir():
        paths: Iterable[Path] = _walk(path)
    elif path.exists() or not glob.has_magic(argument):
        paths = [path]
    else:
        matches = map(Path, sorted(glob.glob(argument, recursive=True)))  # noqa: PTH207 - Path.glob refuses absolute patterns
        paths = (match for match in matches if match.is_file() and match.suffix.lower() in SUFFIXES)
    for each in paths:
        yield str(each), partial(_read_file, each)


def _walk(folder: Path) -> Iterator[Path]:
    """Photos below a folder in the order of their names, a folder at a time: memory does not grow with the tree."""
    for parent, folders, files in os.walk(folder):
        folders.sort()
        yield from (Path(parent, name) for name in sorted(files) if name.lower().endswith(SUFFIXES))


def _read_file(path: Path) -> bytes:
    limit = settings().max_photo_bytes
    try:
        if path.stat().st_size > limit:
            raise BadPhoto(
                f"{path} must be at most {limit:,} bytes, but has {path.stat().st_size:,}; save it smaller",
                reason="too_many_bytes",
            )
        return path.read_bytes()
    except OSError as error:
        raise MissingObject(f"{path} cannot be read ({error.strerror}); check the path and the rights") from None


def _objects(url: str, endpoint_url: str | None, anonymous: bool) -> Iterator[tuple[str, PhotoBytes]]:
    if url.lower().endswith(SUFFIXES):
        folder, _, name = url.rpartition("/")
        yield url, partial(_read_object, open_store(folder, endpoint_url=endpoint_url, anonymous=anonymous), name)
        return
    store = open_store(url, endpoint_url=endpoint_url, anonymous=anonymous)
    for info in store.list():
        if info.name.lower().endswith(SUFFIXES):
            yield f"{url.rstrip('/')}/{info.name}", partial(_read_object, store, info.name)


def _read_object(store: Objects, name: str) -> bytes:
    return store.read(name, max_bytes=settings().max_photo_bytes)
