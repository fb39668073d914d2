"""What `bench.soak` sends: good requests, bad ones of each kind, and which answers each may get."""

import base64
import io
import json
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.load import Target
from PIL import Image

BUSY = frozenset({503, 504})
"""What a request in order may get as well: the queue is full, or the photo waited for too long."""
BOUNDARY = "a-photo-follows"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of request: as it goes over the wire, its share of all, and the statuses that answer it."""

    name: str
    requests: tuple[bytes, ...]
    weight: float
    statuses: frozenset[int]
    leaves_after: float | None = None
    """The client sends so much of the request (1: all of it), and goes without waiting for an answer."""


def kinds(photos: Sequence[bytes]) -> list[Kind]:
    """The mix, made of these photos."""
    target = Target(url="")
    whole = tuple(target.request(photo) for photo in photos)
    few = photos[:20]

    def good(name: str, weight: float, requests: Sequence[bytes]) -> Kind:
        return Kind(name=name, weight=weight, requests=tuple(requests), statuses=BUSY | {200})

    def bad(name: str, weight: float, status: int, requests: Sequence[bytes]) -> Kind:
        return Kind(name=name, weight=weight, requests=tuple(requests), statuses=BUSY | {status})

    return [
        good("photo", 30, whole),
        good("label read", 3, [post("/v1/count?read_labels=1", "image/jpeg", photo) for photo in few]),
        good("verify", 5, [post("/v1/verify?expected=3", "image/jpeg", photo) for photo in few]),
        good("batch, JSON", 4, _fours(few, _json_batch)),
        good("batch, lines", 2, _fours(few, _lines)),
        good("batch, form", 2, _fours(few, _form)),
        good("v2 infer", 5, _fours(few, _infer)),
        good("39 megapixels", 0.3, [post("/invocations", "image/png", _png(6500, 6000))]),
        good("metrics", 1, [b"GET /metrics HTTP/1.1\r\nHost: soak\r\n\r\n"]),
        good("drift", 1, [b"GET /v1/drift HTTP/1.1\r\nHost: soak\r\n\r\n"]),
        bad("truncated", 8, 400, [target.request(photo[: len(photo) // 3]) for photo in few]),
        bad("bomb", 4, 400, [post("/invocations", "image/png", bomb) for bomb in (_png(6500, 6500), _claims())]),
        bad("wrong type", 4, 415, [post("/invocations", "text/plain", b"three"), target.request(b"GIF89a" * 9)]),
        bad("broken JSON", 4, 400, [post("/v1/count", "application/json", body) for body in _broken_json()]),
        bad("broken infer", 2, 400, [post("/v2/models/default/infer", "application/json", b'{"inputs": [{}]}')]),
        bad("no such path", 2, 404, [post("/v1/weigh", "image/jpeg", b"x")]),
        bad("no HTTP", 2, 400, [b"\x16\x03\x01\x02\x00 hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"]),
        Kind(name="leaves early", weight=3, requests=whole, statuses=frozenset({0}), leaves_after=0.5),
        Kind(name="leaves before the answer", weight=3, requests=whole, statuses=frozenset({0}), leaves_after=1),
    ]


def post(path: str, content_type: str, body: bytes) -> bytes:
    """A request as it goes over the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: soak\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _fours(photos: Sequence[bytes], make: Callable[[Sequence[bytes]], bytes]) -> list[bytes]:
    return [make(photos[start : start + 4]) for start in range(0, len(photos), 4)]


def _base64(photo: bytes) -> str:
    return base64.b64encode(photo).decode()


def _json_batch(photos: Sequence[bytes]) -> bytes:
    body = json.dumps({"photos": [{"photo": _base64(photo), "expected": 2} for photo in photos]})
    return post("/v1/verify", "application/json", body.encode())


def _lines(photos: Sequence[bytes]) -> bytes:
    lines = [json.dumps({"photo": _base64(photo)}) for photo in photos] + ['{"photo": "no base64"}']
    return post("/invocations", "application/jsonlines", "\n".join(lines).encode())


def _form(photos: Sequence[bytes]) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n'.encode()
    body = b"".join(head + photo + b"\r\n" for photo in photos) + f"--{BOUNDARY}--\r\n".encode()
    return post("/v1/count", f"multipart/form-data; boundary={BOUNDARY}", body)


def _infer(photos: Sequence[bytes]) -> bytes:
    data = [_base64(photo) for photo in photos]
    body = {"inputs": [{"name": "photo", "shape": [len(data)], "datatype": "BYTES", "data": data}]}
    return post("/v2/models/default/infer", "application/json", json.dumps(body).encode())


def _broken_json() -> list[bytes]:
    return [
        b'{"photo": "',
        b"[" * 5000,
        b'{"photo": 3}',
        b'{"photo": "%%%"}',
        b'{"photos": []}',
        b'"\xff\xfe"',
        b"",
    ]


def _png(width: int, height: int) -> bytes:
    """A few kilobytes that are a white picture of so many pixels."""
    file = io.BytesIO()
    Image.new("L", (width, height), "white").save(file, "PNG")
    return file.getvalue()


def _claims() -> bytes:
    """A PNG whose header names 10 gigapixels; there is next to nothing behind it."""
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", b"") + _chunk(b"IEND", b"")


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
