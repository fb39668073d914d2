"""Throughput of counting against a bare loop: the same decoder, the same ONNX session, nothing else.

python bench/count.py FOLDER [--photos 1000]

Ours reads files, decodes ahead in threads, measures quality, tempers, and makes the JSON line that
`binsight count --json` prints; the bare loop reads, decodes and runs the network, batch by batch: one core decodes while
the other waits. With `--pool` it decodes ahead in as many threads as ours does, so that what is left is what ours does
beside. `--memory` measures instead the peak memory of `binsight count` over 1,000 and over 10,000 photos, as a ratio.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from binsight.cli.options import count_line
from binsight.counting import Counter, default_bundle
from binsight.counting.cores import available_cores
from binsight.counting.counter import BATCH_SIZE
from binsight.counting.sources import find_photos
from binsight.imaging import images_BCHW, pixels_HWC
from ratio import Comparison, bench_arguments, compare, report


def throughput(paths: list[Path], num_runs: int, *, pool: bool) -> Comparison:
    counter = Counter.load(default_bundle())
    preprocessing = counter.bundle.spec.preprocessing

    def ours() -> float:
        start = time.perf_counter()
        printed = [json.dumps(count_line(r)) for r in counter.count(find_photos(map(str, paths)))]
        assert len(printed) == len(paths)
        return len(paths) / (time.perf_counter() - start)

    def decode(path: Path) -> npt.NDArray[np.uint8]:
        return pixels_HWC(path.read_bytes(), preprocessing)

    def bare() -> float:
        start = time.perf_counter()
        with ThreadPoolExecutor(available_cores()) as threads:
            decoded = threads.map(decode, paths) if pool else map(decode, paths)
            while batch := list(itertools.islice(decoded, BATCH_SIZE)):
                counter._session.run(None, {"images": images_BCHW(np.stack(batch), preprocessing)})
        return len(paths) / (time.perf_counter() - start)

    other = "bare loop with a pool" if pool else "bare loop"
    return compare(ours, bare, names=("binsight count", other), unit="photos/s", num_runs=num_runs)


def peak_mib(paths: list[Path], num_photos: int) -> float:
    """Peak memory of `binsight count` over so many photos: links in a folder, repeated as often as needed."""
    with tempfile.TemporaryDirectory() as name:
        for number, path in enumerate(itertools.islice(itertools.cycle(paths), num_photos)):
            (Path(name) / f"{number:06}.jpg").symlink_to(path.resolve())
        code = (
            "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        )
        command = [sys.executable, "-m", "binsight", "count", name, "--json"]
        ended = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=True)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return int(ended.stdout) / unit


def parse() -> argparse.Namespace:
    parser = bench_arguments(__doc__, num_runs=5)
    parser.add_argument("folder", type=Path, help="folder of photos")
    parser.add_argument("--photos", type=int, default=1000, help="how many of them (default 1000)")
    parser.add_argument("--pool", action="store_true", help="let the bare loop decode ahead in threads too")
    parser.add_argument("--memory", action="store_true", help="measure memory, not speed")
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse()
    photos = sorted(arguments.folder.rglob("*.jpg"))[: arguments.photos]
    if arguments.memory:
        comparison = compare(
            lambda: peak_mib(photos, 10_000),
            lambda: peak_mib(photos, 1_000),
            names=("10,000 photos", "1,000 photos"),
            unit="MiB",
            num_runs=2,
            num_warm_up=0,
        )
        report(comparison, at_most=1.05, as_json=arguments.json)
    report(throughput(photos, arguments.runs, pool=arguments.pool), at_least=0.85, as_json=arguments.json)
