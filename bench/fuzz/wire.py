"""Bytes that are nearly HTTP, by raw sockets to the real process: heads and bodies that are broken, doubled, cut off.

Each case is one connection: a good request with a few changes goes out, the first answer is read where one comes within
a second, and the connection is dropped. Wrong is a status 500, an error in another shape, a traceback in the log, or a
service that does not count a photo any more after a thousand cases.
"""

import asyncio
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
from bench.fuzz.guided import Progress
from bench.fuzz.seeds import photos
from bench.fuzz.shape import wrong
from bench.overload import serving
from bench.soak_mix import kinds

from binsight.counting import default_bundle
from binsight.imaging.drawn import drawn_photo

PORT = 18083  # not the soak's, which may run beside it
TOGETHER = 64
ROUND = 1000
"""Cases between two looks whether the service still counts."""
PATIENCE_S = 1
"""How long the first answer is waited for: many broken requests leave the service waiting for more."""
_HEADERS = (
    b"Content-Length: -1",
    b"Content-Length: 99999999999999999999999",
    b"Content-Length: 5\r\nContent-Length: 6",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: \x0bchunked",
    b"Expect: 100-continue",
    b"Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Key: YQ==\r\nSec-WebSocket-Version: 13",
    b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings",
    b"Connection: close",
    b"X-Request-Id: \xff\xfe\r\nAccept: \x80/\x80",
    b"Accept: image/png",
    b"Content-Type: multipart/form-data",
    b"Content-Type: multipart/form-data; boundary=",
    b"Content-Encoding: gzip",
    b"Range: bytes=0-0",
    b" folded: header",
    b"no colon",
    b"X: " + b"y" * 70_000,
    b"\r\n".join(b"X-%d: y" % number for number in range(500)),
)
_LINES = (
    b"GET /v2/models/%ff%00%ed%a0%80/ready HTTP/1.1",
    b"GET //..%2f..%2fetc/passwd HTTP/1.0",
    b"POST /v1/verify?expected=%ff&expected=-1 HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"CONNECT a:1 HTTP/1.1",
    b"HEAD /v1/models HTTP/1.1",
    b"PUT http://[::1/v1/count HTTP/1.1",
    b"TRACE /ping HTTP/1.1",
    b"PRI * HTTP/2.0\r\n\r\nSM",
    b"GET /" + b"a" * 5000 + b" HTTP/1.1",
)


def fuzz(*, cases: int, folder: Path) -> Progress:
    """Send up to so many cases in all."""
    state = folder / "progress.json"
    progress, statuses = Progress.of(state), Counter[int]()
    with tempfile.TemporaryFile("w+") as log, serving(default_bundle(), port=PORT, log=log) as process:
        while progress.cases < cases:
            begun, num = time.monotonic(), min(ROUND, cases - progress.cases)
            asyncio.run(_round(random.Random(progress.cases), num, progress, statuses, folder))
            progress.cases += num
            progress.seconds += time.monotonic() - begun
            _still_counts()
            assert process.poll() is None, "the service has ended"
            progress.write(state)
            rate = progress.cases / progress.seconds
            print(
                f"sockets: {progress.cases:,} cases, {rate:.0f}/s, {dict(statuses)}, {progress.failures} failures",
                flush=True,
            )
        log.seek(0)
        if "Traceback" in (said := log.read()):
            progress.failures += 1
            (folder / f"failure-{progress.failures:03}.log").write_text(said)
            progress.write(state)
    return progress


async def _round(chance: random.Random, num: int, progress: Progress, statuses: Counter[int], folder: Path) -> None:
    # Small ones: it is the service's reading that is looked at, not its counting.
    good = [request for kind in kinds(list(photos())[:8]) for request in kind.requests if len(request) < 20_000]
    free = asyncio.Semaphore(TOGETHER)

    async def one(sent: bytes) -> None:
        async with free:
            is_head = sent.startswith(b"HEAD")  # whose answers name a length and have no body
            for status, body in answers(await _exchange(sent))[: 0 if is_head else None]:
                statuses[status] += 1
                if said := wrong(status, body, is_v2=b"/v2" in sent):
                    progress.failures += 1
                    (folder / f"failure-{progress.failures:03}.txt").write_bytes(said.encode() + b"\n" + sent)

    await asyncio.gather(*(one(broken(chance.choice(good), chance)) for _ in range(num)))


async def _exchange(sent: bytes) -> bytes:
    """What comes back, to the end of the first answer at least."""
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    text = b""
    try:
        async with asyncio.timeout(PATIENCE_S):
            writer.write(sent)
            while not answers(text) and (part := await reader.read(65536)):
                text += part
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.transport.abort()
    return text


def answers(text: bytes) -> list[tuple[int, bytes]]:
    """Status and body of each whole answer with a length; the last may be cut off by impatience, and is left out."""
    found = []
    while match := re.match(rb"HTTP/1\.1 (\d{3}) [^\r]*\r\n((?:[^\r]+\r\n)*)\r\n", text):
        length = re.search(rb"content-length: (\d+)", match[2])
        end = match.end() + (int(length[1]) if length else 0)
        if end > len(text):
            break
        found.append((int(match[1]), text[match.end() : end]))
        text = text[end:]
    return found


def broken(request: bytes, chance: random.Random) -> bytes:
    """A good request with one to three things done to it."""
    for _ in range(chance.randint(1, 3)):
        request = chance.choice(_CHANGES)(request, chance)
    return request


def _cut(request: bytes, chance: random.Random) -> bytes:
    return request[: chance.randint(0, len(request))]


def _flip(request: bytes, chance: random.Random) -> bytes:
    changed = bytearray(request)
    for _ in range(chance.randint(1, 8) if changed else 0):
        changed[chance.randrange(min(len(changed), 400))] = chance.randrange(256)
    return bytes(changed)


def _another_header(request: bytes, chance: random.Random) -> bytes:
    return request.replace(b"\r\n", b"\r\n" + chance.choice(_HEADERS) + b"\r\n", 1)


def _another_line(request: bytes, chance: random.Random) -> bytes:
    return chance.choice(_LINES) + b"\r\n" + request.partition(b"\r\n")[2]


def _twice(request: bytes, chance: random.Random) -> bytes:
    return request * chance.choice([2, 3, 30])


def _chunked(request: bytes, chance: random.Random) -> bytes:
    head, _, body = request.partition(b"\r\n\r\n")
    size = chance.choice([b"%x" % len(body), b"0", b"ffffffffffffffff", b"-1", b"zz", b"5;ext=" + b"e" * 100])
    return head + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + size + b"\r\n" + body + b"\r\n0\r\n\r\n"


def _other_ends(request: bytes, chance: random.Random) -> bytes:
    return request.replace(b"\r\n", chance.choice([b"\n", b"\r", b"\r\n ", b"\0\r\n"]), chance.randint(1, 5))


_CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _cut,
    _flip,
    _another_header,
    _another_line,
    _twice,
    _chunked,
    _other_ends,
)


def _still_counts() -> None:
    """Raises where a photo is not counted, after a while in which the queue may be full."""
    for _ in range(50):
        answer = httpx.post(
            f"http://127.0.0.1:{PORT}/v1/count",
            content=drawn_photo(2, seed=2),
            headers={"Content-Type": "image/jpeg"},
            timeout=60,
        )
        if answer.status_code != 503:
            break
        time.sleep(0.2)
    assert answer.status_code == 200, answer.text
