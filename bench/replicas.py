"""Whether ten replicas of the service wait for each other at one PostgreSQL.

    python -m bench.replicas [--replicas 10] [--rate 10] [--seconds 60]

Each replica is a process with all that the service asks a ledger for, as the service has it: its keys, every photo
captured before it is answered, which models are in use, which certificates are suspended; and a person who counts
bins in its console. Only the network is left out: each photo waits 30 ms instead, which ten replicas on two
cores could not count. First one replica has the server to itself, then all have it together, at so many photos a
second each.

Contention is how much longer a request takes with all of them than alone, as a share of the request's time; the goal is at
most 5%. Beside it, what the server itself says: for how much of the time of requests and of people's counts its sessions
waited for locks.
"""

import argparse
import asyncio
import multiprocessing
import random
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from tests.captures_support import an_answer
from tests.postgres_server import running_postgres
from tests.tasks_support import a_line, a_user, an_audit, claim, count

from binsight.imaging.drawn import drawn_photo
from binsight.service.capture import Capturer
from binsight.service.follow import LOOK_EVERY_S
from binsight.service.keys import KnownKeys
from binsight.service.metrics import Metrics
from binsight.service.served import Offered
from binsight.settings import Settings
from binsight.storage.ledger import ApiKeys, Certificates, Ledger, Models

NETWORK_S = 0.03
COUNTS_EVERY_S = 2.0
GOAL = 0.05
CONNECTIONS = "connections"


@dataclass(slots=True)
class Took:
    """Seconds of each request, of the part of it that waited for its capture, and of each count of a person."""

    requests: list[float] = field(default_factory=list)
    captures: list[float] = field(default_factory=list)
    counts: list[float] = field(default_factory=list)
    num_lost: int = 0


def replica(
    number: int, url: str, folder: str, token: str, rate: float, seconds: float, out: "Queue[Took]", ready: Any
) -> None:
    """One replica from its start to its end; what it measured goes into `out`. All begin once all are `ready`."""
    took, ends = Took(), threading.Event()
    threads = [
        threading.Thread(target=look, args=(url, ends)),
        threading.Thread(target=person, args=(number, url, ends, took)),
    ]
    keys = KnownKeys.open(url)
    for thread in threads:
        thread.start()
    asyncio.run(answer(number, url, folder, token, keys, rate, seconds, took, ready))
    ends.set()
    for thread in threads:
        thread.join()
    keys.stop()
    out.put(took)


async def answer(
    number: int,
    url: str,
    folder: str,
    token: str,
    keys: KnownKeys,
    rate: float,
    seconds: float,
    took: Took,
    ready: Any,
) -> None:
    """Photos at random moments, so many a second on average, each captured before it is answered."""
    chosen = Settings(ledger=url, capture=folder, capture_free_bytes=0)
    capturer, chance = Capturer(chosen, Metrics()), random.Random(number)
    photos = [drawn_photo(count, seed=100 * number + count) for count in range(6)]
    capturer.start()
    await one(capturer, keys, token, photos[0], Took())  # what is opened at the first is not the others' fault
    await asyncio.to_thread(ready.wait)
    at, running = time.monotonic(), set[asyncio.Task[None]]()
    end = at + seconds
    while (at := at + chance.expovariate(rate)) < end:
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        running.add(asyncio.create_task(one(capturer, keys, token, chance.choice(photos), took)))
    await asyncio.gather(*running)
    capturer.close(within=10)


async def one(capturer: Capturer, keys: KnownKeys, token: str, photo: bytes, took: Took) -> None:
    """One request."""
    started = time.perf_counter()
    keys.opened_by(token)
    await asyncio.sleep(NETWORK_S)
    counted = time.perf_counter()
    kept = await capturer.keep(
        [Offered(photo=photo, answer=an_answer())], request_id=str(started), inference_id=None
    )
    ended = time.perf_counter()
    took.num_lost += kept[0] is None
    took.requests.append(ended - started)
    took.captures.append(ended - counted)


def look(url: str, ends: threading.Event) -> None:
    """Which models are in use, and which certificates are suspended, as often as the service asks."""
    ledger = Ledger.open(url)
    while not ends.wait(LOOK_EVERY_S):
        Models(ledger).pointed()
        Certificates(ledger).suspended("c" * 64)
    ledger.close()


