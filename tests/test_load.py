"""The load on a service, and what is made of it: nothing is left out of a latency, and goals that are missed are said."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from bench.load import Connections, Shot, Target, closed_loop, moments, open_loop, photos_of, rows
from bench.overload import verdict
from bench.queue_model import simulate

PHOTOS = [b"one", b"photo two"]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
FULL = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


async def served(
    answer: Callable[[int, bytes], Awaitable[bytes]], use: Callable[[Target], Awaitable[list[Shot]]]
) -> list[Shot]:
    """What `use` gets of a server that answers the n-th request with its body as `answer` says."""
    num = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal num
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            num += 1
            writer.write(await answer(num, body))
            if b"close" in (await answer(0, body)):
                break
        writer.close()

    async def quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(quietly, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        return await use(Target(url=f"http://127.0.0.1:{port}"))
    finally:
        server.close()
        await asyncio.sleep(0.2)  # both ends of every connection see that it is closed


def test_what_waits_behind_a_stall_counts_it() -> None:
    """A server that stops for half a second is slow for all that were due meanwhile, not for one request alone."""
    bodies = []

    async def answer(number: int, body: bytes) -> bytes:
        if number == 10:
            await asyncio.sleep(0.5)
        if number:
            bodies.append(body)
        return OK

    async def use(target: Target) -> list[Shot]:
        return await open_loop(target, PHOTOS, rate=100, seconds=1, most=1)

    shots = asyncio.run(served(answer, use))
    assert len(shots) == len(list(moments(100, 1))) and {shot.status for shot in shots} == {200}
    assert sum(shot.latency_s > 0.2 for shot in shots) > 15
    assert max(shot.late_s for shot in shots) > 0.2, "and it is said that the one connection was the reason"
    assert set(bodies) == set(PHOTOS)


def test_refusals_and_failures_are_counted_by_themselves() -> None:
    async def answer(number: int, body: bytes) -> bytes:
        return FULL if number % 2 or not number else b"nonsense\r\n\r\n"

    async def use(target: Target) -> list[Shot]:
        return await closed_loop(target, PHOTOS, seconds=0.3, most=2)

    found = rows(asyncio.run(served(answer, use)), 0.3)
    assert [row.status for row in found] == [0, 503]
    assert all(row.num > 3 and 0 < row.p50_ms <= row.p99_ms <= row.max_ms for row in found)
    nobody = asyncio.run(open_loop(Target(url="http://127.0.0.1:9"), PHOTOS, rate=50, seconds=0.2, most=4))
    assert {shot.status for shot in nobody} == {0}


def test_a_photo_goes_as_it_is_or_within_json() -> None:
    assert Target(url="http://a").request(b"photo").endswith(b"Content-Length: 5\r\n\r\nphoto")
    head, _, body = Target(url="http://a", json_body='{"photo": "%s"}').request(b"photo").partition(b"\r\n\r\n")
    assert base64.b64decode(json.loads(body)["photo"]) == b"photo"
    assert f"Content-Length: {len(body)}".encode() in head


def test_a_folder_without_photos_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="holds no"):
        photos_of(tmp_path, 1)


def found(**changed: Any) -> dict[str, Any]:
    """What an overload came to where every goal is met."""
    values = {
        "calm": {"200": {"p99_ms": 50}, "late_p99_ms": 1},
        "rush": {"200": {"p99_ms": 99}, "503": {"p99_ms": 19}, "late_p99_ms": 1},
        "memory_mib": [100, 104],
    }
    return values | changed


@pytest.mark.parametrize(
    ("changed", "met"),
    [
        ({}, True),
        ({"calm": {"200": {"p99_ms": 49}}}, False),
        ({"rush": {"200": {"p99_ms": 99}, "503": {"p99_ms": 21}}}, False),
        ({"rush": {"200": {"p99_ms": 99}}}, False),
        ({"rush": {"200": {"p99_ms": 99}, "503": {"p99_ms": 19}, "0": {"p99_ms": 1}}}, False),
        ({"memory_mib": [100, 106]}, False),
    ],
)
def test_every_goal_of_an_overload_decides(changed: dict[str, Any], met: bool) -> None:
    assert verdict(found(**changed))["met"] is met


def test_the_queue_that_the_service_has_meets_the_goal_and_the_one_before_did_not() -> None:
    def ratio(most_waiting: int, max_batch: int) -> float:
        shape = {"most_waiting": most_waiting, "max_batch": max_batch, "lanes": 2, "num": 8000}
        return simulate(3, **shape)[0] / simulate(0.7, **shape)[0]

    assert ratio(8, 2) < 1.7 < 5 < ratio(64, 8)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\nb\r\n           \r\n1\r\n}\r\n0\r\n\r\n"


def test_an_answer_in_chunks_is_read_to_its_end() -> None:
    """What were left of it would be taken for the next answer on that connection, which then looked like a failure."""

    async def answer(number: int, body: bytes) -> bytes:
        await asyncio.sleep(0.01)
        return CHUNKED

    async def use(target: Target) -> list[Shot]:
        return await closed_loop(target, PHOTOS, seconds=0.3, most=1)

    shots = asyncio.run(served(answer, use))
    assert len(shots) > 2
    assert {shot.status for shot in shots} == {200}


def test_a_connection_that_the_service_closed_meanwhile_is_not_sent_on() -> None:
    """Services close what is idle. Two of those in a row would look like a failure of the service."""
    request = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    held: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        while await reader.read(1000):
            await asyncio.sleep(0.05)  # so that several connections are at work at once
            writer.write(answer)
        writer.close()

    async def use() -> list[int]:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            connections = Connections(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", 8)
            shots = await asyncio.gather(*(connections.send(request, 0) for _ in range(3)))
            assert len(held) == 3
            for writer in held:
                writer.close()
            await asyncio.sleep(0.1)
            shots.append(await connections.send(request, 0))
            connections.close()
            await asyncio.sleep(0.1)
            return [shot.status for shot in shots]

    assert asyncio.run(use()) == [200] * 4
