"""The console as an app of its own, which the service mounts under /console."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from binsight.audit.settled import MOST_TOLD
from binsight.console import (
    bins,
    consignments_pages,
    counting,
    deciding,
    exceptions,
    models_pages,
    overview,
    settings_pages,
    signing_in,
)
from binsight.console.access import SignIn
from binsight.console.headers import Headers
from binsight.console.pages import error_page, to
from binsight.console.state import Console
from binsight.errors import BinsightError
from binsight.service.answers import error_for, error_headers
from binsight.settings import Settings
from binsight.storage.ledger import Ledger
from binsight.webhooks import MOST_WAITING, Hooks, Receivers

if TYPE_CHECKING:
    from binsight.counting import Counter

log = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"


def open_console(chosen: Settings, *, counter: "Callable[[], Counter | None]") -> Console:
    """What the pages share. Raises as `Ledger.open` does, and `BadInput` for webhooks that are none."""
    hooks = Hooks.of(chosen)
    receivers = Receivers(
        hooks.urls,
        hooks.key,
        lambda result: log.info("a message is %s", result),
        most_waiting=MOST_TOLD + MOST_WAITING,  # counts never take the room of what is told of as it happens
    )
    return Console(settings=chosen, ledger=Ledger.open(chosen.ledger), counter=counter, receivers=receivers)


def make_console(console: Console) -> ASGIApp:
    """The pages."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.console = console
    for room in (
        signing_in,
        counting,
        overview,
        exceptions,
        bins,
        deciding,
        consignments_pages,
        models_pages,
        settings_pages,
    ):
        app.include_router(room.router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_exception_handler(SignIn, _sign_in)
    for kind in (BinsightError, HTTPException, Exception):
        app.add_exception_handler(kind, _show_error)
    # Around the whole app and no middleware of it: Starlette answers what nobody expected outside of those.
    return Headers(app)


async def _sign_in(request: Request, _error: Exception) -> Response:
    wanted = request.url.path.removeprefix(request.scope.get("root_path", ""))
    wanted += f"?{request.url.query}" if request.url.query else ""
    return to(request, f"/sign-in?{urlencode({'to': wanted})}" if request.method == "GET" else "/sign-in")


async def _show_error(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        sentence = "there is no such page; go on from the menu" if error.status_code == 404 else str(error.detail)
        return error_page(request, error.status_code, sentence)
    status, answer = error_for(error, getattr(request.state, "id", ""))
    if status == 500:
        log.error("a page of the console failed", exc_info=error)
    detail = answer.error
    shown = error_page(request, status, f"{detail.message}; {detail.mend}" if detail.mend else detail.message)
    shown.headers.update(error_headers(error))
    return shown
