"""Does any count get lost, or any bin counted twice, when many people count at once and the service is killed meanwhile?

    python -m bench.counters [--counters 50] [--minutes 10] [--kills 20] [--postgres]

`binsight serve` on real HTTP, killed by SIGKILL at random moments and begun again. Simulated people sign in, ask for a
photo, look at it, and send a count; some take it back, pass a bin on, send it twice at once, or take longer than they have
(15 seconds). A count whose answer did not come is sent again, as a person would, or given up.

In the end every count that was answered must be in the ledger as it was sent, every late one in the journal; no task may
have two standing first counts, two standing counts of one person, or a count by a lease from before the count that stands
before it; and `binsight audit verify-log` must hold.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import httpx
from bench.counters_people import LEASE_S, Heard, Person
from tests.console_support import a_person
from tests.postgres_server import running_postgres
from tests.service_support import free_port
from tests.tasks_support import a_line, an_audit

from binsight.decision.recounts import Policy
from binsight.imaging.drawn import drawn_photo
from binsight.storage.ledger import Detail, Journal, Ledger, Policies, TaskRows
from binsight.storage.ledger.tasks import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the ledger has, beside what people were answered."""

    database: str
    counters: int
    seconds: int
    kills: int
    acknowledged: int
    lost: int
    late: int
    late_lost: int
    unanswered_but_kept: int
    num_tasks: int
    two_first_counts: int
    twice_by_one: int
    by_an_old_lease: int
    log_holds: bool
    acts: dict[str, int]
    post_p50_ms: float
    post_p99_ms: float
    load: str

    @property
    def is_well(self) -> bool:
        faults = self.lost + self.late_lost + self.two_first_counts + self.twice_by_one + self.by_an_old_lease
        return faults == 0 and self.log_holds and self.acknowledged > 0


class Service:
    """`binsight serve` that is killed and begun again at the same address."""

    def __init__(self, ledger: str, log: Path) -> None:
        self.url, self._ledger, self._log = f"http://127.0.0.1:{free_port()}", ledger, log
        self.kills, self._process = 0, self._begun()

    def _begun(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "binsight", "serve", "--port", self.url.rpartition(":")[2]]
        with self._log.open("ab") as log:
            return subprocess.Popen(command, env={**os.environ, "BINSIGHT_LEDGER": self._ledger}, stderr=log)

    async def ready(self) -> None:
        async with httpx.AsyncClient(base_url=self.url) as client:
            while not await _is_ready(client):
                assert self._process.poll() is None, self._log.read_text()[-2000:]
                await asyncio.sleep(0.1)

    async def killed_at_random(self, kills: int, end: float, chance: random.Random) -> None:
        moments = sorted(chance.uniform(time.monotonic(), end - 5) for _ in range(kills))
        for moment in moments:
            await asyncio.sleep(max(0.0, moment - time.monotonic()))
            self.kill()
            self.kills += 1
            await asyncio.sleep(chance.uniform(0, 1))
            self._process = self._begun()
            await self.ready()

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


