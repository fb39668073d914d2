"""Requests made from the API's own description, good and bad ones, to the real app in this process (schemathesis).

The app is whole, with the bundle that ships and its network; there is only no socket. Most bodies are no photos, so that
the network is seldom reached. An answer is wrong where its status is 500, or an error has not the one shape.
"""

import asyncio
import itertools
import logging
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
import schemathesis
from bench.fuzz.guided import Progress
from bench.fuzz.shape import wrong
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode

from binsight.service.app import make_app

BATCH = 200
"""Cases of one endpoint before the next one's turn."""
_SETTINGS = settings(database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))


def fuzz(*, cases: int, folder: Path) -> Progress:
    """Send up to so many cases in all."""
    logging.disable()
    state, statuses = folder / "progress.json", Counter[int]()
    progress = Progress.of(state)
    loop, app = asyncio.new_event_loop(), make_app()
    lifespan = app.router.lifespan_context(app)
    loop.run_until_complete(lifespan.__aenter__())
    while not (app.state.lanes and app.state.lanes.is_ready):
        loop.run_until_complete(asyncio.sleep(0.1))

    def send(case: Case) -> None:
        status, body = loop.run_until_complete(_ask(app, case))
        statuses[status] += 1
        progress.cases += 1
        if said := wrong(status, body, is_v2=case.formatted_path.startswith("/v2")):
            progress.failures += 1
            (folder / f"failure-{progress.failures:03}.txt").write_text(f"{said}\n{case.as_curl_command()}\n")

    for turn, strategy in enumerate(itertools.cycle(_turns(app))):
        if progress.cases >= cases:
            break
        begun = time.monotonic()
        # What was sent before seeds what comes next, so that a run that goes on sends other cases.
        batch: Any = seed(progress.cases)(settings(_SETTINGS, max_examples=BATCH)(given(strategy)(send)))
        with suppress(Unsatisfiable):  # no bad input can be made for an endpoint that takes nothing
            batch()
        progress.seconds += time.monotonic() - begun
        progress.write(state)
        if turn % 20 == 0:
            rate = progress.cases / progress.seconds
            print(f"requests: {progress.cases:,} cases, {rate:.0f}/s, {dict(statuses)}", flush=True)
    loop.run_until_complete(lifespan.__aexit__(None, None, None))
    return progress


def _turns(app: FastAPI) -> list[Any]:
    """Strategies of each endpoint; those that take a body three times, since there is more to them."""
    turns = []
    for result in schemathesis.openapi.from_dict(app.openapi()).get_all_operations():
        operation = result.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            times = 3 if operation.method.lower() == "post" else 1
            turns += [operation.as_strategy(generation_mode=mode) for _ in range(times)]
    return turns


async def _ask(app: FastAPI, case: Case) -> tuple[int, bytes]:
    """Status and body of the answer, without a client library in between: it would take most of the time."""
    sent = requests.Request(**_arguments(case)).prepare()
    url = urlsplit(sent.url or "")
    body: Any = sent.body or b""
    content = body.encode(errors="surrogatepass") if isinstance(body, str) else bytes(body)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": sent.method,
        "scheme": "http",
        "path": unquote(url.path),
        "raw_path": url.path.encode(),
        "query_string": url.query.encode(),
        "headers": list(_headers(sent.headers)),
        "client": ("127.0.0.1", 1),
        "server": ("fuzz", 80),
        "root_path": "",
        "state": {},
    }
    parts, status = [], 0
    messages = iter([{"type": "http.request", "body": content, "more_body": False}])

    async def receive() -> Any:
        for message in messages:
            return message
        return await asyncio.sleep(3600)

    async def send(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)
        parts.append(message.get("body", b""))

    try:
        await app(scope, receive, send)
    except Exception as error:  # noqa: BLE001 - what comes out of the app is what is looked for
        return 500, repr(error).encode()
    return status, b"".join(parts)


def _arguments(case: Case) -> dict[str, Any]:
    kept = {"method", "url", "headers", "files", "data", "params", "auth", "cookies", "json"}
    return {name: value for name, value in case.as_transport_kwargs(base_url="http://fuzz").items() if name in kept}


def _headers(headers: Any) -> Iterator[tuple[bytes, bytes]]:
    for name, value in headers.items():
        pair = [text if isinstance(text, bytes) else text.encode("latin-1", "replace") for text in (name, value)]
        yield pair[0].lower(), pair[1]
