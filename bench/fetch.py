"""Throughput of `binsight data fetch` as a ratio to a bare concurrent GET loop with the same client.

Both read the same photos and records from the same local S3 server with the same number of requests in flight;
the bare loop throws the bytes away. They take turns within one run, since the machine's speed drifts. The bare loop
runs on asyncio's own event loop, as a loop of a few lines does; on uvloop, as fetch does, it is measured beside that.

    python -m bench.fetch [--photos 2000] [--jobs 32] [--rounds 4] [--folder .cache] [--json]
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import obstore
import uvloop
from obstore.store import S3Store
from tests.conftest import ABID
from tests.s3_server import PUBLIC_BUCKET, abid_objects, running_s3_server

from binsight.dataset.fetch import fetch
from binsight.dataset.selection import Selection

GOAL = 0.8


def main() -> None:
    parser = argparse.ArgumentParser(description="Throughput of fetch beside a bare GET loop.")
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--folder", type=Path, default=Path(".cache"), help="on the disk to fetch to")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    objects = abid_objects(ABID, args.photos)
    args.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.folder) as scratch, running_s3_server(Path(scratch) / "s3") as server:
        server.put(PUBLIC_BUCKET, objects)
        asyncio.run(bare_gets(server.endpoint_url, objects, args.jobs))  # the server's caches are warm from here
        bare_s, uvloop_s, fetch_s = [], [], []
        for turn in range(args.rounds):
            for seconds, factory in ((bare_s, None), (uvloop_s, uvloop.new_event_loop)):
                started = time.perf_counter()
                with asyncio.Runner(loop_factory=factory) as runner:
                    runner.run(bare_gets(server.endpoint_url, objects, args.jobs))
                seconds.append(time.perf_counter() - started)
            started = time.perf_counter()
            fetch_all(server.endpoint_url, objects, Path(scratch) / f"fetched{turn}", args.jobs)
            fetch_s.append(time.perf_counter() - started)
    report(bare_s, uvloop_s, fetch_s, len(objects), sum(map(len, objects.values())), as_json=args.json)


async def bare_gets(endpoint_url: str, names: Iterable[str], jobs: int) -> None:
    """Read every object and drop it: what the client can do at most."""
    store = S3Store(
        PUBLIC_BUCKET,
        endpoint=endpoint_url,
        region="us-east-1",
        skip_signature=True,
        client_options={"allow_http": True},
    )
    queue = iter(names)

    async def work() -> None:
        for name in queue:
            result = await obstore.get_async(store, name)
            await result.bytes_async()

    await asyncio.gather(*(work() for _ in range(jobs)))


def fetch_all(endpoint_url: str, objects: dict[str, bytes], folder: Path, jobs: int) -> None:
    """Fetch all photos with their records, and see that they are there."""
    ids = tuple(Path(name).stem for name in objects if name.startswith("bin-images/"))
    summary = fetch("abid", folder, Selection(ids=ids), endpoint_url=endpoint_url, jobs=jobs)
    assert summary.files == len(objects), summary


def report(
    bare_s: list[float],
    uvloop_s: list[float],
    fetch_s: list[float],
    num_objects: int,
    num_bytes: int,
    *,
    as_json: bool,
) -> None:
    ratios = [bare / fetched for bare, fetched in zip(bare_s, fetch_s, strict=True)]
    on_uvloop = [bare / fetched for bare, fetched in zip(uvloop_s, fetch_s, strict=True)]
    ratio = statistics.median(ratios)
    if as_json:
        figures = {"ratio": round(ratio, 3), "goal": GOAL, "ratios": [round(value, 3) for value in ratios]}
        figures |= {"ratios_on_uvloop": [round(value, 3) for value in on_uvloop]}
        figures |= {"objects": num_objects, "bytes": num_bytes}
        print(json.dumps(figures))
        return
    print(f"{num_objects:,} objects, {num_bytes / 1e6:.1f} MB, a second")
    print("round   bare GETs   … on uvloop   fetch   ratio   … on uvloop")
    for turn, row in enumerate(zip(bare_s, uvloop_s, fetch_s, ratios, on_uvloop, strict=True), 1):
        bare, looped, fetched, one, other = row
        rates = (num_objects / bare, num_objects / looped, num_objects / fetched)
        print("{:5}   {:9,.0f}   {:11,.0f}   {:5,.0f}   {:5.2f}   {:11.2f}".format(turn, *rates, one, other))
    print(
        f"median ratio {ratio:.2f} ({statistics.median(on_uvloop):.2f} where the bare loop runs on uvloop too), "
        f"goal {GOAL}: {'reached' if ratio >= GOAL else 'MISSED'}"
    )


if __name__ == "__main__":
    main()
