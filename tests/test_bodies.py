"""Bodies of requests against the real process, by raw sockets: memory bounded, answers quick, nothing slow kept."""

import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from tests.service_support import Process, serving

from binsight.imaging.drawn import drawn_photo

PHOTO = drawn_photo(3, seed=3)
JPEG = {"content-type": "image/jpeg"}
MB = 1_000_000
LARGEST, TOGETHER, WITHIN_S = 8 * MB, 16 * MB, 4
QUICK_S = 2
"""Answers that need no body take milliseconds; the machine may be busy with other tests."""


@pytest.fixture(scope="module")
def served() -> Iterator[Process]:
    env = {
        "BINSIGHT_MAX_REQUEST_BYTES": str(LARGEST),
        "BINSIGHT_MAX_BYTES_TOGETHER": str(TOGETHER),
        "BINSIGHT_BODY_WITHIN_S": str(WITHIN_S),
    }
    # Without the console, whose libraries come in a moment after the service is ready and would be measured too.
    with serving("--lanes", "1", "--only", "counting", env=env) as served:
        yield served


class Raw:
    """One connection that sends what it is told, and reads an answer."""

    def __init__(self, served: Process, *headers: str) -> None:
        address = urlsplit(served.url)
        self.socket = socket.create_connection((address.hostname, address.port), timeout=30)
        lines = ["POST /invocations HTTP/1.1", f"Host: {address.netloc}", "Content-Type: image/jpeg", *headers]
        self.send("\r\n".join([*lines, "", ""]).encode())
        self.begun = time.monotonic()

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_until_answered(self, part: bytes, most: int) -> int:
        """Send parts until there is something to read; how many bytes went out."""
        sent = 0
        self.socket.setblocking(False)
        while sent < most:
            try:
                self.socket.recv(1, socket.MSG_PEEK)
                break
            except BlockingIOError:
                pass
            try:
                sent += self.socket.send(part[sent % len(part) :])
            except BlockingIOError:
                time.sleep(0.001)
        self.socket.settimeout(30)
        return sent

    def answer(self) -> tuple[int, str, float]:
        """Status, all that was answered, and seconds since the request began."""
        text = b""
        while b"\r\n\r\n" not in text or len(text) < text.index(b"\r\n\r\n") + 4 + _length(text):
            part = self.socket.recv(65536)
            assert part, f"the connection ended after {text!r}"
            text += part
        return int(text.split()[1]), text.decode(), time.monotonic() - self.begun


def _length(answer: bytes) -> int:
    match = re.search(rb"content-length: (\d+)", answer)
    assert match is not None, answer
    return int(match[1])