async def _is_ready(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/ping")).status_code == 200
    except httpx.TransportError:
        return False


def prepare(url: str, folder: Path, *, counters: int, tasks: int) -> list[str]:
    """An audit of so many bins in one ledger, and people who count; their names."""
    ledger = Ledger.open(url)
    lines = [a_line(place) for place in range(1, tasks + 1)]
    (folder / "photos").mkdir()
    photo = folder / str(lines[0].photo)
    photo.write_bytes(drawn_photo(3, seed=3))
    for line in lines[1:]:
        (folder / str(line.photo)).symlink_to(photo)
    an_audit(ledger, lines, folder=str(folder))
    Policies(ledger).set(Policy(lease_seconds=LEASE_S).model_dump(), seen=0, by="ann")
    names = [f"person {number}" for number in range(counters)]
    for name in names:
        a_person(ledger, name)
    ledger.close()
    return names


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is simulated: so many people for so long, with so many kills, on so many bins."""

    counters: int
    seconds: float
    kills: int
    tasks: int
    think: float = 2
    seed: int = 0


async def count_together(run: Run, service: Service, names: list[str], heard: Heard) -> None:
    await service.ready()
    end = time.monotonic() + run.seconds
    people = [Person(name, service.url, heard, run.think, run.seed + turn) for turn, name in enumerate(names)]
    killing = service.killed_at_random(run.kills, end, random.Random(run.seed))
    await asyncio.gather(killing, *(person.work(end) for person in people))


def compared(url: str, heard: Heard) -> dict[str, int | bool]:
    """What people were answered beside what the ledger has."""
    ledger = Ledger.open(url)
    details = [TaskRows(ledger).detail(task.id) for task in _all_tasks(ledger)]
    late = {one.body["token"]: one.body["counted"] for one in Journal(ledger).read(kind="count.late")}
    ledger.close()
    kept = {one.token: one.counted for detail in details for one in detail.counts}
    log = subprocess.run(
        [sys.executable, "-m", "binsight", "audit", "verify-log"],
        env={**os.environ, "BINSIGHT_LEDGER": url},
        check=False,
        capture_output=True,
    )
    return {
        "acknowledged": len(heard.counts),
        "lost": sum(kept.get(token) != number for token, number in heard.counts.items()),
        "late": len(heard.late),
        "late_lost": sum(late.get(token) != number for token, number in heard.late.items()),
        "unanswered_but_kept": len(kept.keys() - heard.counts.keys()),
        "num_tasks": len(details),
        "two_first_counts": sum(sum(one.stage == "count" for one in detail.standing) > 1 for detail in details),
        "twice_by_one": sum(
            len({one.user for one in detail.standing}) < len(detail.standing) for detail in details
        ),
        "by_an_old_lease": sum(_by_an_old_lease(detail, heard) for detail in details),
        "log_holds": log.returncode == 0,
    }


def _by_an_old_lease(detail: Detail, heard: Heard) -> int:
    """Counts by people who had the bin before the count before was even sent: two looked at it at once. By the clock of
    those who counted, which is one: the ledger's moments are from before its lock is had."""
    return sum(
        heard.given[now.token] < heard.sent[before.token]
        for before, now in pairwise(detail.standing)
        if now.token in heard.given and before.token in heard.sent
    )


def _all_tasks(ledger: Ledger) -> Iterator[Task]:
    after: tuple[int, str] | None = None
    while found := TaskRows(ledger).find(after=after, most=1000):
        yield from found
        after = (found[-1].rank, found[-1].id)


def measure(run: Run, url: str, folder: Path) -> Found:
    """One run on an empty ledger."""
    names, heard = prepare(url, folder, counters=run.counters, tasks=run.tasks), Heard()
    load = [os.getloadavg()[0]]
    service = Service(url, folder / "serve.log")
    try:
        asyncio.run(count_together(run, service, names, heard))
    finally:
        service.kill()
    load.append(os.getloadavg()[0])
    percentiles = statistics.quantiles(heard.seconds, n=100)
    return Found(
        database=url.partition(":")[0].partition("+")[0],
        counters=run.counters,
        seconds=round(run.seconds),
        kills=service.kills,
        acts=dict(sorted(heard.acts.items())),
        post_p50_ms=round(1000 * percentiles[49], 1),
        post_p99_ms=round(1000 * percentiles[98], 1),
        load=f"{load[0]:.1f} to {load[1]:.1f}",
        **compared(url, heard),  # type: ignore[arg-type]
    )


@contextmanager
def a_ledger(folder: Path, in_postgres: bool) -> Iterator[str]:
    """The URL of an empty one."""
    if in_postgres:
        with running_postgres() as url:
            yield url
    else:
        yield f"sqlite:///{folder}/ledger.db"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counters", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--think", type=float, default=2, help="seconds to look at a photo, on average (default 2)")
    parser.add_argument("--postgres", action="store_true", help="the ledger in PostgreSQL, begun for this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    given = parser.parse_args()
    run = Run(
        counters=given.counters,
        seconds=60 * given.minutes,
        kills=given.kills,
        tasks=given.tasks,
        think=given.think,
        seed=given.seed,
    )
    with tempfile.TemporaryDirectory(prefix="counters-") as folder, a_ledger(Path(folder), given.postgres) as url:
        found = measure(run, url, Path(folder))
    print(json.dumps(asdict(found)) if given.json else found)
    return 0 if found.is_well else 1


if __name__ == "__main__":
    sys.exit(main())
