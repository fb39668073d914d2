"""Batch counting on Ray: two workers against one and against bare processes, memory, and workers that are killed.

    python -m bench.batch FOLDER                    two workers / one (goal 1.7), / two bare processes (goal 0.9)
    python -m bench.batch FOLDER --kills            two workers, one of them killed every 10 s / left alone (goal 1.5)
    python -m bench.batch FOLDER --memory 1000 10000 100000     peak of a worker over so many photos (goal 1.05)

FOLDER has JPEGs, which are repeated under new names (hard links, or links where another disk is the temporary one) up to
`--photos`. A bare process reads, decodes and runs the same ONNX file on one core, batch by batch, and writes nothing.
All are warm before their time begins: Ray's workers have counted a shard, bare processes a batch. Interleaved, in one
run. The rates leave out the start of a cluster, which is printed beside; killed runs keep that of each new worker.
"""

import argparse
import hashlib
import itertools
import json
import multiprocessing
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tests.batch_support import parts, running_workers

from binsight.batch import Places, begin, run
from binsight.counting import Bundle, Counter, default_bundle
from binsight.counting.counter import BATCH_SIZE
from binsight.engines.ray import engine_on_ray
from binsight.engines.ray.cluster import cluster
from binsight.imaging import images_BCHW, pixels_HWC

AT_LEAST_TWO, AT_LEAST_BARE, AT_MOST_KILLED, AT_MOST_MEMORY = 1.7, 0.9, 1.5, 1.05
KILL_EVERY_S = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One run on Ray: when it was warm, its peak by worker, and what it left."""

    start_s: float
    seconds: float
    worker_mib: float
    driver_mib: float
    kills: int
    digest: str


def repeated(paths: list[Path], num_photos: int, folder: Path) -> Path:
    """So many photos in a folder, a thousand in each below it."""
    for number, path in enumerate(itertools.islice(itertools.cycle(paths), num_photos)):
        below = folder / f"{number // 1000:04}"
        below.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path.resolve(), below / f"{number:07}.jpg")
        except OSError:
            (below / f"{number:07}.jpg").symlink_to(path.resolve())
    return folder


def on_ray(photos: Path, *, workers: int, shard: int, kill_every_s: float | None = None) -> Ran:
    """Count a folder on a new local cluster whose workers have counted something before."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as name, cluster(None, workers=workers):
        for _ in range(3):  # shards go to any worker, so that one may get none
            count_into(photos / "0000", Path(name) / f"warm{time.monotonic_ns()}", workers=workers, shard=100)
        warm = time.perf_counter()
        with watched(kill_every_s) as seen:
            count_into(photos, Path(name) / "out", workers=workers, shard=shard)
        seconds = time.perf_counter() - warm
        found = parts(Path(name) / "out")
    digest = hashlib.sha256()
    for part in sorted(found):  # the names hold the lists' digests, the same for the same photos
        digest.update(part.encode() + found[part])
    return Ran(
        start_s=warm - began,
        seconds=seconds,
        worker_mib=max(seen["peaks"].values(), default=0) / 1024,
        driver_mib=peak_kib(os.getpid()) / 1024,
        kills=seen["kills"],
        digest=digest.hexdigest(),
    )


def count_into(photos: Path, out: Path, *, workers: int, shard: int) -> None:
    bundle = Bundle.open(default_bundle())
    places = Places.of(str(photos), str(out), endpoint_url=None, anonymous=False)
    job = begin(places, model=bundle.name, read_labels=False, shard_photos=shard)
    engine = engine_on_ray(bundle, places, address=None, workers=workers)
    summary = run(job, places, engine, began=time.monotonic(), price_per_hour=None)
    assert summary.now == summary.photos == job.num_photos, summary
    assert summary.failed == 0, summary


@contextmanager
def watched(kill_every_s: float | None) -> Iterator[dict[str, Any]]:
    """Look at the workers twice a second, and kill one of those at work every so often."""
    seen: dict[str, Any] = {"peaks": {}, "kills": 0}
    over = threading.Event()

    def watch() -> None:
        due = time.monotonic() + (kill_every_s or 0)
        while not over.wait(0.5):
            working = running_workers(os.getpid())
            seen["peaks"] |= {pid: peak_kib(pid) for pid in working}
            if kill_every_s and working and time.monotonic() >= due:
                with suppress(ProcessLookupError):
                    os.kill(random.choice(working), signal.SIGKILL)
                    seen["kills"] += 1
                due = time.monotonic() + kill_every_s

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield seen
    finally:
        over.set()
        watching.join()


def peak_kib(pid: int) -> int:
    """The most memory that a process has had in use, 0 where it has gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0


def bare(paths: list[Path], *, processes: int) -> float:
    """Seconds that so many bare processes take for their shares of the photos, from when all are ready."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(processes + 1)
    works = [
        context.Process(target=bare_process, args=(paths[first::processes], ready)) for first in range(processes)
    ]
    for work in works:
        work.start()
    ready.wait()
    began = time.perf_counter()
    for work in works:
        work.join()
        assert work.exitcode == 0
    return time.perf_counter() - began


