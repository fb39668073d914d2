"""How fast a dataset's photos reach the network's size, from a disk and from an S3 server, by how they are stored.

    python -m bench.shards DATASET [--runs 3] [--shard-mb 100] [--json]

Each way reads all photos and decodes them to 160 pixels, with four threads; `bare` decodes them from memory and reads
nothing, so that its ratio says what reading costs. Beside it, the same without decoding. In turns, medians. Ways:

    files      a folder of photos; on S3 an object for each
    shards     what `binsight data pack` makes: tar files, read by ranges of bytes in parts of 64 photos
    webdataset the same tar files as a stream, by the library WebDataset; on S3 each opened as one object
    parquet    photos as a column of bytes, 64 a row group, read by PyArrow
    litdata    LitData's chunks by its StreamingDataset; on a disk alone

WebDataset and LitData are left out where they are not installed (`pip install --no-deps webdataset litdata`). The server is
SeaweedFS on the same machine: its own work is in the figures, and no network is.
"""

import argparse
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
from tests.s3_server import CREDENTIALS, PUBLIC_BUCKET, running_s3_server

from binsight.dataset.manifest import Dataset
from binsight.dataset.pack import pack_dataset
from binsight.dataset.photo_files import PART_PHOTOS
from binsight.dataset.push import push_dataset
from binsight.imaging import Preprocessing, pixels_HWC
from binsight.settings import settings
from binsight.storage.objects import open_store

