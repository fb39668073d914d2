"""Where the bytes of a dataset's photos lie, and which of them are best read at once.

```
a folder of photos     train/00002.jpg               files
an object store        s3://…/train/00002.jpg        an object a photo; many requests in flight
shards                 shards/…-train-00000.tar      `shards.ShardFiles`: a few requests for thousands of photos
```
Whatever comes from elsewhere than a folder is checked against the manifest's SHA-256, which a line or a proxy can break.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from binsight.errors import BadDataset, MissingObject
from binsight.storage.objects import Objects

if TYPE_CHECKING:
    from binsight.dataset.manifest import LabelledPhoto

PART_PHOTOS = 64
"""Photos of a part: enough that a bucket's latency is shared, few enough that all processors get some."""

_IN_FLIGHT = 32


class PhotoFiles(Protocol):
    """The photos of one dataset, which are asked for by their rows of the manifest."""

    def read(self, photos: Sequence["LabelledPhoto"]) -> list[bytes]:
        """Their files, in order. Raises `BadDataset` where one is gone or changed."""
        ...

    def parts(self, photos: Sequence["LabelledPhoto"]) -> list[list[int]]:
        """Places in `photos`, each once, such that the photos of a part are cheap to `read` together."""
        ...


def in_order(num_photos: int) -> list[list[int]]:
    """Parts of photos that are as cheap to read alone."""
    return [list(range(first, min(first + PART_PHOTOS, num_photos))) for first in range(0, num_photos, PART_PHOTOS)]


class FolderFiles:
    """Photos as files of the dataset's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, photos: Sequence["LabelledPhoto"]) -> list[bytes]:
        return [self._read(self.folder / photo.file) for photo in photos]

    def _read(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise BadDataset(
                f"{path} is in the manifest but cannot be read ({error.strerror}); prepare the dataset again"
            ) from None

    def parts(self, photos: Sequence["LabelledPhoto"]) -> list[list[int]]:
        return in_order(len(photos))


class ObjectFiles:
    """Photos as objects, each by itself: as many requests as photos."""

    def __init__(self, store: Objects) -> None:
        self._store = store

    def read(self, photos: Sequence["LabelledPhoto"]) -> list[bytes]:
        with ThreadPoolExecutor(min(_IN_FLIGHT, max(1, len(photos)))) as pool:
            return list(pool.map(self._read, photos))

    def _read(self, photo: "LabelledPhoto") -> bytes:
        where = f"{self._store.url.rstrip('/')}/{photo.file}"
        try:
            data = self._store.read(photo.file)
        except MissingObject:
            raise BadDataset(f"{where} is in the manifest but is not there; push the dataset again") from None
        return checked(data, photo, where=where, mend="push the dataset again")

    def parts(self, photos: Sequence["LabelledPhoto"]) -> list[list[int]]:
        return in_order(len(photos))


def checked(data: bytes, photo: "LabelledPhoto", *, where: str, mend: str) -> bytes:
    """The bytes. Raises `BadDataset` where they are not those that the manifest names."""
    if sha256(data).hexdigest() != photo.sha256:
        raise BadDataset(
            f"{where} must be photo {photo.photo} as the manifest names it, but has another checksum; {mend}"
        )
    return data
