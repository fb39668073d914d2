"""Where photos and records come from, and how they are laid out there.

Two layouts are known by looking:

- **ABID's own**: photos as `bin-images/<id>.<suffix>`, records as `metadata/<id>.json`. A source of this layout
  that has no `metadata/` at all is one without records.
- **flat**: photos as `<id>.<suffix>` directly in the folder or under the prefix, each with its record `<id>.json`
  beside it, or none with any. Records are looked for beside the first twenty photos; where there are none, the
  source is one without records, and none is missed later. Sub-folders are not looked into.

Photos end in .jpg, .jpeg, .png or .webp. A listing takes the ending in any case; ids given by the user are looked
for with each of the four in lower case.
"""

from array import array
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from binsight.dataset.fetch_folder import PHOTOS, RECORDS
from binsight.dataset.selection import is_id
from binsight.errors import MissingObject
from binsight.storage.objects import Objects, open_store

ABID_URL = "s3://aft-vbi-pds"
ABID_REGION = "us-east-1"
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")

_PROBES = 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """A photo asked for: its id and, where a listing told it, the name of its object."""

    photo: str
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A store and how photos and records are laid out in it.

    `photos` and `records` are folders of the store, empty for its top; `records` is None where it has none.
    `suffixes` are the endings under which a photo known only by its id is looked for, in this order.
    """

    url: str
    store: Objects
    photos: str = PHOTOS
    records: str | None = RECORDS
    suffixes: tuple[str, ...] = SUFFIXES

    def photo_names(self, wanted: Wanted) -> tuple[str, ...]:
        """The names under which the photo may be found."""
        if wanted.name:
            return (wanted.name,)
        return tuple(_below(self.photos, wanted.photo + suffix) for suffix in self.suffixes)

    def record_name(self, photo: str) -> str:
        assert self.records is not None
        return _below(self.records, f"{photo}.json")

    async def listed(self) -> AsyncIterator[Wanted]:
        """All photos of the source, then, in ABID's layout, the ids of the records that have no photo."""
        photos = array("q")  # hashes: eight bytes an id, where half a million ids are nothing
        async for wanted in listed_photos(self.store, self.photos):
            photos.append(hash(wanted.photo))
            yield wanted
        if not self.records:
            return
        hashes = np.unique(np.frombuffer(photos, dtype=np.int64))
        async for info in self.store.list(self.records):
            path = PurePosixPath(info.name)
            if str(path.parent) != self.records or path.suffix != ".json" or not is_id(path.stem):
                continue
            place = np.searchsorted(hashes, hash(path.stem))
            if place == len(hashes) or hashes[place] != hash(path.stem):
                yield Wanted(path.stem)


def open_abid(*, endpoint_url: str | None = None) -> Source:
    """The Amazon Bin Image Dataset's public bucket, read unsigned."""
    store = open_store(ABID_URL, endpoint_url=endpoint_url, region=ABID_REGION, anonymous=True)
    return Source(url=ABID_URL, store=store, suffixes=(".jpg",))


async def open_source(url: str, *, endpoint_url: str | None = None, anonymous: bool = False) -> Source:
    """Open a bucket's prefix or a folder and find out its layout.

    Raises as `Objects.list` does, and `MissingObject` where no photo is there in either layout.
    """
    store = open_store(url, endpoint_url=endpoint_url, anonymous=anonymous)
    name = url if "://" in url else str(Path(url).resolve())
    async for _ in listed_photos(store, PHOTOS):
        records = None
        async for _ in store.list(RECORDS):
            records = RECORDS
            break
        return Source(url=name, store=store, records=records)
    first = []
    async for photo in listed_photos(store, ""):
        first.append(photo)
        if len(first) == _PROBES:
            break
    if not first:
        raise MissingObject(
            f"{url} holds no photos: neither {PHOTOS}/<id>.jpg nor <id>.jpg directly; "
            f"check the path (photos end in {', '.join(SUFFIXES)})"
        )
    flat = Source(url=name, store=store, photos="", records="")
    for photo in first:
        try:
            await store.read_async(flat.record_name(photo.photo))
        except MissingObject:
            continue
        return flat
    return Source(url=name, store=store, photos="", records=None)


async def listed_photos(store: Objects, folder: str) -> AsyncIterator[Wanted]:
    """The photos that lie directly in a folder of the store (`""`: its top)."""
    async for info in store.list(folder):
        path = PurePosixPath(info.name)
        parent = "" if path.parent == PurePosixPath() else str(path.parent)
        if parent == folder and path.suffix.lower() in SUFFIXES and is_id(path.stem):
            yield Wanted(path.stem, info.name)


def _below(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
