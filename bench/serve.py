"""Throughput of `binsight serve` against two bare processes that decode and run the network, and nothing else.

    python bench/serve.py FOLDER [--photos 400] [--connections 16]

Ours is the real process on loopback, loaded from another process over connections that are kept open; what the load
itself costs falls on ours, since all share the machine's cores. The bare processes have the photos in memory, one half
each, the same decoder and the same ONNX session on one thread. Photos a second, in turns.
"""

import argparse
import asyncio
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import numpy as np

from binsight.counting import default_bundle
from binsight.counting.bundle import Bundle
from binsight.counting.providers import open_session
from binsight.imaging import images_BCHW, pixels_HWC
from ratio import bench_arguments, compare, report

NUM_BARE = 2
PORT = 18080


def bare(photos: list[bytes], bundle: Path) -> float:
    """Photos a second of `NUM_BARE` processes together, from when all are ready to when the last is done."""
    context = multiprocessing.get_context("spawn")
    ready, go = context.Barrier(NUM_BARE + 1), context.Event()
    workers = [
        context.Process(target=decode_and_infer, args=(photos[place::NUM_BARE], bundle, ready, go))
        for place in range(NUM_BARE)
    ]
    for worker in workers:
        worker.start()
    ready.wait()
    started = time.perf_counter()
    go.set()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    return len(photos) / (time.perf_counter() - started)


def decode_and_infer(photos: list[bytes], folder: Path, ready, go) -> None:  # type: ignore[no-untyped-def]
    """One photo after the other."""
    bundle = Bundle.open(folder)
    session, preprocessing = open_session(bundle.model_path, threads=1), bundle.spec.preprocessing

    def count(photo: bytes) -> None:
        session.run(None, {"images": images_BCHW(pixels_HWC(photo, preprocessing)[np.newaxis], preprocessing)})

    count(photos[0])
    ready.wait()
    go.wait()
    for photo in photos:
        count(photo)


@contextmanager
def serving(bundle: Path) -> Iterator[None]:
    """The service, ready."""
    command = [sys.executable, "-m", "binsight", "serve", "--port", str(PORT), "--model", str(bundle)]
    env = os.environ | {"BINSIGHT_QUEUE_WAIT_S": "60"}  # all photos are to be counted, however long they wait
    with subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL) as process:
        try:
            while not answers():
                assert process.poll() is None, "the service does not start"
                time.sleep(0.1)
            yield
        finally:
            process.terminate()


def answers() -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{PORT}/ping") as response:
            return bool(response.status == 200)
    except OSError:
        return False


def ours(photos: list[bytes], connections: int) -> float:
    """Photos a second, as the process that loads the service sees it."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(load, (photos, connections))


def load(photos: list[bytes], connections: int) -> float:
    """Send every photo once over so many connections; all must be counted."""
    return asyncio.run(loading(photos, connections))


async def loading(photos: list[bytes], connections: int) -> float:
    # Requests by hand: a client library would take more of the two cores than the service's own HTTP does.
    waiting = iter(photos)

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        for photo in waiting:
            head = (
                f"POST /invocations HTTP/1.1\r\nHost: b\r\nContent-Type: image/jpeg\r\nContent-Length: {len(photo)}"
            )
            writer.write(head.encode() + b"\r\n\r\n" + photo)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200"), answer
            length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length"))
            await reader.readexactly(int(length.partition(b":")[2]))
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(connection() for _ in range(connections)))
    return len(photos) / (time.perf_counter() - started)


def parse() -> argparse.Namespace:
    parser = bench_arguments(__doc__, num_runs=5)
    parser.add_argument("folder", type=Path, help="folder of photos")
    parser.add_argument("--photos", type=int, default=400, help="how many of them (default 400)")
    parser.add_argument("--connections", type=int, default=16, help="requests in flight (default 16)")
    parser.add_argument("--bundle", type=Path, default=default_bundle(), help="default: the one that ships")
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse()
    files = sorted(arguments.folder.rglob("*.jpg"))[: arguments.photos]
    contents = [file.read_bytes() for file in files]
    with serving(arguments.bundle):
        comparison = compare(
            lambda: ours(contents, arguments.connections),
            lambda: bare(contents, arguments.bundle),
            names=("binsight serve", f"{NUM_BARE} bare processes"),
            unit="photos/s",
            num_runs=arguments.runs,
        )
    report(comparison, at_least=0.85, as_json=arguments.json)
