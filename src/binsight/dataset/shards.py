"""Shards: a dataset's photos in tar files of some megabytes, which an object store reads as fast as a disk does.

```
PACKED/                         a folder, or s3://bucket/prefix
├── dataset.json                the dataset's own, with `shards` beside; written last
├── manifest.parquet            the dataset's own, byte for byte: the same photos are the same dataset
├── shards.parquet              where each photo lies: shard, offset, size in bytes; in the manifest's order
├── rejects.csv                 the dataset's own
└── shards/<digest>-train-00000.tar     0000012.jpg, 0000012.json, …: photos and their rows of the manifest
```

The tar files are as WebDataset has them (https://github.com/webdataset/webdataset, "the WebDataset format"), so that
other loaders can stream them. Photos lie in the manifest's order, neighbours beside each other, so that whoever streams has
to shuffle. Here they are read by ranges of bytes, neighbouring ones in one request:
docs/decisions/0026-shards-are-tar-files.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from binsight.dataset.manifest import LabelledPhoto, arrow, read_table
from binsight.dataset.photo_files import PART_PHOTOS, checked
from binsight.errors import BadDataset, MissingObject
from binsight.storage.objects import Objects

SHARDS_NAME = "shards.parquet"
_COLUMNS = ("photo", "shard", "offset", "size")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the bytes of a photo lie: the shard's name below the dataset, and offset and size in bytes."""

    shard: str
    offset: int
    size: int


def write_places(path: Path, places: Mapping[str, Place]) -> None:
    """Write `shards.parquet`, one row a photo."""
    pa, parquet = arrow()
    columns = {
        "photo": list(places),
        "shard": [place.shard for place in places.values()],
        "offset": [place.offset for place in places.values()],
        "size": [place.size for place in places.values()],
    }
    parquet.write_table(pa.table(columns), path, compression="zstd")


def read_places(path: Path) -> dict[str, Place]:
    """Read `shards.parquet`. Raises `BadDataset` where it is damaged or names what lies outside of the dataset."""
    pa, _ = arrow()
    try:
        rows = read_table(path).select(_COLUMNS).to_pylist()
    except (pa.ArrowException, OSError, KeyError) as error:
        raise BadDataset(f"{path} is no readable list of shards ({error}); pack the dataset again") from None
    for row in rows:
        is_whole = isinstance(row["photo"], str) and isinstance(row["shard"], str)
        numbers = (row["offset"], row["size"])
        if not is_whole or not all(isinstance(number, int) and number >= 0 for number in numbers):
            raise BadDataset(f"{path}: {row} names no place in a shard; pack the dataset again")
        if row["shard"].startswith("/") or ".." in row["shard"].split("/"):
            raise BadDataset(
                f"{path}: the shard of photo {row['photo']} must lie in the dataset, but is {row['shard']!r}; "
                "do not use this dataset"
            )
    return {row["photo"]: Place(row["shard"], row["offset"], row["size"]) for row in rows}


class ShardFiles:
    """Photos as ranges of bytes of shards."""

    def __init__(self, store: Objects, places: Mapping[str, Place]) -> None:
        self._store, self._places = store, places

    def read(self, photos: Sequence[LabelledPhoto]) -> list[bytes]:
        read: dict[str, bytes] = {}
        by_shard = sorted(photos, key=self._order)
        for shard, several in groupby(by_shard, key=lambda photo: self._place(photo).shard):
            read |= self._read_of(shard, list(several))
        return [read[photo.photo] for photo in photos]

    def _read_of(self, shard: str, photos: Sequence[LabelledPhoto]) -> dict[str, bytes]:
        places = [self._place(photo) for photo in photos]
        where = f"{self._store.url.rstrip('/')}/{shard}"
        try:
            datas = self._store.read_ranges(shard, [(place.offset, place.size) for place in places])
        except MissingObject:
            raise BadDataset(
                f"{where} is named by {SHARDS_NAME} but is not there; pack the dataset again"
            ) from None
        return {
            photo.photo: checked(
                data, photo, where=f"{where} at byte {place.offset}", mend="pack the dataset again"
            )
            for photo, place, data in zip(photos, places, datas, strict=True)
        }

    def parts(self, photos: Sequence[LabelledPhoto]) -> list[list[int]]:
        ordered = sorted(range(len(photos)), key=lambda index: self._order(photos[index]))
        parts = []
        for _, several in groupby(ordered, key=lambda index: self._place(photos[index]).shard):
            of_shard = list(several)
            parts += [of_shard[first : first + PART_PHOTOS] for first in range(0, len(of_shard), PART_PHOTOS)]
        return parts

    def _order(self, photo: LabelledPhoto) -> tuple[str, int]:
        place = self._place(photo)
        return place.shard, place.offset

    def _place(self, photo: LabelledPhoto) -> Place:
        try:
            return self._places[photo.photo]
        except KeyError:
            raise BadDataset(
                f"{self._store.url} has no place for photo {photo.photo} in {SHARDS_NAME}; pack the dataset again"
            ) from None
