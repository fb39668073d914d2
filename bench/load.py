"""Load on a service: photos at a rate that does not wait for answers, or as fast as so many connections go.

    python -m bench.load URL FOLDER --rate 50 --seconds 20 [--connections 256]
    python -m bench.load URL FOLDER --connections 8 --seconds 20

With a rate, requests are due at random (Poisson) moments, whatever becomes of those before, and a latency counts from
the moment that a request was due: a service that falls behind cannot slow down its own measuring (the "coordinated
omission" of loops that wait). Without one, each connection sends its next photo once it has its answer. One row a
status is printed, 0 for what was not answered at all, and how late the load itself was: a figure above a few milliseconds
means that it is the bottleneck.
"""

import argparse
import asyncio
import base64
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import uvloop


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where photos go and as what: their bytes, or as base64 in the place of `%s` in a body of JSON."""

    url: str
    path: str = "/invocations"
    json_body: str | None = None

    def request(self, photo: bytes) -> bytes:
        """The whole request, as it goes over the wire."""
        kind, body = "image/jpeg", photo
        if self.json_body is not None:
            kind = "application/json"
            body = self.json_body.replace("%s", base64.b64encode(photo).decode()).encode()
        head = f"POST {self.path} HTTP/1.1\r\nHost: load\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body


@dataclass(frozen=True, slots=True)
class Shot:
    """One request: its status, and seconds from when it was due to its answer, and to when it was sent."""

    status: int
    latency_s: float
    late_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What became of the requests of one status; latencies in milliseconds."""

    status: int
    num: int
    per_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float


class Connections:
    """Connections to one service, kept open. Requests by hand: a client library would take the service's own cores."""

    def __init__(self, url: str, most: int) -> None:
        parts = urlsplit(url)
        assert parts.scheme == "http" and parts.hostname, "the load speaks plain HTTP; give http://HOST:PORT"
        self._host, self._port = parts.hostname, parts.port or 80
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._free = asyncio.Semaphore(most)

    async def send(self, request: bytes, due: float) -> Shot:
        """Send one request as soon as a connection is free."""
        async with self._free:
            sent = time.perf_counter()
            try:
                status = await self._exchange(request)
            except (OSError, asyncio.IncompleteReadError, ValueError):
                status = 0
            return Shot(status, time.perf_counter() - due, sent - due)

    async def _exchange(self, request: bytes) -> int:
        while self._idle and self._idle[-1][0].at_eof():  # idle for so long that the service closed it
            self._idle.pop()[1].close()
        idle = self._idle.pop() if self._idle else None
        reader, writer = idle or await asyncio.open_connection(self._host, self._port)
        is_kept = False
        try:
            writer.write(request)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
            fields = dict(line.split(b": ", 1) for line in answer[1:] if b": " in line)
            if fields.get(b"transfer-encoding") == b"chunked":
                await _read_chunks(reader)
            else:
                await reader.readexactly(int(fields.get(b"content-length", b"0")))
            status = int(answer[0].partition(b" ")[2][:3])
            is_kept = fields.get(b"connection") != b"close"
        finally:
            if is_kept:
                self._idle.append((reader, writer))
            else:
                writer.close()
        return status

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()


async def _read_chunks(reader: asyncio.StreamReader) -> None:
    """Read a body to its end. Left unread, it would be taken for the next answer's head."""
    while size := int(await reader.readline(), 16):
        await reader.readexactly(size + 2)
    await reader.readexactly(2)


async def open_loop(
    target: Target, photos: Sequence[bytes], *, rate: float, seconds: float, most: int
) -> list[Shot]:
    """Requests that are due at `rate` a second on average, at random moments, the same ones in every run."""
    requests = [target.request(photo) for photo in photos]
    connections, begun = Connections(target.url, most), time.perf_counter()
    tasks = []
    for due, request in zip(moments(rate, seconds), cycle(requests), strict=False):
        if (wait := begun + due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(connections.send(request, begun + due)))
    shots = list(await asyncio.gather(*tasks))
    connections.close()
    return shots


def moments(rate: float, seconds: float) -> Iterator[float]:
    """Seconds from the beginning at which requests are due, up to `seconds`."""
    chance = random.Random(0)
    due = chance.expovariate(rate)
    while due < seconds:
        yield due
        due += chance.expovariate(rate)


async def closed_loop(target: Target, photos: Sequence[bytes], *, seconds: float, most: int) -> list[Shot]:
    """`most` connections, each of which sends once it was answered."""
    requests = cycle([target.request(photo) for photo in photos])
    connections, shots = Connections(target.url, most), list[Shot]()
    end = time.perf_counter() + seconds

    async def one_after_the_other() -> None:
        while (now := time.perf_counter()) < end:
            shots.append(await connections.send(next(requests), now))

    await asyncio.gather(*(one_after_the_other() for _ in range(most)))
    connections.close()
    return shots


def rows(shots: Sequence[Shot], seconds: float) -> list[Row]:
    """One row a status, in the statuses' order."""
    found = []
    for status in sorted({shot.status for shot in shots}):
        latencies = np.array([shot.latency_s for shot in shots if shot.status == status]) * 1000
        p50, p99, most = (round(float(np.percentile(latencies, q)), 2) for q in (50, 99, 100))
        found.append(
            Row(
                status=status,
                num=len(latencies),
                per_second=round(len(latencies) / seconds, 2),
                p50_ms=p50,
                p99_ms=p99,
                max_ms=most,
            )
        )
    return found


def photos_of(folder: Path, num: int) -> list[bytes]:
    """The first photos below a folder, by name."""
    files = sorted(folder.rglob("*.jpg"))[:num]
    if not files:
        raise SystemExit(f"error: {folder} holds no .jpg; name a folder of photos")
    return [file.read_bytes() for file in files]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="address of the service, http://HOST:PORT")
    parser.add_argument("folder", type=Path, help="folder of photos")
    parser.add_argument("--photos", type=int, default=200, help="how many of them, over and over (default 200)")
    parser.add_argument("--rate", type=float, help="requests a second, whatever becomes of them")
    parser.add_argument("--connections", type=int, default=256, help="at most so many at once (default 256)")
    parser.add_argument("--seconds", type=float, default=20, help="how long (default 20)")
    parser.add_argument("--path", default="/invocations", help="where the photos go (default /invocations)")
    parser.add_argument("--json-body", help='send JSON such as {"photo": "%%s"}, with the photo in base64 for %%s')
    parser.add_argument("--json", action="store_true", help="print one JSON line instead of text")
    return parser.parse_args()


def main() -> None:
    given = parse()
    photos = photos_of(given.folder, given.photos)
    target = Target(url=given.url, path=given.path, json_body=given.json_body)
    shared = {"seconds": given.seconds, "most": given.connections}
    loop = (
        closed_loop(target, photos, **shared)
        if given.rate is None
        else open_loop(target, photos, rate=given.rate, **shared)
    )
    shots = uvloop.run(loop)
    found, late = rows(shots, given.seconds), float(np.percentile([shot.late_s for shot in shots], 99)) * 1000
    if given.json:
        values = [{name: getattr(row, name) for name in Row.__slots__} for row in found]
        print(json.dumps({"rows": values, "late_p99_ms": round(late, 2)}))
        return
    print(f"{'status':>6} {'requests':>8} {'a second':>8} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}")
    for row in found:
        print(
            f"{row.status:>6} {row.num:>8} {row.per_second:>8.1f} {row.p50_ms:>8.1f} {row.p99_ms:>8.1f} {row.max_ms:>8.1f}"
        )
    print(f"the load itself was {late:.1f} ms late (p99)")


if __name__ == "__main__":
    main()
