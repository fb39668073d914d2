"""Who may ask: a key for everything but a few open paths, then the scope that the endpoint needs.

```
request ─▶ Access: a key in force, else 401 ─▶ needs(scope), else 403 ─▶ its rate, else 429 ─▶ body read
```
Two steps on purpose. The first stands before all endpoints, so that one that forgets to say what it needs, a mounted folder
of files or a path that is not there opens to nobody without a key.
"""

from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Security
from fastapi.security import APIKeyHeader, HTTPBearer, SecurityScopes
from starlette.datastructures import Headers
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


def must_ask_for_keys(host: str, keys: bool | None) -> bool:
    """By `keys`, else by the setting, else by who can reach the address. Raises `BadInput` where that is unsafe."""

    def has_keys() -> bool:
        from binsight.storage.ledger import ApiKeys, Ledger

        known = ApiKeys(Ledger.open(settings().ledger))
        try:
            return bool(known.not_revoked())
        finally:
            known.close()

    access = settings().access if keys is None else ("keys" if keys else "open")
    return demands_keys(host=host, access=access, has_keys=has_keys)


class Access:
    """ASGI middleware: `request.state.key` is the key that was sent, or None where none is asked for.

    `known` gives the keys in force, None before they are known; without it, none is asked for.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        known: "Callable[[], KnownKeys | None] | None",
        open_paths: Collection[str],
        answer_error: Callable[[Request, Exception], Awaitable[Response]],
    ) -> None:
        self._app, self._known, self._open_paths, self._answer_error = app, known, open_paths, answer_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            key = self._key(scope)
        except BinsightError as error:
            if scope["type"] == "websocket":
                await WebSocketClose(1008)(scope, receive, send)
            else:
                response = await self._answer_error(Request(scope), error)
                await response(scope, receive, send)
            return
        scope.setdefault("state", {})["key"] = key
        await self._app(scope, receive, send)

    def _key(self, scope: Scope) -> ApiKey | None:
        if self._known is None or scope["path"] in self._open_paths or _is_console(scope["path"]):
            return None
        token = _token(Headers(scope=scope))
        known = self._known()
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
                f"this needs a key for {scope}, but the one sent is for {' and '.join(key.scopes)}; ask who runs the "
                "service for another"
            )
    if COUNT in wanted.scopes:
        request.app.state.rates.ask(key)


def _is_console(path: str) -> bool:
    """The console asks for more than a key: for a person who is signed in."""
    return path == CONSOLE or path.startswith(f"{CONSOLE}/")


def _token(headers: Headers) -> str:
    """What the caller sent. `X-Api-Key` goes first: what stands in front may use Authorization for itself."""
    if given := headers.get("x-api-key"):
        return given.strip()
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise UnknownCaller("a key is needed; send it as X-Api-Key or as Authorization: Bearer")
    return token.strip()
