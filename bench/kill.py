"""Does an acknowledged capture survive a SIGKILL at any moment? Counts those that are lost or damaged; none may be.

    python -m bench.kill [--rounds 1000] [--service-rounds 20] [--folder /dev/shm] [--minutes 60]

A round of the writer is a process that keeps captures of sixteen callers at once as the service does, writes the id of
each that was acknowledged to a pipe, and is killed at a random moment, perhaps while it still opens the ledger. Four live
at once and share the place, as replicas do; fours take turns with the two layouts. A round of the service is `binsight
serve` under load, killed likewise; acknowledged is what a client has read in a whole answer. All rounds of a layout share
one place and one ledger. In the end every acknowledged capture must be there, with the photo that was sent, and nothing
that is there may be corrupt.

A kill leaves what the system has taken over from the process: this shows that nothing is acknowledged too early or left
half done, not what a loss of power does. For that the tests hold the order of what is brought to the disk. So a folder in
memory shows as much, with more captures a round.
"""

import argparse
import asyncio
import hashlib
import io
import json
import math
import os
import random
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import numpy as np
from PIL import Image
from tests.service_support import Process, serving

from binsight.imaging.drawn import drawn_photo
from binsight.service.capture import Capturer
from binsight.service.metrics import Metrics
from binsight.service.middleware import CAPTURED
from binsight.service.served import Offered
from binsight.settings import Settings
from binsight.storage.captures import open_captures
from binsight.storage.ledger import database

NUM_CALLERS, TOGETHER = 16, 4
LAYOUTS = ("compact", "sagemaker")
ANSWER = json.dumps({"count": 3, "probs": [0.0, 1.0], "flags": [], "model": "kill:0", "verdict": None})

Acknowledged = dict[str, str]
"""Event id → SHA-256 of the photo as it must be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What became of the captures of one layout."""

    layout: str
    rounds: int
    acknowledged: int
    lost: int
    corrupt: int
    torn_lines: int
    kept_unacknowledged: int


def chosen_in(folder: Path, layout: str) -> Settings:
    return Settings(
        capture=str(folder / layout),
        capture_layout=layout,  # type: ignore[arg-type]
        capture_within_s=30,
        capture_free_bytes=0,
        ledger=f"sqlite:///{folder}/{layout}.db",
    )


def noise(generator: np.random.Generator) -> bytes:
    """A small photo that no other is like, so that each is a file of its own; it has no metadata to lose."""
    file = io.BytesIO()
    Image.fromarray(generator.integers(0, 256, (48, 48, 3), dtype=np.uint8)).save(file, "PNG", compress_level=0)
    return file.getvalue()


def keep_until_killed(chosen: Settings, pipe: int) -> None:
    """What the killed process does."""
    capturer = Capturer(chosen, Metrics())
    capturer.start()
    generator = np.random.default_rng()

    async def caller() -> None:
        while True:
            photo = noise(generator)
            offered = [Offered(photo=photo, answer=ANSWER)]
            (event,) = await capturer.keep(offered, request_id="any", inference_id=None)
            if event is not None:
                os.write(pipe, f"{event} {hashlib.sha256(photo).hexdigest()}\n".encode())

    async def callers() -> None:
        await asyncio.gather(*(caller() for _ in range(NUM_CALLERS)))

    asyncio.run(callers())


def kill_writers(chosen: Settings, chance: random.Random) -> Acknowledged:
    """`TOGETHER` rounds of the writer. The processes are forked, so that they need not load the libraries again."""
    writers = [start_writer(chosen) for _ in range(TOGETHER)]
    acknowledged: Acknowledged = {}
    for child, reading in writers:
        with open(reading, "rb") as pipe:  # noqa: PTH123 - a descriptor
            first = pipe.read(1) if chance.random() < 0.5 else b""
            time.sleep(chance.uniform(0, 0.1))
            os.kill(child, signal.SIGKILL)
            lines = (first + pipe.read()).splitlines(keepends=True)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL, "the writer ended by itself"
        acknowledged |= dict(line.decode().split() for line in lines if line.endswith(b"\n"))
    return acknowledged


