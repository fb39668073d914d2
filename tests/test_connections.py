"""Connections to the real process, by raw sockets: none is kept for nothing, no request is no riddle."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any, BinaryIO
from unittest.mock import Mock
from urllib.parse import urlsplit

import pytest
from tests.service_support import Process, serving
from uvicorn.config import Config
from uvicorn.server import ServerState

from binsight.imaging.drawn import drawn_photo
from binsight.service.connections import Connection

PHOTO = drawn_photo(3, seed=3)
MOST = 6
PING = b"GET /ping HTTP/1.1\r\nHost: bin\r\n\r\n"
QUICK_S, WITHIN_S = 3, 2


@pytest.fixture(scope="module")
def served() -> Iterator[Process]:
    env = {"BINSIGHT_MAX_CONNECTIONS": str(MOST), "BINSIGHT_CONNECTION_WITHIN_S": str(WITHIN_S)}
    with serving("--lanes", "1", env=env) as served:
        yield served


def connect(served: Process, sent: bytes = b"") -> socket.socket:
    address = urlsplit(served.url)
    connection = socket.create_connection((address.hostname, address.port), timeout=30)
    connection.sendall(sent)
    return connection


def rest(connection: socket.socket) -> bytes:
    """All that comes until the service closes it."""
    text = b""
    try:
        while part := connection.recv(65536):
            text += part
    except ConnectionResetError:
        pass
    return text


def answer(connection: socket.socket) -> bytes:
    """One answer of a connection that stays open."""
    with connection.makefile("rb") as text:
        return one_answer(text)


def one_answer(text: BinaryIO) -> bytes:
    """The next of several."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = text.readline()
        assert line, f"the connection ended after {head!r}"
        head += line
    length = int(head.partition(b"content-length: ")[2].split()[0])
    return head + text.read(length)


def error(answer: bytes) -> tuple[int, str]:
    """Status and code of an error in the one shape."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/json" in head
    detail = json.loads(body)["error"]
    assert set(detail) == {"code", "message", "mend", "request_id"}
    return int(head.split()[1]), detail["code"]


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/7.5\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"CONNECT bin:443 HTTP/1.1\r\nHost: bin\r\n\r\n",
        b"CONNECT /ping HTTP/1.1\r\nHost: bin\r\n\r\n",
    ],
)
def test_what_is_no_http_gets_the_usual_error(served: Process, sent: bytes) -> None:
    with connect(served, sent) as connection:
        assert error(rest(connection)) == (400, "bad_request")


H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
WEBSOCKET = b"Connection: close, Upgrade\r\nUpgrade: websocket\r\n"


@pytest.mark.parametrize("offer", [H2C, WEBSOCKET], ids=["h2c", "websocket"])
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_a_request_that_offers_another_protocol_is_answered_in_this_one(
    served: Process, offer: bytes, version: bytes
) -> None:
    """As curl --http2 and Java's HttpClient offer h2c: who does not change over ignores it."""
    head = b"POST /v1/count HTTP/%s\r\nHost: bin\r\nContent-Type: image/jpeg\r\n%sContent-Length: %d\r\n\r\n"
    with connect(served, head % (version, offer, len(PHOTO)) + PHOTO) as connection:
        counted = answer(connection)
    assert counted.startswith(b"HTTP/1.1 200") and b'"count":' in counted


def test_what_follows_an_offer_is_read_as_it_would_be_without_it(served: Process) -> None:
    """In chunks, in pieces that end anywhere, and with requests behind: no byte of a body is taken for a request."""
    head = b"POST /v1/count HTTP/1.1\r\nHost: bin\r\nContent-Type: image/jpeg\r\n" + H2C
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n%s\r\n0\r\n\r\n" % (len(PHOTO), PHOTO)
    bare = b"GET /ping HTTP/1.1\r\nHost: bin\r\n" + H2C + b"\r\n"
    smuggled = head + b"Content-Length: %d\r\n\r\n" % len(PING) + PING
    sent = chunked + bare + smuggled + bare
    at = len(head) - 20
    with connect(served, sent[:at]) as connection:
        for piece in (sent[at : at + 30], sent[at + 30 : -100], sent[-100:]):
            time.sleep(0.1)
            connection.sendall(piece)
        with connection.makefile("rb") as text:
            found = [one_answer(text) for _ in range(4)]
        assert [int(one.split()[1]) for one in found] == [200, 200, 415, 200], "the body that is a ping is no photo"
        connection.sendall(PING)
        assert answer(connection).startswith(b"HTTP/1.1 200"), "and none is left over"


def test_a_head_without_an_end_is_refused_by_its_size(served: Process) -> None:
    with connect(served, b"GET /ping HTTP/1.1\r\nX: ") as connection:
        connection.sendall(b"x" * 60_000)
        connection.sendall(b"x" * 10_000)
        begun = time.monotonic()
        assert error(rest(connection)) == (431, "bad_request")
        assert time.monotonic() - begun < QUICK_S


