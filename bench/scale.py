"""How counting a bucket grows from a thousand photos to a million, and what more workers and machines would bring.

    python -m bench.scale FOLDER --memory 100000
    python -m bench.scale FOLDER [--sizes 1000 10000 100000 1000000] [--counted 1024] [--price NAME=PER_HOUR:CORES ...]

The parts are measured, each alone:

- what the one process that hands out does for so many photos: list them and freeze the list, hand shards out and take
  them in, and, in a run after a kill, look at what is there. Real photos under new names (hard links); shards are not
  counted, their parts written ready-made, as workers would write them.
- what a worker on one core does: its start, and photos a second (`count_shard`: read, decode, count, write).
- with Ray installed, what handing a task to a worker and its answer back costs.

From these follows, on paper, the time for W workers:

    list + start + max(photos / (W * rate), shards * per shard) + one shard's time for the last one

It leaves out what was not measured: a bucket's own limits and latency, machines that start, networks. With --price, what
a number of photos costs on a machine of so many cores at such a price an hour, which you have to look up.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench.batch import peak_kib, repeated

from binsight.batch import Done, Places, Task, begin, count_shard, run
from binsight.batch.rows import row_bytes
from binsight.counting import Counter, default_bundle
from binsight.records import CountEstimate

SHARD = 256
ABID = 535_234
"""Photos in the whole Amazon Bin Image Dataset."""
WORKERS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Seconds of each part: for each photo listed, for each shard handed out, a worker's start and its photos a second."""

    listing: float
    shard: float
    start: float
    rate: float

    def seconds(self, photos: int, workers: int) -> float:
        """What counting so many photos takes with so many workers, on paper."""
        shards = -(-photos // SHARD)
        busy = max(photos / (workers * self.rate), shards * self.shard)
        return photos * self.listing + self.start + busy + (SHARD / self.rate if workers > 1 else 0)


def handed_out(number: int, paths: list[Path], folder: Path) -> tuple[float, float, float]:
    """Seconds to list, to hand out and take in, and to look at it all again, for so many photos."""
    places = Places(photos=str(repeated(paths, number, folder / "photos")), out=str(folder / "out"))
    out, estimate = places.open_out(), CountEstimate(photo="0000/0000000.jpg", probs=(1 / 21,) * 21)
    rows = {size: row_bytes([estimate] * size, "bench:0") for size in {SHARD, number % SHARD or SHARD}}

    def write(tasks: Iterable[Task]) -> Iterator[Done]:
        for task in tasks:
            out.write(task.part, rows[task.num_photos])
            yield Done(num_photos=task.num_photos, num_failed=0, here=True)

    started = time.perf_counter()
    job = begin(places, model="bench:0", read_labels=False, shard_photos=SHARD)
    listed = time.perf_counter()
    run(job, places, write, began=time.monotonic(), price_per_hour=None)
    handed = time.perf_counter()
    again = run(job, places, write, began=time.monotonic(), price_per_hour=None)
    assert (again.photos, again.now) == (number, 0), again
    return listed - started, handed - listed, time.perf_counter() - handed


def counted(paths: list[Path], number: int, folder: Path) -> tuple[float, float]:
    """A worker's start in seconds, and its photos a second on one core."""
    places = Places(photos=str(repeated(paths, number, folder / "photos")), out=str(folder / "out"))
    started = time.perf_counter()
    counter = Counter.load(default_bundle(), threads=1)
    ready = time.perf_counter()
    job = begin(places, model=counter.bundle.version, read_labels=False, shard_photos=SHARD)
    rates = []
    for task in job.tasks():
        begun = time.perf_counter()
        count_shard(places, task, counter)
        rates.append(task.num_photos / (time.perf_counter() - begun))
    return ready - started, statistics.median(rates)


class AtOnce:
    """A network that answers at once, so that memory over very many photos can be seen in minutes: what it was last asked
    is answered with one and the same row."""

    def __init__(self, session: Any) -> None:
        self._session, (self._row, *_) = (
            session,
            session.run(None, {"images": np.zeros((1, 3, 192, 192), np.float32)}),
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, _names: object, feeds: Mapping[str, Any]) -> list[Any]:
        """As `InferenceSession.run`."""
        return [np.repeat(self._row, len(feeds["images"]), axis=0)]


def memory(paths: list[Path], number: int, folder: Path) -> None:
    """What a worker holds while it goes through so many photos, in ten steps; all but the network is as always."""
    counter = Counter.load(default_bundle(), threads=1)
    counter._session = AtOnce(counter._session)
    places = Places(photos=str(repeated(paths, number, folder / "photos")), out=str(folder / "out"))
    tasks = list(begin(places, model="bench:0", read_labels=True, shard_photos=SHARD).tasks())
    for place, task in enumerate(tasks, 1):
        count_shard(places, task, counter)
        if place * 10 // len(tasks) > (place - 1) * 10 // len(tasks):
            print(f"{place * SHARD:9,} photos: {peak_kib(os.getpid()) / 1024:.1f} MiB at most", flush=True)


def ray_task() -> float | None:
    """Seconds for a task of Ray that does nothing, once workers run; None where Ray is not installed."""
    try:
        import ray
    except ImportError:
        return None
    from binsight.engines.ray.cluster import cluster

    with cluster(None):
        nothing = ray.remote(num_cpus=1)(lambda task: task)
        task = Task(number=0, num_photos=SHARD, digest="0" * 64, model="bench:0", read_labels=False)
        ray.get([nothing.remote(task) for _ in range(200)])
        started = time.perf_counter()
        ray.get([nothing.remote(task) for _ in range(2000)])
        return (time.perf_counter() - started) / 2000


def on_paper(parts: Parts) -> None:
    """Times and efficiencies for more workers, for a million photos and for all of ABID."""
    for photos in (ABID, 1_000_000):
        alone = parts.seconds(photos, 1)
        print(f"\n{photos:,} photos on paper:")
        for workers in WORKERS:
            seconds = parts.seconds(photos, workers)
            share = alone / seconds / workers
            rate = photos / seconds
            print(
                f"  {workers:3} workers {seconds / 60:8.1f} min  {rate:8.0f} photos/s  {share:6.1%} of as many times one"
            )


def priced(parts: Parts, prices: list[str]) -> None:
    """What counting ABID costs on one machine of each kind."""
    for price in prices:
        name, _, rest = price.partition("=")
        per_hour, _, cores = rest.partition(":")
        seconds = parts.seconds(ABID, int(cores))
        print(
            f"  {name}: {seconds / 60:.0f} min, {seconds / 3600 * float(per_hour):.2f} at {per_hour} an hour, {cores} cores"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of photos")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--counted", type=int, default=1024, help="photos that a worker counts")
    parser.add_argument("--price", nargs="*", default=[], metavar="NAME=PER_HOUR:CORES")
    parser.add_argument(
        "--memory", type=int, metavar="PHOTOS", help="measure a worker's memory over so many, and end"
    )
    given = parser.parse_args()
    print(f"load before: {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="scale-") as name:
        paths = sorted(given.folder.rglob("*.jpg"))
        if given.memory:
            memory(paths, given.memory, Path(name, "memory"))
            return
        for size in given.sizes:
            listing, handing, looking = handed_out(size, paths, Path(name, str(size)))
            print(
                f"{size:9,} photos: listed and frozen in {listing:.1f} s ({1e6 * listing / size:.0f} µs each), handed out "
                f"and parts written in {handing:.1f} s, looked at again in {looking:.1f} s",
                flush=True,
            )
            shutil.rmtree(Path(name, str(size)))
        start, rate = counted(paths, given.counted, Path(name, "counted"))
        print(f"a worker: ready after {start:.1f} s, {rate:.1f} photos/s on one core")
    per_task = ray_task()
    if per_task is not None:
        print(f"Ray: {1e3 * per_task:.2f} ms a task")
    parts = Parts(
        listing=listing / size, shard=max(handing / -(-size // SHARD), per_task or 0.0), start=start, rate=rate
    )
    on_paper(parts)
    if given.price:
        print(f"\nall {ABID:,} photos of ABID:")
        priced(parts, given.price)


if __name__ == "__main__":
    main()