def person(number: int, url: str, ends: threading.Event, took: Took) -> None:
    """Counts a bin every other second."""
    ledger = Ledger.open(url)
    user, chance = a_user(ledger, f"person-{uuid.uuid4().hex[:8]}"), random.Random(number)
    while not ends.wait(chance.expovariate(1 / COUNTS_EVERY_S)):
        started = time.perf_counter()
        count(ledger, claim(ledger, user).token, 3, user)
        took.counts.append(time.perf_counter() - started)
    ledger.close()


def together(
    replicas: int, url: str, folder: Path, token: str, given: argparse.Namespace
) -> tuple[Took, dict[str, float]]:
    """So many replicas at once: all that they took, and seconds that the server's sessions waited, by what for."""
    context = multiprocessing.get_context("spawn")
    out, ready = context.Queue(), context.Barrier(replicas + 1)
    processes = [
        context.Process(target=replica, args=(n, url, str(folder), token, given.rate, given.seconds, out, ready))
        for n in range(replicas)
    ]
    for process in processes:
        process.start()
    ready.wait()
    waits, all_of_them, ended = defaultdict[str, float](float), Took(), threading.Event()
    sampler = threading.Thread(target=sample, args=(url, waits, ended))
    sampler.start()
    for _ in processes:
        took = out.get()
        for name in ("requests", "captures", "counts"):
            getattr(all_of_them, name).extend(getattr(took, name))
        all_of_them.num_lost += took.num_lost
    ended.set()
    sampler.join()
    for process in processes:
        process.join()
    return all_of_them, waits


def sample(url: str, waits: dict[str, float], ended: threading.Event) -> None:
    """What sessions wait for, looked at every 20 ms, and the most that there were."""
    engine = sa.create_engine(url)
    query = sa.text(
        "SELECT CASE WHEN state = 'active' THEN wait_event_type END FROM pg_stat_activity "
        "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    before = time.perf_counter()
    with engine.connect() as connection:
        while not ended.wait(0.02):
            found = connection.execute(query).scalars().all()
            connection.rollback()
            now = time.perf_counter()
            for kind in filter(None, found):
                waits[kind] += now - before
            waits[CONNECTIONS] = max(waits[CONNECTIONS], len(found))
            before = now
    engine.dispose()


def line(name: str, took: Took, waits: dict[str, float]) -> str:
    """What became of it, in a line."""
    requests = sorted(took.requests)
    ms = [1000 * value for value in (statistics.fmean(requests), requests[len(requests) * 99 // 100])]
    capture, counted = 1000 * statistics.fmean(took.captures), 1000 * statistics.fmean(took.counts)
    kinds = sorted(kind for kind in waits if kind != CONNECTIONS)
    said = ", ".join(f"{kind} {waits[kind]:.2f} s" for kind in kinds) or "nothing"
    return (
        f"{name}: {len(requests):,} photos, {took.num_lost} not kept; a request {ms[0]:.1f} ms (99%: {ms[1]:.1f}), of "
        f"which its capture {capture:.1f}; {len(took.counts)} counts of {counted:.1f} ms; at most "
        f"{waits[CONNECTIONS]:.0f} connections, which waited for {said}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicas", type=int, default=10)
    parser.add_argument("--rate", type=float, default=10, help="photos a second of each")
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    with running_postgres(durable=True) as url, tempfile.TemporaryDirectory(prefix="replicas-") as folder:
        ledger = Ledger.open(url)
        people = given.replicas + 1
        bins = int(2 * people * given.seconds / COUNTS_EVERY_S) + 100
        an_audit(ledger, [a_line(place) for place in range(1, bins + 1)])
        _, token = ApiKeys(ledger).add("bench", scopes=("count",), by="bench")
        alone, waits_alone = together(1, url, Path(folder, "one"), token, given)
        print(line("one replica", alone, waits_alone), flush=True)
        shared, waits = together(given.replicas, url, Path(folder, "all"), token, given)
        print(line(f"{given.replicas} replicas", shared, waits), flush=True)
        ledger.close()
    longer = statistics.fmean(shared.requests) - statistics.fmean(alone.requests)
    contention = longer / statistics.fmean(shared.requests)
    locked = (waits["Lock"] + waits["LWLock"]) / sum(shared.requests)
    print(
        f"contention {contention:.1%} of a request's time (goal: at most {GOAL:.0%}); sessions in locks {locked:.2%}"
    )
    sys.exit(contention > GOAL)


if __name__ == "__main__":
    main()