def bare_process(paths: list[Path], ready: Any) -> None:
    counter = Counter.load(default_bundle(), threads=1)
    preprocessing = counter.bundle.spec.preprocessing

    def batch(some: list[Path]) -> None:
        pixels = [pixels_HWC(path.read_bytes(), preprocessing) for path in some]
        counter._session.run(None, {"images": images_BCHW(np.stack(pixels), preprocessing)})

    batch(paths[:BATCH_SIZE])
    ready.wait()
    for first in range(0, len(paths), BATCH_SIZE):
        batch(paths[first : first + BATCH_SIZE])


def speed(paths: list[Path], arguments: argparse.Namespace, folder: Path) -> list[tuple[str, float, float, str]]:
    photos = repeated(paths, arguments.photos, folder / "photos")
    listed = sorted(photos.rglob("*.jpg"))
    ones, twos, bares = list[Ran](), list[Ran](), list[float]()
    for _ in range(arguments.runs):
        ones.append(on_ray(photos, workers=1, shard=arguments.shard))
        twos.append(on_ray(photos, workers=2, shard=arguments.shard))
        bares.append(bare(listed, processes=2))
        row = [arguments.photos / seconds for seconds in (ones[-1].seconds, twos[-1].seconds, bares[-1])]
        print("photos/s: one worker {:.1f}, two {:.1f}, two bare processes {:.1f}".format(*row), file=sys.stderr)
    assert len({ran.digest for ran in (*ones, *twos)}) == 1, "the same photos must give the same bytes"
    print(f"start of a cluster until warm: {statistics.median(ran.start_s for ran in twos):.1f} s", file=sys.stderr)
    pairs = list(zip(ones, twos, bares, strict=True))
    return [
        told("two workers / one", [one.seconds / two.seconds for one, two, _ in pairs], at_least=AT_LEAST_TWO),
        told("two workers / bare", [alone / two.seconds for _, two, alone in pairs], at_least=AT_LEAST_BARE),
    ]


def killed(paths: list[Path], arguments: argparse.Namespace, folder: Path) -> list[tuple[str, float, float, str]]:
    photos = repeated(paths, arguments.photos, folder / "photos")
    ratios = []
    for _ in range(arguments.runs):
        calm = on_ray(photos, workers=2, shard=arguments.shard)
        stormy = on_ray(photos, workers=2, shard=arguments.shard, kill_every_s=KILL_EVERY_S)
        assert stormy.kills > 0, "nobody was killed; count more --photos"
        assert stormy.digest == calm.digest, "kills must not change the result"
        print(f"alone {calm.seconds:.1f} s, with {stormy.kills} kills {stormy.seconds:.1f} s", file=sys.stderr)
        ratios.append(stormy.seconds / calm.seconds)
    return [told("time with a kill every 10 s / without", ratios, at_most=AT_MOST_KILLED)]


def memory(paths: list[Path], arguments: argparse.Namespace, folder: Path) -> list[tuple[str, float, float, str]]:
    peaks = []
    for num_photos in arguments.memory:
        photos = repeated(paths, num_photos, folder / f"photos{num_photos}")
        ran = on_ray(photos, workers=1, shard=arguments.shard)
        peaks.append(ran.worker_mib)
        rate = num_photos / ran.seconds
        print(
            f"{num_photos:,} photos: worker {ran.worker_mib:.1f} MiB, driver {ran.driver_mib:.1f} MiB, {rate:.1f} photos/s",
            file=sys.stderr,
        )
    return [told("peak of a worker, most photos / fewest", [peaks[-1] / peaks[0]], at_most=AT_MOST_MEMORY)]


def told(
    what: str, ratios: list[float], *, at_least: float = 0, at_most: float = 0
) -> tuple[str, float, float, str]:
    """What was measured, its median ratio, the goal, and whether it is met."""
    ratio = statistics.median(ratios)
    met = ratio >= at_least if at_least else ratio <= at_most
    spread = ", ".join(f"{one:.3f}" for one in ratios)
    print(
        f"{what}: {ratio:.3f} (single: {spread}); goal {'≥' if at_least else '≤'} {at_least or at_most}",
        file=sys.stderr,
    )
    return what, round(ratio, 3), at_least or at_most, "met" if met else "NOT met"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of photos")
    parser.add_argument("--photos", type=int, default=4000, help="how many are counted (default 4000)")
    parser.add_argument("--shard", type=int, default=256, help="photos in a shard (default 256, as the command's)")
    parser.add_argument("--runs", type=int, default=3, help="interleaved runs (default 3)")
    parser.add_argument("--kills", action="store_true", help="measure what kills cost")
    parser.add_argument(
        "--memory", type=int, nargs="+", metavar="PHOTOS", help="measure memory over so many photos"
    )
    arguments = parser.parse_args()
    paths = sorted(arguments.folder.rglob("*.jpg"))
    measure = memory if arguments.memory else killed if arguments.kills else speed
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        figures = measure(paths, arguments, Path(name))
    names = ("what", "ratio", "goal", "met")
    print(f"load before: {load:.1f}", file=sys.stderr)
    for figure in figures:
        print(json.dumps(dict(zip(names, figure, strict=True)) | {"load_before": round(load, 1)}))
    return 0 if all(figure[-1] == "met" for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
