"""The app: the endpoints of SageMaker, of integrators and of the Open Inference Protocol, in front of one set of lanes.

```
request ─▶ Bodies ─▶ Around: id, metrics ─▶ Access ─▶ endpoint ─▶ Answering ─▶ Lanes ─▶ answer, or the one error shape
```
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import State
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from binsight import __version__
from binsight.counting import Bundle, default_bundle
from binsight.counting.cores import available_cores
from binsight.errors import BadInput, BinsightError
from binsight.records import CHAMPION
from binsight.service import drifting, inference_protocol, integrators, sagemaker
from binsight.service.access import Access, Doors, keys_at_hand, open_keys
from binsight.service.alerts import Alert, Alerts
from binsight.service.answering import Answering
from binsight.service.answers import ErrorAnswer, ErrorDetail, error_for, error_headers
from binsight.service.bodies import Bodies, ClientLeft, Room
from binsight.service.describe import describe
from binsight.service.drift import DriftWatch
from binsight.service.drift_episodes import Episodes
from binsight.service.lanes import Lanes
from binsight.service.links import Links
from binsight.service.metrics import Metrics
from binsight.service.middleware import CLIENT_LEFT, Around
from binsight.service.rates import Rates
from binsight.service.served import Served
from binsight.service.shadow import Shadow
from binsight.service.suspensions import Suspensions
from binsight.service.traces import traces_from_environment
from binsight.service.watching import Watchman
from binsight.settings import Settings, settings

if TYPE_CHECKING:
    from binsight.counting.registry import Registry
    from binsight.service.capture import Capturer

log = logging.getLogger(__name__)

LEFT = (ClientLeft, ClientDisconnect)
"""Starlette's own is raised where a client without a body left."""

LAST_ALERTS_S = 5
"""How long the end of the process waits for alerts that are on their way, and for the console's messages."""


def make_app(
    bundle: Path | None = None,
    *,
    follow: str | None = None,
    num_lanes: int | None = None,
    chosen: Settings | None = None,
    keys: bool | None = None,
    loading: "Future[Served] | None" = None,
) -> FastAPI:
    """The app in front of a bundle (default: the one that `binsight count` takes), or of what an alias names.

    `loading` is the bundle from `Served.begin_loading`, where that has begun already. `keys` says whether callers need
    keys; by default they do where the settings demand it (`access`), and not else.
    It loads and warms the bundle once it runs, and answers `/ping` with 503 until then. `app.state` holds `lanes`
    and `metrics`, and `failure` where the bundle could not be taken into service; `on_failure` is called then.
    Raises `MissingObject` or `BadBundle` for a folder that is no whole bundle, `BadInput` for settings of alerts, and
    for a canary or a shadow of a bundle that follows nothing.
    """
    chosen, bundle = chosen or settings(), bundle or default_bundle()
    if follow is None:
        if chosen.canary_share or chosen.shadow_share:
            raise BadInput("a canary and a shadow are what the registry calls so; add --follow champion")
        Bundle.open(bundle)
    metrics, traces = Metrics(), traces_from_environment()
    secret = chosen.alert_secret.get_secret_value() if chosen.alert_secret else None
    alerts = Alerts(chosen.alert_urls, secret, metrics)
    app = FastAPI(title="Binsight", version=__version__, lifespan=_lifespan, summary="Counts the items in a bin.")
    app.state.follow, app.state.loading = follow, loading
    app.state.bundle = bundle
    app.state.num_lanes = num_lanes or _num_lanes(chosen)
    app.state.settings, app.state.metrics = chosen, metrics
    app.state.traces, app.state.alerts = traces, alerts
    app.state.drift = DriftWatch(metrics, window=chosen.drift_photos)
    app.state.answering = app.state.lanes = app.state.watchman = app.state.failure = None
    app.state.following = app.state.shadow = app.state.suspensions = app.state.trials = app.state.episodes = None
    app.state.ends_at = None
    app.state.on_failure = app.state.on_ready = lambda: None
    app.state.doors = Doors(demands_keys=chosen.access == "keys" if keys is None else keys)
    app.state.known_keys, app.state.rates = None, Rates()
    app.state.capturer = app.state.console = None
    if chosen.capture:
        app.state.capturer = _capturer(chosen, metrics)
    metrics.gauge("binsight_queue_photos", "Photos that wait for a lane.", lambda: _lanes(app, "num_waiting"))
    metrics.gauge("binsight_queue_age_seconds", "Wait of the oldest of them.", lambda: _lanes(app, "oldest_wait"))
    metrics.gauge("binsight_ready", "1 while photos are taken.", lambda: _lanes(app, "is_ready"))
    for router in (sagemaker.router, integrators.router, drifting.router, inference_protocol.router):
        app.include_router(router)
    for kind in (BinsightError, HTTPException, RequestValidationError, *LEFT, Exception):
        app.add_exception_handler(kind, _answer_error)
    _surround(app, chosen, metrics)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    return app


