"""Does the memory of `binsight serve` grow over half an hour of good and bad requests, and does any of them break it?

    python -m bench.soak FOLDER [--minutes 30] [--warm-up 5] [--rate 15] [--json]

The real process gets a steady mix at random moments (`bench/soak_mix.py`): photos one by one and in batches, truncated
ones, bombs, broken JSON, what is no HTTP, clients that leave; and now and then a rush, in which photos wait beyond their
deadline. The memory (PSS of the process and its children) is looked at every two seconds. After the warm-up
its growth is the median slope between medians of parts of the time (Theil and Sen), because single looks catch photos in
work; with its 95% interval, in percent of the median an hour. The goals: under 1% an hour, and no request answered
otherwise than its kind may be: no 500, no connection that breaks. It ends non-zero where one is missed.
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from bench.load import Connections, moments, photos_of
from bench.overload import PORT, URL, serving
from bench.soak_mix import Kind, kinds
from scipy.stats import theilslopes

from binsight.counting import default_bundle

AT_MOST = 1.0
"""Percent an hour."""
LOOK_EVERY_S = 2.0
PARTS = 30
"""Of the time after the warm-up, each with one median."""
RUSH_EVERY_S, RUSH = 20.0, 100
"""A rush of so many photos at once."""
ENV = {"BINSIGHT_ANSWER_WITHIN_S": "2", "BINSIGHT_QUEUE_WAIT_S": "60"}
"""So that in a rush some photos wait beyond their deadline (504), as others find the queue full (503)."""
NUM_CONNECTIONS = 128


@dataclass
class Found:
    """What was seen: statuses by kind, and megabytes at moments since the beginning."""

    statuses: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    seconds: list[float] = field(default_factory=list)
    mib: list[float] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)


def memory_mib(pid: int) -> float:
    """Memory of a process and its children, shared pages divided among those who share them (PSS)."""
    total = 0.0
    for process in _tree(pid):
        try:
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended since
        total += int(rollup.partition("\nPss:")[2].split()[0]) / 1024
    return total


def _tree(pid: int) -> list[int]:
    children = [
        int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()
    ]
    return [pid, *(one for child in children for one in _tree(child))]


def growth(seconds: Sequence[float], mib: Sequence[float]) -> tuple[float, float, float]:
    """Percent an hour, and the ends of its 95% interval."""
    times, sizes = np.array(seconds), np.array(mib)
    parts = np.array_split(np.arange(len(times)), min(PARTS, len(times)))
    middles = [float(np.median(times[part])) for part in parts]
    medians = [float(np.median(sizes[part])) for part in parts]
    slope, _, low, high = theilslopes(medians, middles)
    hourly = 3600 * 100 / float(np.median(sizes))
    return float(slope * hourly), float(low * hourly), float(high * hourly)


async def send_mix(mix: Sequence[Kind], found: Found, *, rate: float, seconds: float) -> None:
    """Requests at random moments, and rushes."""
    chance, connections, begun = random.Random(0), Connections(URL, NUM_CONNECTIONS), time.perf_counter()
    weights, tasks, rushes = [kind.weight for kind in mix], set[asyncio.Task[None]](), 0
    for due in moments(rate, seconds):
        if (wait := begun + due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        chosen = chance.choices(mix, weights)
        if due > (rushes + 0.5) * RUSH_EVERY_S:
            rushes += 1
            chosen += [mix[0]] * RUSH
        for kind in chosen:
            task = asyncio.create_task(_send(kind, chance.choice(kind.requests), connections, found))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    connections.close()


async def _send(kind: Kind, request: bytes, connections: Connections, found: Found) -> None:
    if kind.leaves_after is not None:
        status = await _leave(request[: int(kind.leaves_after * len(request))])
    else:
        # What is no HTTP ends the connection, and what is sent on one that was about to be closed gets no answer:
        # once more, on a new one, as every client does.
        for _ in range(2):
            status = (await connections.send(request, time.perf_counter())).status
            if status:
                break
    found.statuses[kind.name][status] += 1
    if status not in kind.statuses:
        found.wrong[f"{kind.name}: {status}"] += 1


async def _leave(part: bytes) -> int:
    _, writer = await asyncio.open_connection("127.0.0.1", PORT)
    writer.write(part)
    await writer.drain()
    await asyncio.sleep(0.02)
    writer.transport.abort()
    return 0


async def watch(process: "subprocess.Popen[bytes]", found: Found, *, warm_up: float) -> None:
    """Look at the memory until cancelled, and end where the process does."""
    begun = time.perf_counter()
    while process.poll() is None:
        since = time.perf_counter() - begun
        if since >= warm_up:
            found.seconds.append(since)
            found.mib.append(memory_mib(process.pid))
        await asyncio.sleep(LOOK_EVERY_S)
    found.wrong["the service ended"] += 1


async def soak(
    process: "subprocess.Popen[bytes]", mix: Sequence[Kind], *, rate: float, seconds: float, warm_up: float
) -> Found:
    """Send for so many seconds, of which those of the warm-up do not count for the memory."""
    found = Found()
    watching = asyncio.create_task(watch(process, found, warm_up=warm_up))
    sending = asyncio.create_task(send_mix(mix, found, rate=rate, seconds=seconds))
    await asyncio.wait([watching, sending], return_when=asyncio.FIRST_COMPLETED)
    for task in (watching, sending):
        task.cancel()
    for done in await asyncio.gather(watching, sending, return_exceptions=True):
        if isinstance(done, Exception):
            raise done
    return found


def verdict(found: Found, num_tracebacks: int) -> dict[str, Any]:
    """The goals' figures, and whether all are met."""
    percent, low, high = growth(found.seconds, found.mib)
    wrong = dict(found.wrong) | ({"tracebacks in its log": num_tracebacks} if num_tracebacks else {})
    return {
        "percent_an_hour": round(percent, 2),
        "interval": [round(low, 2), round(high, 2)],
        "mib": [round(found.mib[0], 1), round(float(np.median(found.mib)), 1), round(found.mib[-1], 1)],
        "wrong": wrong,
        "met": percent < AT_MOST and not wrong,
    }


