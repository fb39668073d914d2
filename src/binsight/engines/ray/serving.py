"""The counting service on Ray Serve: the app of `binsight serve` in each replica, and as many replicas as requests ask for.

```
request ─▶ Ray's proxy ─▶ a replica: the app, its queue, its lanes ─▶ answer, or our own 503
                 └ requests in the replicas ─▶ Ray's controller ─▶ one more replica, or one less
```
For `serve deploy` and KubeRay the import path is `binsight.engines.ray.serving:app`; its `args` are fields of `Options`.
What the app reads from the environment (docs/reference/settings.md), each replica reads on its own machine.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from binsight.errors import GateFailed, NotReady
from binsight.service.access import must_ask_for_keys
from binsight.service.app import make_app
from binsight.service.logs import log_to_stderr
from binsight.service.served import MAX_BATCH
from binsight.settings import Settings, settings

NAME = "binsight"
"""Of the application and of its one deployment."""

EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - the proxies' usual one in a cluster: who may ask is decided as for it
_WATCH_S = 5
_END_S = 5
"""On top of the time to drain, for what is closed at the end."""


class Options(BaseModel):
    """What `binsight serve --on ray` says on its command line, and a Serve config in `args`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Path | None = Field(None, description="Bundle, at this path on every machine.")
    follow: str | None = Field(None, description="The registry's alias to count with.")
    keys: bool | None = Field(None, description="Whether callers need a key; by default as BINSIGHT_ACCESS says.")
    canary_share: float | None = Field(None, ge=0, le=1)
    shadow_share: float | None = Field(None, ge=0, le=1)
    lanes: int = Field(
        1, ge=1, le=256, description="Photos in work at once in a replica, and the cores it reserves."
    )
    min_replicas: int = Field(1, ge=1)
    max_replicas: int = Field(1, ge=1)
    target_requests: float | None = Field(
        None, gt=0, description="Requests in a replica, those that wait included; by default two a lane."
    )
    upscale_delay_s: float = Field(5, ge=0, description="How long more must be wanted until there are more.")
    downscale_delay_s: float = Field(300, ge=0, description="How long fewer must do until there are fewer.")

    @model_validator(mode="after")
    def _has_room(self) -> "Options":
        if self.max_replicas < self.min_replicas:
            raise ValueError(f"max_replicas must be at least {self.min_replicas}, as min_replicas is")
        return self


class Replica:
    """One process with the app; it is ready once its bundle is warm, and ends once what it took is answered."""

    def __init__(self, options: Options) -> None:
        self._options = options

    async def __serve_build_asgi_app__(self) -> ASGIApp:
        """Ray asks for it last of all before it sends requests.

        The lifespan is entered here and not by Ray, which would say of a bundle that fails only that something did.
        """
        log_to_stderr(as_json=True)
        self._app = _make_app(self._options)
        lifespan = self._app.router.lifespan_context(self._app)
        loop, loaded = asyncio.get_running_loop(), asyncio.Event()
        self._app.state.on_ready = self._app.state.on_failure = lambda: loop.call_soon_threadsafe(loaded.set)
        await lifespan.__aenter__()
        await loaded.wait()
        if self._app.state.failure:
            raise GateFailed(self._app.state.failure)
        return _BehindProxy(self._app, end=partial(lifespan.__aexit__, None, None, None))

    async def check_health(self) -> None:
        """What `/ping` answers: Ray puts a new replica in the place of one that is not ready any more."""
        lanes = self._app.state.lanes
        if lanes is None or not lanes.is_ready:
            raise NotReady("the replica takes no photos; Ray starts another")


def _make_app(options: Options) -> FastAPI:
    shares = {"canary_share": options.canary_share, "shadow_share": options.shadow_share}
    given = {name: share for name, share in shares.items() if share is not None}
    return make_app(
        options.model,
        follow=options.follow,
        num_lanes=options.lanes,
        keys=must_ask_for_keys(EVERY_ADDRESS, options.keys),
        chosen=settings().model_copy(update=given),
    )


class _BehindProxy:
    """The app once it has begun, without the id in its answers, which Ray's proxy adds.

    Ray ends it when no request is left, or when the time to drain is over: then `end` is called.
    """

    def __init__(self, app: ASGIApp, *, end: Callable[[], Awaitable[object]]) -> None:
        self._app, self._end = app, end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await self._end()
            await send({"type": "lifespan.shutdown.complete"})
            return

        async def without_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                del MutableHeaders(scope=message)["X-Request-Id"]
            await send(message)

        await self._app(scope, receive, without_id)


def app(args: Options) -> Any:
    """The application, for `serve deploy` and KubeRay."""
    return application(args)


def application(options: Options, **more: Any) -> Any:
    """One deployment, scaled by the requests that are in its replicas; `more` is for `serve.deployment`."""
    from ray import serve

    ingress = serve.ingress()(Replica)
    return serve.deployment(ingress, name=NAME, **deployment_options(options, settings()), **more).bind(options)


def deployment_options(options: Options, chosen: Settings) -> Mapping[str, Any]:
    """How Ray is to run and to scale the replicas.

    A replica is given more requests at once than its own queue lets in: who is too many is told so by the app, at once and
    with the time to try again, and does not wait in the proxy, whose queue nobody sees. What is beyond even that the
    proxy refuses itself.
    """
    at_once = 2 * (chosen.queue_photos + MAX_BATCH * options.lanes)
    return {
        "ray_actor_options": {"num_cpus": options.lanes},
        "max_ongoing_requests": at_once,
        "max_queued_requests": at_once,
        "backpressure_config": {"retry_after_s": 1},
        "autoscaling_config": {
            "min_replicas": options.min_replicas,
            "max_replicas": options.max_replicas,
            "target_ongoing_requests": options.target_requests or 2 * options.lanes,
            "upscale_delay_s": options.upscale_delay_s,
            "downscale_delay_s": options.downscale_delay_s,
            "look_back_period_s": 15,
        },
        "graceful_shutdown_wait_loop_s": 0.5,
        "graceful_shutdown_timeout_s": math.ceil(chosen.drain_within_s) + _END_S,
        "health_check_period_s": _WATCH_S,
        "health_check_timeout_s": 2 * _WATCH_S,
        "logging_config": {"enable_access_log": False},  # the app has a line for each request
    }