def _num_lanes(chosen: Settings) -> int:
    """One for each core, and one more where photos may wait for long: it computes while another waits for the interpreter's
    lock, and counts the more in a second; but then it is the refusals that wait (docs/decisions/0015)."""
    return available_cores() + (chosen.queue_wait_s is not None)


def _capturer(chosen: Settings, metrics: Metrics) -> "Capturer":
    # Here and not above, as all that needs the ledger: a service without it is ready sooner without its libraries.
    from binsight.service.capture import Capturer

    capturer = Capturer(chosen, metrics)
    metrics.gauge("binsight_capture_works", "1 unless captures cannot be kept.", lambda: float(capturer.works))
    metrics.gauge("binsight_capture_queue", "Captures that wait.", lambda: float(capturer.num_waiting))
    return capturer


def _surround(app: FastAPI, chosen: Settings, metrics: Metrics) -> None:
    """What every request passes; the last added is the outermost."""
    if chosen.open_metrics:
        app.state.doors.open_paths.add("/metrics")
    known = partial(keys_at_hand, app.state)
    app.add_middleware(Access, doors=app.state.doors, known=known, answer_error=_answer_error)
    app.add_middleware(Around, metrics=metrics, traces=app.state.traces)
    room = Room(max(chosen.max_bytes_together, chosen.max_request_bytes))
    app.add_middleware(Bodies, most=chosen.max_request_bytes, room=room, within=chosen.body_within_s)


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
        state = app.state
        watching = (state.trials, state.following, state.watchman, state.suspensions, state.episodes)
        for helper in filter(None, (*watching, state.shadow, state.known_keys)):
            await asyncio.to_thread(helper.stop)
        for taken in filter(None, (app.state.lanes, app.state.capturer)):
            await asyncio.to_thread(taken.close, within=_left(app))
        if state.console:
            await asyncio.to_thread(state.console.close, within=min(LAST_ALERTS_S, _left(app)))
        await asyncio.to_thread(app.state.alerts.stop, within=min(LAST_ALERTS_S, _left(app)))
        await asyncio.to_thread(app.state.traces.close)


def _left(app: FastAPI) -> float:
    """Seconds of the time to end that are left, one at least: those who run the service kill it after 30 in all."""
    if app.state.ends_at is None:
        app.state.ends_at = time.monotonic() + app.state.settings.drain_within_s
    return max(1.0, float(app.state.ends_at) - time.monotonic())