def print_table(found: Found, judged: dict[str, Any]) -> None:
    for name, statuses in found.statuses.items():
        print(f"{name:>24}  " + "  ".join(f"{status}: {num}" for status, num in sorted(statuses.items())))
    low, high = judged["interval"]
    first, middle, last = judged["mib"]
    print(
        f"memory {first} MiB after the warm-up, {last} at the end, median {middle}: {judged['percent_an_hour']:+}% an hour "
        f"({low:+} to {high:+}; goal < {AT_MOST:g}%)"
    )
    print(f"wrong: {judged['wrong'] or 'nothing'}; {'met' if judged['met'] else 'NOT met'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of photos")
    parser.add_argument("--bundle", type=Path, default=default_bundle(), help="default: the one that ships")
    parser.add_argument("--minutes", type=float, default=30, help="in all (default 30)")
    parser.add_argument("--warm-up", type=float, default=5, help="minutes of them that do not count (default 5)")
    parser.add_argument("--rate", type=float, default=15, help="requests a second, beside the rushes (default 15)")
    parser.add_argument("--json", action="store_true", help="print one JSON line instead of the table")
    given = parser.parse_args()
    mix = kinds(photos_of(given.folder, 200))
    with tempfile.TemporaryFile("w+") as log, serving(given.bundle, env=ENV, log=log) as process:
        timed = {"seconds": 60 * given.minutes, "warm_up": 60 * given.warm_up}
        found = uvloop.run(soak(process, mix, rate=given.rate, **timed))
        log.seek(0)
        num_tracebacks = sum(line.startswith("Traceback") for line in log)
    if not found.mib:
        sys.exit(f"the service ended before the warm-up did; is something else listening at port {PORT}?")
    judged = verdict(found, num_tracebacks)
    if given.json:
        looks = [[round(second, 1), round(size, 2)] for second, size in zip(found.seconds, found.mib, strict=True)]
        print(json.dumps({**judged, "statuses": found.statuses, "looks": looks}))
    else:
        print_table(found, judged)
    sys.exit(0 if judged["met"] else 1)


if __name__ == "__main__":
    main()
