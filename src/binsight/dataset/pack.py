"""Pack a dataset into shards, in a folder or in an object store (`shards` draws what comes of it)."""

import io
import json
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from binsight.dataset.manifest import MANIFEST_NAME, SPLITS, SUMMARY_NAME, Dataset, LabelledPhoto, Split
from binsight.dataset.shards import SHARDS_NAME, Place, write_places
from binsight.errors import BadDataset, BadInput, MissingObject, StorageFailure
from binsight.progress import progress_bar
from binsight.storage.objects import Objects, open_store

REJECTS_NAME = "rejects.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """What packing did. `was_there`: the same dataset was packed there before, and nothing was written."""

    photos: int
    shards: int
    bytes: int
    was_there: bool


def pack_dataset(dataset: Dataset, place: str, *, shard_bytes: int, endpoint_url: str | None = None) -> Packed:
    """Pack every photo of the dataset into shards of about `shard_bytes` at `place`.

    What was cut off half-way is completed by packing again: a shard that is there whole is not written twice.
    Raises `BadInput` where anything else is there, `BadDataset` for a photo that is gone or changed, and as
    `Objects.write` does.
    """
    store = open_store(place, endpoint_url=endpoint_url, create=True)
    there = _there(dataset, store)
    if there is not None:
        return Packed(photos=len(dataset.photos), shards=there["number"], bytes=there["bytes"], was_there=True)
    with tempfile.TemporaryDirectory(prefix="binsight-pack-") as name:
        sizes, places = _write_shards(dataset, store, shard_bytes, Path(name) / "shard.tar")
        index = Path(name) / SHARDS_NAME
        write_places(index, {photo.photo: places[photo.photo] for photo in dataset.photos})
        shards = {
            "number": len(sizes),
            "bytes": sum(sizes.values()),
            "sha256": sha256(index.read_bytes()).hexdigest(),
        }
        store.write(SHARDS_NAME, index)
    for file in (REJECTS_NAME, MANIFEST_NAME):
        if (dataset.folder / file).is_file():
            store.write(file, dataset.folder / file)
    summary = json.loads((dataset.folder / SUMMARY_NAME).read_text()) | {"shards": shards}
    store.write(SUMMARY_NAME, (json.dumps(summary, indent=2, ensure_ascii=False) + "\n").encode())
    return Packed(photos=len(places), shards=len(sizes), bytes=sum(sizes.values()), was_there=False)


def _there(dataset: Dataset, store: Objects) -> dict[str, Any] | None:
    """What the summary at the place says of its shards; None where there is none yet."""
    try:
        summary = json.loads(store.read(SUMMARY_NAME))
    except MissingObject:
        _check_alone(dataset, store)
        return None
    except ValueError:
        summary = {}
    if summary.get("sha256") != dataset.digest or "shards" not in summary:
        raise BadInput(
            f"{store.url} holds another dataset, or this one unpacked, which is never overwritten; pack to another place"
        )
    shards: dict[str, Any] = summary["shards"]
    return shards


def _check_alone(dataset: Dataset, store: Objects) -> None:
    """Raises `BadInput` where there is anything but what this dataset's packing leaves when it is cut off."""
    own = (SHARDS_NAME, REJECTS_NAME, MANIFEST_NAME)
    for info in store.list():
        if info.name not in own and not info.name.startswith(_shards_of(dataset)):
            raise BadInput(
                f"{store.url} must be empty, or hold this dataset packed, but holds {info.name}; pack to another place"
            )


def _shards_of(dataset: Dataset) -> str:
    """How the names of its shards begin."""
    return f"shards/{dataset.digest[:12]}-"


def _write_shards(
    dataset: Dataset, store: Objects, shard_bytes: int, path: Path
) -> tuple[dict[str, int], dict[str, Place]]:
    """Write every shard by way of the file at `path`: the shards' sizes in bytes, and where each photo lies."""
    there = {one.name: one.size for one in store.list("shards")}
    sizes: dict[str, int] = {}
    places: dict[str, Place] = {}
    number_of = {photo.photo: number for number, photo in enumerate(dataset.photos)}
    with progress_bar("photos") as bar:
        task = bar.add_task(f"to {store.url}", total=len(dataset.photos))
        for split in SPLITS:
            for number, shard in enumerate(_shards(dataset, split, shard_bytes)):
                name = f"{_shards_of(dataset)}{split}-{number:05}.tar"
                spans = _write_tar(path, [(number_of[photo.photo], photo, data) for photo, data in shard])
                places |= {photo: Place(name, *span) for photo, span in spans.items()}
                sizes[name] = path.stat().st_size
                if there.get(name) != sizes[name]:  # objects are there whole or not at all
                    store.write(name, path)
                bar.advance(task, len(shard))
    return sizes, places


def _shards(dataset: Dataset, split: Split, shard_bytes: int) -> Iterator[list[tuple[LabelledPhoto, bytes]]]:
    """The photos of a split with their bytes, in the manifest's order, until a shard is full."""
    shard: list[tuple[LabelledPhoto, bytes]] = []
    size = 0
    for photo in dataset.select(split):
        data = dataset.read_bytes(photo)
        if sha256(data).hexdigest() != photo.sha256:
            raise BadDataset(
                f"{dataset.folder / photo.file} must have the checksum that the manifest names, but was changed; "
                "prepare the dataset again"
            )
        if shard and size + len(data) > shard_bytes:
            yield shard
            shard, size = [], 0
        shard.append((photo, data))
        size += len(data)
    if shard:
        yield shard


def _write_tar(path: Path, shard: list[tuple[int, LabelledPhoto, bytes]]) -> dict[str, tuple[int, int]]:
    """Write photos and their labels as a tar file, the same bytes for the same photos: offset and size of each photo."""
    spans = {}
    try:
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for number, photo, data in shard:
                suffix = PurePosixPath(photo.file).suffix
                spans[photo.photo] = (_add(tar, f"{number:09}{suffix}", data), len(data))
                _add(tar, f"{number:09}.json", json.dumps(_label(photo), ensure_ascii=False).encode())
    except OSError as error:
        raise StorageFailure(
            f"{path} cannot be written ({error.strerror}); free space, or set TMPDIR to another disk"
        ) from None
    return spans


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> int:
    """Append a file and return the offset of its first byte."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    offset = tar.offset + tarfile.BLOCKSIZE  # of a USTAR header, which is one block
    tar.addfile(info, io.BytesIO(data))
    return offset


def _label(photo: LabelledPhoto) -> dict[str, Any]:
    row = {"photo": photo.photo, "count": photo.count, "split": photo.split, "group": photo.group}
    return row | {"sha256": photo.sha256, **photo.extras}
