"""Around every request: its id, and what the metrics and the log say of it."""

import asyncio
import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from binsight.service.logs import REQUEST_FIELDS
from binsight.service.metrics import Metrics
from binsight.service.traces import Traces

log = logging.getLogger(__name__)

INFERENCE_ID = "X-Amzn-SageMaker-Inference-Id"
CLIENT_LEFT = 499
"""What the log and the metrics say of a request whose client left (nginx's own number for it)."""
CAPTURED = "X-Binsight-Captured"
"""The event ids of the photos that are kept, in their order, `-` for one that is not; absent where none is."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9._\-]{1,64}")


class Around:
    """ASGI middleware, plain: Starlette's own kind for functions hides from the endpoint that its client left.

    The id is the caller's (`X-Request-Id`, or SageMaker's inference id) where that is harmless to log, else a new one; it
    is in `request.state.id` and goes back as a header.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, traces: Traces) -> None:
        self._app, self._metrics, self._traces = app, metrics, traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id") or headers.get(INFERENCE_ID) or ""
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["id"] = request_id
        started, status, root = time.perf_counter(), 500, scope.get("root_path", "")
        has_begun = False

        async def named(message: Message) -> None:
            nonlocal status, has_begun
            if message["type"] == "http.response.start":
                status, has_begun = message["status"], True
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
                if captured := scope["state"].get("captured"):
                    MutableHeaders(scope=message)[CAPTURED] = captured
            await send(message)

        with self._traces.request(scope["method"], scope["path"], headers, request_id) as ended:
            try:
                await self._app(scope, receive, named)
            except asyncio.CancelledError:
                # Ray ends so what nobody waits for; uvicorn does at the service's end what was not finished in time.
                if not has_begun and scope["app"].state.ends_at is None:
                    status = CLIENT_LEFT
                raise
            finally:
                # By route and not by path: a scanner would make a series of every path it tries.
                mounted = scope.get("root_path", "").removeprefix(root)
                endpoint = mounted + getattr(scope.get("route"), "path", "/other" if mounted else "other")
                seconds = time.perf_counter() - started
                ended.endpoint, ended.status = endpoint, status
                self._metrics.requests.labels(endpoint, str(status)).inc()
                self._metrics.seconds.labels(endpoint).observe(seconds)
                fields = _fields(scope, endpoint, status, seconds) | {"trace_id": ended.trace_id or None}
                log.info("%s %s %d %.3f s %s", scope["method"], endpoint, status, seconds, request_id, extra=fields)


def _fields(scope: Scope, endpoint: str, status: int, seconds: float) -> dict[str, object]:
    """What a line about a request carries: `REQUEST_FIELDS` without the trace."""
    state = scope["state"]
    key, client = state.get("key"), (scope.get("client") or (None,))[0]
    who = (client, key and key.id, state.get("model"), state.get("role"))
    return dict(zip(REQUEST_FIELDS, (state["id"], scope["method"], endpoint, status, seconds, *who), strict=False))