PREPROCESSING = Preprocessing(size=160, fit="squash", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
THREADS = 4

Use = Callable[[Sequence[bytes]], int]
Way = Callable[[Use], int]
"""Gives every photo to a use, in whatever parts; returns how many photos there were."""


def decode(photos: Sequence[bytes]) -> int:
    for photo in photos:
        pixels_HWC(photo, PREPROCESSING)
    return len(photos)


def batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of so many items, the last one shorter; `itertools` has it from Python 3.12 on."""
    items = iter(items)
    while some := list(islice(items, size)):
        yield some


def in_threads(use: Use, read: Callable[[Any], Sequence[bytes]], parts: Iterable[Any]) -> int:
    """Each part read and used in one of the threads."""
    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(lambda part: use(read(part)), parts))


def streamed(use: Use, photos: Iterable[bytes]) -> int:
    """One thread reads, the others use."""
    with ThreadPoolExecutor(THREADS - 1) as pool:
        return sum(pool.map(use, batched(photos, PART_PHOTOS)))


def of_dataset(place: Path | str) -> Way:
    dataset = Dataset.open(place)

    def way(use: Use) -> int:
        parts = [[dataset.photos[index] for index in part] for part in dataset.files.parts(dataset.photos)]
        return in_threads(use, dataset.files.read, parts)

    return way


def by_webdataset(place: str) -> Way:
    import webdataset

    store = open_store(place)
    shards = sorted(one.name for one in store.list("shards"))

    def way(use: Use) -> int:
        def opened(url: str, *_: object, **__: object) -> io.BytesIO:
            return io.BytesIO(store.read(url.removeprefix("store:")))

        import_module("webdataset.gopen").gopen_schemes["store"] = opened  # a function has the module's name
        names = [f"store:{name}" for name in shards]
        if "://" not in place:
            names = [f"{place}/{name}" for name in shards]
        stream = webdataset.WebDataset(names, shardshuffle=False, empty_check=False)
        return streamed(use, (sample["jpg"] for sample in stream))

    return way


def by_parquet(path: str, filesystem: Any = None) -> Way:
    def way(use: Use) -> int:
        groups = range(pq.ParquetFile(path, filesystem=filesystem).num_row_groups)
        files = [pq.ParquetFile(path, filesystem=filesystem) for _ in range(THREADS)]  # a reader is for one thread

        def read(group: int) -> list[bytes]:
            file = files.pop()
            try:
                return file.read_row_group(group, columns=["data"]).column("data").to_pylist()
            finally:
                files.append(file)

        return in_threads(use, read, groups)

    return way


def by_litdata(folder: Path) -> Way:
    from litdata import StreamingDataset

    def way(use: Use) -> int:
        dataset = StreamingDataset(str(folder), shuffle=False)
        return streamed(use, (bytes(dataset[index]) for index in range(len(dataset))))

    return way


def write_litdata(dataset: Dataset, folder: Path, shard_bytes: int) -> None:
    from litdata.streaming import Cache

    cache = Cache(str(folder), chunk_bytes=shard_bytes)
    for index, photo in enumerate(dataset.photos):
        cache[index] = dataset.read_bytes(photo)
    cache.done()
    cache.merge()


def write_parquet(dataset: Dataset, path: Path) -> None:
    schema = pa.schema([("photo", pa.string()), ("data", pa.binary())])
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for part in batched(dataset.photos, PART_PHOTOS):
            columns = [[photo.photo for photo in part], dataset.files.read(part)]
            writer.write_table(pa.table(columns, schema=schema))


def ways(dataset: Dataset, scratch: Path, server: str, shard_bytes: int) -> dict[str, Way]:
    """Everything that is measured, stored in all its ways."""
    memory = [dataset.files.read(part) for part in batched(dataset.photos, PART_PHOTOS)]
    bucket = f"s3://{PUBLIC_BUCKET}"
    packed, parquet = scratch / "packed", scratch / "photos.parquet"
    pack_dataset(dataset, str(packed), shard_bytes=shard_bytes)
    pack_dataset(dataset, f"{bucket}/packed", shard_bytes=shard_bytes)
    push_dataset(dataset.folder, f"{bucket}/pushed")
    write_parquet(dataset, parquet)
    open_store(bucket).write("photos.parquet", parquet)
    s3 = pa.fs.S3FileSystem(
        access_key=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        secret_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        endpoint_override=server.removeprefix("http://"),
        scheme="http",
    )
    found: dict[str, Way] = {
        "bare": lambda use: in_threads(use, lambda part: part, memory),
        "disk: files": of_dataset(dataset.folder),
        "disk: shards": of_dataset(packed),
        "disk: parquet": by_parquet(str(parquet)),
        "S3: files": of_dataset(f"{bucket}/pushed"),
        "S3: shards": of_dataset(f"{bucket}/packed"),
        "S3: parquet": by_parquet(f"{PUBLIC_BUCKET}/photos.parquet", s3),
    }
    if find_spec("webdataset"):
        found["disk: webdataset"] = by_webdataset(str(packed))
        found["S3: webdataset"] = by_webdataset(f"{bucket}/packed")
    if find_spec("litdata"):
        write_litdata(dataset, scratch / "litdata", shard_bytes)
        found["disk: litdata"] = by_litdata(scratch / "litdata")
    return found


def measured(found: dict[str, Way], num_photos: int, runs: int) -> Iterator[dict[str, Any]]:
    seconds: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in found}
    for _ in range(runs):
        for name, way in found.items():
            for use, into in zip((decode, len), seconds[name], strict=True):
                began = time.perf_counter()
                assert way(use) == num_photos, name
                into.append(time.perf_counter() - began)
    bare = seconds["bare"][0]
    for name, (decoded, read) in seconds.items():
        ratios = [one / other for one, other in zip(bare, decoded, strict=True)]
        yield {
            "way": name,
            "photos_per_s": round(num_photos / statistics.median(decoded)),
            "of_bare": round(statistics.median(ratios), 3),
            "single": [round(ratio, 3) for ratio in ratios],
            "read_only_photos_per_s": round(num_photos / statistics.median(read)),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--shard-mb", type=float, default=100)
    arguments = parser.parse_args()
    dataset = Dataset.open(arguments.dataset)
    with tempfile.TemporaryDirectory() as name, running_s3_server(Path(name) / "s3") as server:
        places = {"BINSIGHT_ENDPOINT_URL": server.endpoint_url, "BINSIGHT_CACHE_DIR": f"{name}/cache"}
        with patch.dict(os.environ, CREDENTIALS | places):
            settings.cache_clear()
            found = ways(dataset, Path(name), server.endpoint_url, round(arguments.shard_mb * 1e6))
            for row in measured(found, len(dataset.photos), arguments.runs):
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