def _load(app: FastAPI) -> None:
    state, chosen = app.state, app.state.settings
    started = time.monotonic()
    try:
        if state.doors.demands_keys:
            open_keys(state)
        registry, served = _first_served(state)
        lanes = Lanes(
            served,
            num_lanes=state.num_lanes,
            queue_size=chosen.queue_photos,
            longest_wait=chosen.queue_wait_s,
            watch=state.metrics.watch,
            note=state.drift.note,
        )
        links = Links(chosen.allowed_links, max_bytes=chosen.max_photo_bytes)
        lanes.start()
    except Exception as error:
        if not isinstance(error, BinsightError):
            log.exception("the service cannot start")
        state.failure = str(error)
        state.alerts.send(Alert(event="bundle.failed", sentence=f"the service cannot start: {error}"))
        state.on_failure()
        return
    if state.capturer:
        state.capturer.start()
    if chosen.shadow_share:
        state.shadow = Shadow(lanes.has_idle, state.metrics.roles)
        state.shadow.start()
    state.suspensions = Suspensions(chosen.ledger, lambda: _in_service(state, lanes))
    state.answering = Answering(
        lanes=lanes,
        links=links,
        metrics=state.metrics,
        within=chosen.answer_within_s,
        drift=state.drift,
        traces=state.traces,
        suspensions=state.suspensions,
        capturer=state.capturer,
        canary_share=chosen.canary_share,
        shadow=state.shadow,
        shadow_share=chosen.shadow_share,
    )
    state.lanes = lanes
    if registry:
        _follow(state, registry)
    failed = lambda: state.following and state.following.failure  # noqa: E731
    state.watchman = Watchman(lanes, state.drift, state.metrics, state.alerts, failed=failed)
    state.watchman.start()
    state.episodes = Episodes(chosen.ledger, state.drift.states)
    log.info("%s is ready after %.1f s, %d lanes", lanes.served.name, time.monotonic() - started, lanes.num_lanes)
    state.suspensions.start()
    state.episodes.start()
    state.on_ready()


def _in_service(state: State, lanes: Lanes) -> list[Served]:
    return [one for one in (lanes.served, lanes.canary, state.shadow and state.shadow.served) if one is not None]


def _first_served(state: State) -> "tuple[Registry | None, Served]":
    """The bundle to begin with, warm, and the registry that it comes from, where it does."""
    if not state.follow:
        return None, (state.loading or Served.begin_loading(state.bundle)).result()
    from binsight.counting.registry import Registry
    from binsight.service.follow import first_served

    registry = Registry.open(state.settings.ledger, state.settings.bundles)
    served = first_served(registry, state.follow)
    served.warm()
    return registry, served


def _follow(state: State, registry: "Registry") -> None:
    from binsight.service.follow import Following

    has_canary = state.settings.canary_share > 0
    state.following = Following(
        registry, state.lanes, state.metrics, champion=state.follow, canary=has_canary, shadow=state.shadow
    )
    state.following.start()
    if state.follow == CHAMPION:
        from binsight.service.on_trial import Trials
        from binsight.storage.ledger import Ledger

        ledger = Ledger.open(state.settings.ledger)
        state.trials = Trials(registry, ledger, state.lanes, state.metrics, state.drift, state.following)
        state.trials.start()


async def _answer_error(request: Request, error: Exception) -> Response:
    request_id = getattr(request.state, "id", "")
    if isinstance(error, LEFT):
        return Response(status_code=CLIENT_LEFT)
    if isinstance(error, HTTPException):
        detail = ErrorDetail(
            code="no_such_endpoint" if error.status_code == 404 else "bad_request",
            message=str(error.detail),
            mend="see /docs for what there is",
            request_id=request_id,
        )
        status, answer = error.status_code, ErrorAnswer(error=detail)
    elif isinstance(error, RequestValidationError):
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:10])
        _, answer = error_for(BadInput(f"the request is not as /docs has it ({wrong}); correct it"), request_id)
        status = 422
    else:
        status, answer = error_for(error, request_id)
    request.app.state.metrics.errors.labels(answer.error.code).inc()
    if status == 500:
        log.error("request %s failed", request_id, exc_info=error, extra={"request_id": request_id})
    if request.url.path.startswith("/v2"):
        return JSONResponse({"error": answer.error.message}, status, error_headers(error))
    return JSONResponse(answer.model_dump(), status, error_headers(error))
