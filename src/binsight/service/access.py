"""Who may ask: a key for everything but a few open paths, then the scope that the endpoint needs.

```
request ─▶ Access: a key in force, else 401 ─▶ needs(scope), else 403 ─▶ its rate, else 429 ─▶ body read
```
Two steps on purpose. The first stands before all endpoints, so that one that forgets to say what it needs, a mounted folder
of files or a path that is not there opens to nobody without a key.

A service that listens to this machine alone is open, but for its guarded paths: whoever is let in by a proxy on this
machine, and every page in a browser here, comes from this machine too.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import Security
from fastapi.security import APIKeyHeader, HTTPBearer, SecurityScopes
from starlette.datastructures import Headers, State
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from binsight.errors import BadInput, BinsightError, NotAllowed, NotReady, UnknownCaller
from binsight.service.addresses import is_loopback
from binsight.settings import settings
from binsight.storage.api_key import COUNT, ApiKey

if TYPE_CHECKING:
    from binsight.service.keys import KnownKeys

OPEN_PATHS = frozenset({"/ping", "/v2/health/live", "/v2/health/ready", "/docs", "/openapi.json"})
"""Whether the service runs, and its description, which is the same everywhere."""

CONSOLE = "/console"
"""Where the console is mounted, if it is."""

_OPENING = threading.Lock()
"""Of those who come to a guarded path first, one opens the ledger."""

_bearer = HTTPBearer(auto_error=False, scheme_name="Bearer", description="Authorization: Bearer bsk_…")
_header = APIKeyHeader(name="X-Api-Key", auto_error=False, scheme_name="ApiKey", description="The same key.")


def demands_keys(*, host: str, access: str | None, has_keys: Callable[[], bool]) -> bool:
    """Whether a service that listens at `host` asks its callers for keys; `access` is the setting.

    Raises `BadInput` where others than this machine could reach it, and nobody has said who may.
    """
    if access is not None or is_loopback(host):
        return access == "keys"
    if has_keys():
        return True
    raise BadInput(
        f"a service at {host} can be reached by others, and there is no key yet; add one (binsight keys add NAME), or "
        "say with --no-keys that something in front of it decides who may ask"
    )


def said_access(keys: bool | None) -> Literal["keys", "open"] | None:
    """What was said of who may ask, by `keys` or else by the setting; None where nothing was."""
    return settings().access if keys is None else ("keys" if keys else "open")


def must_ask_for_keys(host: str, keys: bool | None) -> bool:
    """By what was said, else by who can reach the address. Raises `BadInput` where that is unsafe."""

    def has_keys() -> bool:
        from binsight.storage.ledger import ApiKeys, Ledger

        known = ApiKeys(Ledger.open(settings().ledger))
        try:
            return bool(known.not_revoked())
        finally:
            known.close()

    return demands_keys(host=host, access=said_access(keys), has_keys=has_keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """Where a key is asked for: everywhere but at open paths and in the console, which asks for people instead; on a
    service that does not demand keys, at and below the guarded paths alone, each with the scope that it takes."""

    demands_keys: bool
    open_paths: set[str] = field(default_factory=lambda: set(OPEN_PATHS))
    guarded: dict[str, str] = field(default_factory=dict)

    def ask_at(self, path: str) -> bool:
        """Whether who comes to this path needs a key."""
        if self.demands_keys:
            return path not in self.open_paths and not _is_within(path, CONSOLE)
        return self.scope_of(path) is not None

    def scope_of(self, path: str) -> str | None:
        """What a key must be for at a guarded path, None at any other."""
        return next((scope for root, scope in self.guarded.items() if _is_within(path, root)), None)


async def keys_at_hand(state: State) -> "KnownKeys | None":
    """The keys in force, None while a service that demands them is starting.

    One that asks at guarded paths alone opens them here, for the first who comes there: it counts without the ledger.
    Raises as `open_keys`.
    """
    if state.known_keys is None and not state.doors.demands_keys:
        await asyncio.to_thread(open_keys, state)
    known: KnownKeys | None = state.known_keys
    return known


def open_keys(state: State) -> None:
    """Look at the ledger's keys from now on, where nobody does yet. Raises as the ledger does."""
    from binsight.service.keys import KnownKeys

    with _OPENING:
        if state.known_keys is None:
            state.known_keys = KnownKeys.open(state.settings.ledger)


class Access:
    """ASGI middleware: `request.state.key` is the key that was sent, or None where none is asked for.

    `known` gives the keys in force, None before they are known.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        doors: Doors,
        known: "Callable[[], Awaitable[KnownKeys | None]]",
        answer_error: Callable[[Request, Exception], Awaitable[Response]],
    ) -> None:
        self._app, self._doors, self._known, self._answer_error = app, doors, known, answer_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            key = await self._key(scope)
        except BinsightError as error:
            if scope["type"] == "websocket":
                await WebSocketClose(1008)(scope, receive, send)
            else:
                response = await self._answer_error(Request(scope), error)
                await response(scope, receive, send)
            return
        scope.setdefault("state", {})["key"] = key
        await self._app(scope, receive, send)

    async def _key(self, scope: Scope) -> ApiKey | None:
        if not self._doors.ask_at(scope["path"]):
            return None
        token = _token(Headers(scope=scope))
        if not token:
            raise _no_key(self._doors.scope_of(scope["path"]))
        known = await self._known()
        if known is None:
            raise NotReady("the service is starting; ask again when /ping answers 200")
        return known.opened_by(token)


def needs(scope: str) -> Any:
    """A dependency of an endpoint or of a router: its caller's key must have this scope, and to count, a photo left
    in its rate.

    Raises `NotAllowed` or `TooMany`, before the body is read. The API's description says so too.
    """
    return Security(_check, scopes=[scope])


async def _check(
    request: Request,
    wanted: SecurityScopes,
    _bearer: Annotated[Any, Security(_bearer)],
    _header: Annotated[Any, Security(_header)],
) -> None:
    key: ApiKey | None = request.state.key
    if key is None:
        return
    for scope in wanted.scopes:
        if not key.has(scope):
            raise NotAllowed(
                f"this needs a key for {scope}, but the one sent is for {' and '.join(key.scopes)}; make another (binsight "
                f"keys add NAME --scope {scope}), or ask who runs the service for one"
            )
    if COUNT in wanted.scopes:
        request.app.state.rates.ask(key)


def _is_within(path: str, root: str) -> bool:
    return path == root or path.startswith(f"{root}/")


def _token(headers: Headers) -> str:
    """What the caller sent, or nothing. `X-Api-Key` goes first: what stands in front may use Authorization for itself."""
    if given := headers.get("x-api-key"):
        return given.strip()
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _no_key(scope: str | None) -> UnknownCaller:
    """What is said to who sends none; `scope` is that of a guarded path."""
    if scope is None:
        return UnknownCaller("a key is needed; send it as X-Api-Key or as Authorization: Bearer")
    return UnknownCaller(
        f"a key for {scope} is needed here, wherever one asks from; make one (binsight keys add NAME --scope {scope}), and "
        "send it as X-Api-Key or as Authorization: Bearer"
    )