def start_writer(chosen: Settings) -> tuple[int, int]:
    """A process that keeps captures until it is killed: its id, and where it writes what was acknowledged."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            keep_until_killed(chosen, writing)
        finally:
            os._exit(1)
    os.close(writing)
    return child, reading


def kill_service(chosen: Settings, chance: random.Random, photos: list[bytes]) -> Acknowledged:
    """One round of the whole service under the load of eight clients."""
    names = ("capture", "capture_layout", "capture_within_s", "capture_free_bytes", "ledger")
    env = {f"BINSIGHT_{name.upper()}": str(getattr(chosen, name)) for name in names}
    acknowledged: Acknowledged = {}
    with serving(env=env) as served:
        clients = [threading.Thread(target=ask, args=(served, photos, acknowledged)) for _ in range(8)]
        for client in clients:
            client.start()
        time.sleep(chance.uniform(0.05, 1.5))
        served.process.kill()
        for client in clients:
            client.join()
    return acknowledged


def ask(served: Process, photos: list[bytes], acknowledged: Acknowledged) -> None:
    """Send photos until nobody answers."""
    chance = random.Random()
    with served.client as client:
        while True:
            photo = chance.choice(photos)
            try:
                response = client.post("/v1/count", content=photo, headers={"content-type": "image/png"})
            except httpx.TransportError:
                return
            if CAPTURED in response.headers:
                acknowledged[response.headers[CAPTURED]] = hashlib.sha256(photo).hexdigest()


def found(chosen: Settings, rounds: int, acknowledged: Acknowledged) -> Found:
    """Look for every acknowledged capture, and for whatever is not whole."""
    if chosen.capture_layout == "compact":
        with sqlite3.connect(chosen.ledger.removeprefix("sqlite:///")) as ledger:
            assert ledger.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        ledger.close()
    captures = open_captures(chosen)
    problems = list(captures.problems())
    damaged = {problem.event_id for problem in problems}
    kept = {one.event_id: one.photo_sha256 for one in captures.read() if one.event_id not in damaged}
    captures.close()
    return Found(
        layout=chosen.capture_layout,
        rounds=rounds,
        acknowledged=len(acknowledged),
        lost=sum(kept.get(event) != digest for event, digest in acknowledged.items()),
        corrupt=sum(problem.word != "torn" for problem in problems),
        torn_lines=sum(problem.word == "torn" for problem in problems),
        kept_unacknowledged=len(kept.keys() - acknowledged.keys()),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000, help="kills of the writer, half in each layout")
    parser.add_argument("--service-rounds", type=int, default=20, help="kills of the whole service")
    parser.add_argument("--folder", type=Path, help="where to keep them (default: the temporary folder)")
    parser.add_argument("--minutes", type=float, default=60, help="begin no round after so many (default 60)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default 0)")
    parser.add_argument("--json", action="store_true", help="print JSON lines instead of text")
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    is_well, end = True, time.monotonic() + 60 * arguments.minutes
    with tempfile.TemporaryDirectory(prefix="kill-", dir=arguments.folder) as folder:
        chosen = {layout: chosen_in(Path(folder), layout) for layout in LAYOUTS}
        acknowledged: dict[str, Acknowledged] = {layout: {} for layout in LAYOUTS}
        rounds = dict.fromkeys(LAYOUTS, 0)
        for one in chosen.values():
            open_captures(one).close()
        database._migrate = lambda _connection: None  # the tables are made; looking again is most of a short life
        for number in range(math.ceil(arguments.rounds / TOGETHER)):
            if time.monotonic() > end:
                break
            layout = LAYOUTS[number % 2]
            acknowledged[layout] |= kill_writers(chosen[layout], chance)
            rounds[layout] += TOGETHER
        photos = [as_png(drawn_photo(number % 7, seed=number)) for number in range(12)]
        for number in range(arguments.service_rounds):
            layout = LAYOUTS[number % 2]
            acknowledged[layout] |= kill_service(chosen[layout], chance, photos)
            rounds[layout] += 1
        for layout in LAYOUTS:
            one = found(chosen[layout], rounds[layout], acknowledged[layout])
            is_well &= one.lost == one.corrupt == 0 and one.acknowledged > 0
            print(json.dumps(asdict(one)) if arguments.json else one)
    return 0 if is_well else 1


def as_png(photo: bytes) -> bytes:
    """The same picture as a file without metadata: what is kept is what was sent, byte by byte."""
    file = io.BytesIO()
    Image.open(io.BytesIO(photo)).save(file, "PNG", compress_level=1)
    return file.getvalue()


if __name__ == "__main__":
    sys.exit(main())
