"""Clients that leave before they have their answer: nothing is counted for them, and nothing failed."""

import asyncio
import gc
from concurrent.futures import Future
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from tests.service_support import client_of, gated

from binsight.counting import default_bundle
from binsight.errors import BadInput
from binsight.imaging.drawn import drawn_photo
from binsight.service.answering import Answering
from binsight.service.app import make_app
from binsight.service.bodies import ClientLeft
from binsight.service.lanes import Lanes
from binsight.service.links import Links
from binsight.service.suspensions import Suspensions

PHOTO = drawn_photo(3, seed=3)


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"0")], [(b"content-length", b"9")]])
def test_a_client_that_left_before_its_body_was_read_is_no_failure(
    headers: list[tuple[bytes, bytes]],
) -> None:
    app, statuses = make_app(), []

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        statuses.append(message.get("status"))

    scope = {"type": "http", "method": "POST", "path": "/v1/count", "query_string": b""}
    sent = [(b"content-type", b"image/jpeg"), *headers]
    with client_of(app):
        asyncio.run(app({**scope, "headers": sent}, receive, send))
    assert statuses[0] == 499


def test_a_bad_photo_of_a_client_that_left_before_the_next_was_counted_is_not_logged_as_a_failure() -> None:
    logged = []

    async def watch() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: logged.append(context["message"]))
        results: list[Future[Any]] = [Future(), Future()]
        results[0].set_exception(BadInput("bad"))

        class Leaving:
            async def receive(self) -> dict[str, str]:
                return {"type": "http.disconnect"}

        with suppress(ClientLeft):  # and not pytest.raises, which keeps the error, and so the future
            await Answering._watched(SimpleNamespace(within=60), Leaving(), results)  # type: ignore[arg-type]
        results.clear()
        gc.collect()

    asyncio.run(watch())
    assert logged == []


def test_the_photos_of_a_client_that_left_are_not_counted() -> None:
    served, counter = gated(default_bundle())
    lanes = Lanes(served, num_lanes=1)
    lanes.start()
    lanes.submit([("held", PHOTO)], within=60)
    app = make_app()
    app.state.lanes = lanes
    app.state.answering = Answering(
        lanes=lanes,
        links=Links((), max_bytes=1),
        metrics=app.state.metrics,
        within=60,
        drift=app.state.drift,
        traces=app.state.traces,
        suspensions=Suspensions("", list),
    )
    messages = iter([{"type": "http.request", "body": PHOTO}])
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/invocations",
        "query_string": b"",
        "headers": [(b"content-type", b"image/jpeg")],
        "app": app,
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        return next(messages, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 499
    counter.gate.set()
    lanes.close(within=60)
    assert counter.begun == 1, "the one that was in work already"