def resident(served: Process) -> int:
    """Bytes of memory that the process has now."""
    status = Path(f"/proc/{served.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def counts_still(served: Process) -> None:
    """The service works, and everything is given back: the largest body that there is room for is read again."""
    with served.client as client:
        assert client.post("/invocations", content=PHOTO, headers=JPEG).status_code == 200
        full = client.post("/invocations", content=bytes(LARGEST), headers=JPEG)
        assert full.status_code == 415, "read whole, and no photo"


def until_there_is_no_room(served: Process) -> None:
    """For another of the largest, that is: what was sent has come in by then, or most of it."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with Raw(served, f"Content-Length: {LARGEST}") as probe:
            probe.socket.settimeout(0.2)
            try:
                assert probe.answer()[0] == 503
                return
            except TimeoutError:
                continue
    raise AssertionError("there is room still")


def test_a_body_that_says_it_is_too_large_is_refused_at_once(served: Process) -> None:
    with Raw(served, f"Content-Length: {LARGEST + 1}") as raw:
        status, text, seconds = raw.answer()
    assert (status, '"code":"too_large"' in text) == (413, True)
    assert "connection: close" in text.lower()
    assert seconds < QUICK_S


def test_who_asks_before_sending_is_told_before_sending(served: Process) -> None:
    """`Expect: 100-continue`, as curl sends it with large files: no 100 for a body that nobody will read."""
    with Raw(served, f"Content-Length: {LARGEST + 1}", "Expect: 100-continue") as raw:
        status, text, _ = raw.answer()
    assert (status, "100 Continue" in text) == (413, False)


def test_a_body_that_does_not_say_is_refused_where_it_gets_too_large(served: Process) -> None:
    part = bytes(100_000)
    with Raw(served, "Transfer-Encoding: chunked") as raw:
        sent = raw.send_until_answered(f"{len(part):x}\r\n".encode() + part + b"\r\n", 100 * MB)
        status, text, _ = raw.answer()
    assert (status, '"code":"too_large"' in text) == (413, True)
    assert LARGEST < sent < LARGEST + 20 * MB, "it and what the sockets' buffers hold"


def test_many_large_bodies_at_once_are_bounded_in_memory(served: Process) -> None:
    """Two have room. The others are told so at once, though they go on sending; then the two are given up as stalled."""
    counts_still(served)
    before = resident(served)
    with ExitStack() as stack:
        first = [stack.enter_context(Raw(served, f"Content-Length: {LARGEST}")) for _ in range(2)]
        for raw in first:
            raw.send(bytes(LARGEST - 1))
        until_there_is_no_room(served)
        most = resident(served)
        others = [stack.enter_context(Raw(served, f"Content-Length: {LARGEST}")) for _ in range(30)]
        with ThreadPoolExecutor(30) as pool:
            sending = [pool.submit(raw.send_until_answered, bytes(50_000), LARGEST) for raw in others]
            with served.client as client:
                begun = time.monotonic()
                assert client.get("/ping").status_code == 200
                assert client.post("/invocations", content=b"", headers=JPEG).status_code == 400
                assert time.monotonic() - begun < QUICK_S
            sent = [one.result(60) for one in sending]
        most = max(most, resident(served))
        for status, text, seconds in (raw.answer() for raw in others):
            assert (status, "retry-after: 1" in text.lower()) == (503, True)
            assert '"code":"overloaded"' in text
            assert seconds < 2 * QUICK_S
        assert [raw.answer()[0] for raw in first] == [408, 408]
    assert max(sent) < LARGEST
    assert most - before < TOGETHER + 30 * MB, "32 such bodies would be 256 MB"
    counts_still(served)


def test_large_bodies_that_hardly_come_keep_nobody_out(served: Process) -> None:
    """Together they announce more than there is room for, and hold what came."""
    with ExitStack() as stack:
        slow = [stack.enter_context(Raw(served, f"Content-Length: {LARGEST}")) for _ in range(8)]
        for raw in slow:
            raw.send(b"x")
        counts_still(served)
        assert [raw.answer()[0] for raw in slow] == [408] * 8
    counts_still(served)


@pytest.mark.parametrize("header", [f"Content-Length: {MB}", "Transfer-Encoding: chunked"])
def test_a_body_that_drips_is_given_up_in_time(served: Process, header: str) -> None:
    with Raw(served, header) as raw:
        while time.monotonic() - raw.begun < WITHIN_S - 0.5:
            raw.send(b"1\r\nx\r\n")
            time.sleep(0.2)
        status, text, seconds = raw.answer()
    assert (status, '"code":"too_slow"' in text) == (408, True)
    assert WITHIN_S - 0.5 < seconds < WITHIN_S + QUICK_S
    counts_still(served)


def test_clients_that_leave_in_the_middle_leave_nothing_behind(served: Process) -> None:
    for _ in range(5):
        with Raw(served, f"Content-Length: {LARGEST}") as raw:
            raw.send(bytes(MB))
    end = time.monotonic() + 30
    with served.client as client:
        while '"/invocations",status="499"' not in client.get("/metrics").text:
            assert time.monotonic() < end, "they count as clients that left, not as failures"
            time.sleep(0.1)
        assert 'status="500"' not in client.get("/metrics").text
    counts_still(served)


def test_an_early_answer_to_a_small_body_keeps_the_connection(served: Process) -> None:
    """A refusal under load should not cost a new connection each time."""
    with httpx.Client(base_url=served.url) as client:
        for _ in range(3):
            response = client.post("/nowhere", content=PHOTO[:1000], headers=JPEG)
            assert (response.status_code, response.headers.get("connection")) == (404, None)