def test_a_trailer_without_an_end_is_given_up_too(served: Process) -> None:
    """Behind a body in chunks come headers again."""
    head = b"POST /v1/count HTTP/1.1\r\nHost: b\r\nContent-Type: image/jpeg\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connect(served, head + b"1\r\nx\r\n0\r\nX: ") as connection:
        begun = time.monotonic()
        with suppress(ConnectionError):
            for _ in range(100):
                connection.sendall(b"x" * 10_000)
        answer = rest(connection)  # may be lost to a reset: more was on its way
        assert not answer or error(answer) == (431, "bad_request")
        assert time.monotonic() - begun < QUICK_S


def test_heads_that_drip_or_never_come_end_in_time(served: Process) -> None:
    with connect(served) as silent, connect(served, b"G") as drips:
        begun = time.monotonic()
        for letter in b"ET /p":
            time.sleep(0.2)
            drips.sendall(bytes([letter]))
        assert error(rest(drips)) == (408, "too_slow")
        assert rest(silent) == b""
        assert WITHIN_S - 0.5 < time.monotonic() - begun < WITHIN_S + QUICK_S


def test_the_rest_of_a_body_that_was_answered_early_may_not_drip_for_good(served: Process) -> None:
    head = b"POST /nowhere HTTP/1.1\r\nHost: bin\r\nContent-Length: 1000\r\n\r\n"
    with connect(served, head) as connection:
        assert answer(connection).startswith(b"HTTP/1.1 404")
        begun = time.monotonic()
        connection.sendall(b"x")
        assert rest(connection) == b""
        assert time.monotonic() - begun < WITHIN_S + QUICK_S


def test_who_has_been_idle_longest_makes_room_for_who_comes(served: Process) -> None:
    with ExitStack() as stack:
        many = []
        for _ in range(3 * MOST):
            connection = stack.enter_context(connect(served, PING))
            assert b"200 OK" in connection.recv(65536), "nobody is kept out by connections that idle"
            many.append(connection)
        for connection in many[:-MOST]:
            assert rest(connection) == b"", "closed"
        for connection in many[-MOST:]:
            connection.sendall(PING)
            assert b"200 OK" in connection.recv(65536), "kept"


def test_where_all_are_at_work_who_comes_is_told_when_to_come_back(served: Process) -> None:
    head = b"POST /v1/count HTTP/1.1\r\nHost: bin\r\nContent-Type: image/jpeg\r\nContent-Length: 9\r\n\r\n"
    with ExitStack() as stack:
        for _ in range(MOST):
            stack.enter_context(connect(served, head))
        time.sleep(0.5)
        refused = rest(stack.enter_context(connect(served)))
        assert error(refused) == (503, "overloaded")
        assert b"retry-after: 1\r\n" in refused
    time.sleep(0.5)
    with connect(served, PING) as connection:
        assert b"200 OK" in connection.recv(65536), "once they are gone there is room"


@pytest.mark.parametrize("is_taken", [False, True])
def test_a_client_that_does_not_take_its_answers_is_let_go_of(is_taken: bool) -> None:
    """Not on the real process: how much the sockets' buffers hold is each kernel's own."""

    async def abortions() -> int:
        config, transport = Config(lambda: None, ws="none"), Mock()
        connection = Connection(config, ServerState(), {}, asyncio.get_running_loop(), most=1, within=0.05)
        connection.connection_made(transport)
        connection.pause_writing()
        if is_taken:
            connection.resume_writing()
        await asyncio.sleep(0.2)
        aborted: int = transport.abort.call_count
        return aborted

    assert asyncio.run(abortions()) == (0 if is_taken else 1)


def test_an_answer_is_not_written_to_a_connection_that_was_closed_behind_a_request_sent_ahead() -> None:
    """Another request, or what is none, came before the answer to the first, and then the connection ended."""
    may_answer = asyncio.Event()

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "http.request"
        await may_answer.wait()
        assert (await receive())["type"] == "http.disconnect"
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def written() -> int:
        config, transport, state = Config(app, ws="none"), Mock(), ServerState()
        transport.is_closing.return_value = False
        connection = Connection(config, state, {}, asyncio.get_running_loop(), most=1, within=60)
        connection.connection_made(transport)
        connection.data_received(PING * 2)
        (task,) = state.tasks
        await asyncio.sleep(0)
        connection.connection_lost(None)
        may_answer.set()
        await asyncio.wait_for(task, 5)
        num_written: int = transport.write.call_count
        return num_written

    assert asyncio.run(written()) == 0


def test_some_requests_may_be_sent_ahead_and_not_any_number(served: Process) -> None:
    with connect(served, PING * 8) as connection:
        text = b""
        while text.count(b"HTTP/1.1 200") < 8:  # several may come at once
            part = connection.recv(65536)
            assert part, text
            text += part
    with connect(served) as connection, pytest.raises(ConnectionError):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            connection.sendall(PING * 1000)
