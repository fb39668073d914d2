"""Around every request: its id, the limit on its body, and what the metrics say of it."""

import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from binsight.errors import TooLarge
from binsight.service.logs import REQUEST_FIELDS
from binsight.service.metrics import Metrics

log = logging.getLogger(__name__)

INFERENCE_ID = "X-Amzn-SageMaker-Inference-Id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._\-]{1,64}")


class Around:
    """ASGI middleware, plain: Starlette's own kind for functions hides from the endpoint that its client left.

    A body beyond `most` bytes fails with `TooLarge` where it is read, whatever its headers say. The id is the caller's
    (`X-Request-Id`, or SageMaker's inference id) where that is harmless to log, else a new one; it is in
    `request.state.id` and goes back as a header.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, most: int) -> None:
        self._app, self._metrics, self._most = app, metrics, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id") or headers.get(INFERENCE_ID) or ""
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["id"] = request_id
        started, status, num_bytes = time.perf_counter(), 500, 0

        async def limited() -> Message:
            nonlocal num_bytes
            message = await receive()
            num_bytes += len(message.get("body", b""))
            if num_bytes > self._most:
                raise TooLarge(f"a request must be at most {self._most:,} bytes, but this one is larger; send less")
            return message

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        try:
            await self._app(scope, limited, named)
        finally:
            # By route and not by path: a scanner would make a series of every path it tries.
            endpoint = getattr(scope.get("route"), "path", "other")
            seconds = time.perf_counter() - started
            self._metrics.requests.labels(endpoint, str(status)).inc()
            self._metrics.seconds.labels(endpoint).observe(seconds)
            state = scope["state"]
            values = (request_id, scope["method"], endpoint, status, seconds, state.get("model"), state.get("role"))
            fields = dict(zip(REQUEST_FIELDS, values, strict=True))
            log.info("%s %s %d %.3f s %s", scope["method"], endpoint, status, seconds, request_id, extra=fields)
