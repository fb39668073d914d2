"""The app: the endpoints of SageMaker, of integrators and of the Open Inference Protocol, in front of one set of lanes.

```
request ─▶ request id, body limit, metrics ─▶ endpoint ─▶ Answering ─▶ Lanes ─▶ answer, or the one error shape
```
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from binsight import __version__
from binsight.counting import Bundle, default_bundle
from binsight.counting.bundle import available_cores
from binsight.counting.registry import Registry
from binsight.errors import BinsightError
from binsight.service import inference_protocol, integrators, sagemaker
from binsight.service.answering import Answering, ClientLeft
from binsight.service.answers import ErrorAnswer, ErrorDetail, error_for, error_headers
from binsight.service.describe import describe
from binsight.service.follow import Follower, first_served
from binsight.service.lanes import Lanes, Served
from binsight.service.links import Links
from binsight.service.metrics import Metrics
from binsight.service.middleware import Around
from binsight.settings import Settings, settings

log = logging.getLogger(__name__)

CLIENT_LEFT = 499
"""What the log and the metrics say of a request whose client left (nginx's own number for it)."""


def make_app(
    bundle: Path | None = None,
    *,
    follow: str | None = None,
    num_lanes: int | None = None,
    chosen: Settings | None = None,
) -> FastAPI:
    """The app in front of a bundle (default: the one that `binsight count` takes), or of what an alias names.

    It loads and warms the bundle once it runs, and answers `/ping` with 503 until then. `app.state` holds `lanes`
    and `metrics`, and `failure` where the bundle could not be taken into service; `on_failure` is called then.
    Raises `MissingObject` or `BadBundle` for a folder that is no whole bundle.
    """
    chosen, bundle = chosen or settings(), bundle or default_bundle()
    if follow is None:
        Bundle.open(bundle)
    metrics = Metrics()
    app = FastAPI(title="Binsight", version=__version__, lifespan=_lifespan, summary="Counts the items in a bin.")
    app.state.bundle, app.state.follow = bundle, follow
    app.state.num_lanes = num_lanes or available_cores()
    app.state.settings, app.state.metrics = chosen, metrics
    app.state.answering = app.state.lanes = app.state.follower = app.state.failure = None
    app.state.on_failure = lambda: None
    metrics.gauge("binsight_queue_photos", "Photos that wait for a lane.", lambda: _lanes(app, "num_waiting"))
    metrics.gauge("binsight_queue_age_seconds", "Wait of the oldest of them.", lambda: _lanes(app, "oldest_wait"))
    metrics.gauge("binsight_ready", "1 while photos are taken.", lambda: _lanes(app, "is_ready"))
    for router in (sagemaker.router, integrators.router, inference_protocol.router):
        app.include_router(router)
    for kind in (BinsightError, HTTPException, ClientLeft, Exception):
        app.add_exception_handler(kind, _answer_error)
    app.add_middleware(Around, metrics=metrics, most=chosen.max_request_bytes)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    return app


def _lanes(app: FastAPI, name: str) -> float:
    return float(getattr(app.state.lanes, name)) if app.state.lanes else 0.0


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load aside, so that the port answers at once; at the end, let what was taken be finished."""
    loading = asyncio.create_task(asyncio.to_thread(_load, app))
    try:
        yield
    finally:
        await asyncio.wait([loading])
        if app.state.follower:
            await asyncio.to_thread(app.state.follower.stop)
        if app.state.lanes:
            await asyncio.to_thread(app.state.lanes.close, within=app.state.settings.drain_within_s)


def _load(app: FastAPI) -> None:
    state, chosen = app.state, app.state.settings
    started = time.monotonic()
    try:
        registry = Registry.open(chosen.ledger, chosen.bundles) if state.follow else None
        served = first_served(registry, state.follow) if registry else Served.load(state.bundle)
        lanes = Lanes(
            served,
            num_lanes=state.num_lanes,
            queue_size=chosen.queue_photos,
            longest_wait=chosen.queue_wait_s,
            watch=state.metrics.watch,
        )
        links = Links(chosen.allowed_links, max_bytes=chosen.max_photo_bytes)
        lanes.start()
    except Exception as error:
        if not isinstance(error, BinsightError):
            log.exception("the service cannot start")
        state.failure = str(error)
        state.on_failure()
        return
    state.answering = Answering(lanes=lanes, links=links, metrics=state.metrics, within=chosen.answer_within_s)
    state.lanes = lanes
    if registry:
        state.follower = Follower(lanes, registry, state.follow, state.metrics)
        state.follower.start()
    log.info("%s is ready after %.1f s, %d lanes", lanes.served.name, time.monotonic() - started, lanes.num_lanes)


async def _answer_error(request: Request, error: Exception) -> Response:
    request_id = getattr(request.state, "id", "")
    if isinstance(error, ClientLeft):
        return Response(status_code=CLIENT_LEFT)
    if isinstance(error, HTTPException):
        detail = ErrorDetail(
            code="no_such_endpoint" if error.status_code == 404 else "bad_request",
            message=str(error.detail),
            mend="see /docs for what there is",
            request_id=request_id,
        )
        status, answer = error.status_code, ErrorAnswer(error=detail)
    else:
        status, answer = error_for(error, request_id)
    if status == 500:
        log.error("request %s failed", request_id, exc_info=error, extra={"request_id": request_id})
    if request.url.path.startswith("/v2"):
        return JSONResponse({"error": answer.error.message}, status, error_headers(error))
    return JSONResponse(answer.model_dump(), status, error_headers(error))
