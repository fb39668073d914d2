"""Two `binsight serve` processes on one machine, with and without something beside the counting, asked in turns."""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from binsight.counting.registry import Registry
from binsight.settings import settings
from ratio import Comparison, bench_arguments, compare

# Every photo is to be counted, however long it waits: with the short queue of the default a slow moment would be a 503.
PATIENT = {"BINSIGHT_QUEUE_WAIT_S": "60", "BINSIGHT_ANSWER_WITHIN_S": "600"}


def beside_arguments(description: str) -> argparse.ArgumentParser:
    """What both benches take. Add further ones before parsing."""
    parser = bench_arguments(description, num_runs=5)
    parser.add_argument("--photos", type=int, default=100, help="photos in a run (default 100)")
    parser.add_argument("--connections", type=int, default=8, help="requests in flight (default 8)")
    return parser


@contextmanager
def champions(bundles: dict[str, Path]) -> Iterator[Path]:
    """A scratch folder with a ledger in which these aliases point at these bundles; the environment names it."""
    with tempfile.TemporaryDirectory(prefix="binsight-beside.") as scratch:
        places = {"LEDGER": "sqlite:///{}/ledger.db", "BUNDLES": "{}/bundles", "CACHE_DIR": "{}/cache"}
        os.environ |= {f"BINSIGHT_{name}": place.format(scratch) for name, place in places.items()} | PATIENT
        settings.cache_clear()
        registry = Registry.open()
        for alias, folder in bundles.items():
            version = registry.register(folder, by="bench").version
            registry.point(alias, version, by="bench", reason="", seen=None)
        registry.close()
        yield Path(scratch)


def photos_a_second(port: int, photos: Sequence[bytes], num_connections: int) -> float:
    """Every photo asked for once, each as soon as there is an answer to the one before; all of them are counted."""

    def ask(photo: bytes) -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=600)
        connection.request("POST", "/invocations", photo, {"Content-Type": "image/jpeg"})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        connection.close()

    started = time.perf_counter()
    with ThreadPoolExecutor(num_connections) as pool:
        list(pool.map(ask, photos))
    return len(photos) / (time.perf_counter() - started)


def compare_ports(
    ours: int,
    other: int,
    given: argparse.Namespace,
    *,
    names: tuple[str, str],
    batches: Callable[[], Iterator[list[bytes]]],
    before: Callable[[], None] = lambda: None,
) -> Comparison:
    """Photos a second of both processes in turns; both are given the same photos. `before` is called ahead of each turn."""

    def turn(port: int, batch: Iterator[list[bytes]]) -> Callable[[], float]:
        def run() -> float:
            before()
            return photos_a_second(port, next(batch), given.connections)

        return run

    return compare(turn(ours, batches()), turn(other, batches()), names=names, unit="photos/s", num_runs=given.runs)
