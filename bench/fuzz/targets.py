"""What fuzzing calls with bytes: each target returns, or raises what must not come out of the code that it calls."""

import asyncio
import resource
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.fuzz.seeds import BODY_TYPES
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message

from binsight.errors import BadInput, BadPhoto
from binsight.imaging.bin_label import read_bin_label
from binsight.imaging.decode import decode_photo
from binsight.imaging.quality import measure_quality
from binsight.imaging.strip import photo_type, stripped
from binsight.service.inference_protocol import InferRequest
from binsight.service.photos import checked, read_order

ONE_LABEL_IN = 4
"""Reading the label takes most of the time of a photo."""
MOST_MIB = 1024
"""What a photo may take beyond what the process had: 40 megapixels in four bytes, a few times over."""


class MemoryExceeded(Exception):
    """A photo took more memory than it may."""


def photo(data: bytes) -> None:
    """Decode as the counter does and whole, measure, read the label, strip. Raises what is no `BadPhoto`."""
    for step in (_count_of, decode_photo, stripped, photo_type):
        try:
            with _capped():
                step(data)
        except BadPhoto as error:
            _judge(error)


def _count_of(data: bytes) -> None:
    """What counting does in front of the network."""
    image = decode_photo(data, enough_side=32)
    measure_quality(image)
    if zlib.crc32(data) % ONE_LABEL_IN == 0 and max(image.size) < 2000:
        read_bin_label(image)


def body(data: bytes) -> None:
    """Read an order, or a request for inference, as the endpoints do."""
    kind, content = BODY_TYPES[data[0] % len(BODY_TYPES)] if data else BODY_TYPES[0], data[1:]
    try:
        if kind == "v2":
            checked(InferRequest, content, "the body")
        else:
            _LOOP.run_until_complete(_order(kind, content))
    except (BadInput, HTTPException) as error:
        str(error).encode()  # what cannot be encoded cannot be answered


TARGETS: dict[str, Callable[[bytes], None]] = {"photos": photo, "bodies": body}


@contextmanager
def _capped() -> Iterator[None]:
    """Let the process have `MOST_MIB` more than it has now: an allocation beyond fails, and is seen as a `MemoryError`.

    For each case anew: what the process keeps of earlier ones is not this one's.
    """
    before = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MOST_MIB * 2**20, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _judge(error: BadPhoto) -> None:
    # `from None` hides the reason from people, not from here: out of memory is no fault of the photo.
    if isinstance(error.__context__, MemoryError):
        raise MemoryExceeded(f"more than {MOST_MIB} MiB") from error
    assert "; " in str(error) or error.reason == "too_small", f"without a mend: {error}"
    str(error).encode()


async def _order(kind: str, content: bytes) -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": content, "more_body": False}

    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "app": None}
    headers = [(b"content-type", kind.encode())]
    order: Awaitable[object] = read_order(Request({**scope, "headers": headers}, receive), most=32)
    await order


_LOOP = asyncio.new_event_loop()
