"""The console as the service mounts it: nothing of it is imported before the service counts."""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from binsight.console import rest
from binsight.errors import BinsightError
from binsight.service.access import CONSOLE
from binsight.settings import Settings
from binsight.storage.api_key import TASKS

if TYPE_CHECKING:
    from binsight.console.state import Console
    from binsight.counting import Counter
    from binsight.poller import Poller

log = logging.getLogger(__name__)


def add_console(app: FastAPI, *, address: str) -> None:
    """Mount the console in a service's app, and join its API for programs to the service's.

    It is opened once the service counts, or when it is first asked for. `address` is where people reach the service.
    Tasks say what records say and take counts: they need a key, unless the settings say that all is open (`access`).
    """
    state = app.state

    def counter() -> "Counter | None":
        return state.lanes.served.counter if state.lanes else None

    console = ConsoleLater(state.settings, counter=counter, address=address)
    app.mount(CONSOLE, console, name="console")
    app.add_route("/", _to_console, include_in_schema=False)
    state.doors.open_paths.add("/")
    if state.settings.access != "open":
        state.doors.guarded[rest.TASKS_AT] = TASKS
    state.task_work = None
    app.include_router(rest.router)
    state.console, state.on_ready = console, console.open_or_say


class ConsoleLater:
    """An ASGI app that becomes the console when it is opened."""

    def __init__(self, chosen: Settings, *, counter: "Callable[[], Counter | None]", address: str) -> None:
        self._chosen, self._counter, self._address = chosen, counter, address
        self._app: ASGIApp | None = None
        self._opened: tuple[Console, Poller] | None = None
        self._opening = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            app = await asyncio.to_thread(self.open) if self._app is None else self._app
        except BinsightError as error:
            await PlainTextResponse(f"The console cannot be opened: {error}.", 503)(scope, receive, send)
            return
        await app(scope, receive, send)

    def open(self) -> ASGIApp:
        """Import and open the console; where it has no admin yet, the log says how the first one is made.

        Raises as `Ledger.open` does, and `MissingExtra` without the console's libraries.
        """
        with self._opening:
            app = self._made() if self._app is None else self._app
            self._app = app
        return app

    def open_or_say(self) -> None:
        """Open it, or say in the log why that cannot be: the service counts without."""
        try:
            self.open()
        except BinsightError as error:
            log.error("the console cannot be opened: %s", error)

    def close(self, *, within: float) -> None:
        """Take in no further outcomes, and give messages on their way a last try, for up to `within` seconds."""
        with self._opening:
            if self._opened is not None:
                console, settling = self._opened
                settling.stop()
                console.receivers.stop(within=within)

    def _made(self) -> ASGIApp:
        from binsight.console.app import make_console, open_console

        console = open_console(self._chosen, counter=self._counter)
        self._opened = console, console.keep_settling()
        if not console.people.has_admin():
            link = f"{self._address}{CONSOLE}/setup?token={console.setup_token}"
            log.warning("nobody can set up the console yet: make the first admin at %s", link)
        return make_console(console)


async def _to_console(_request: Request) -> Response:
    return RedirectResponse(f"{CONSOLE}/")
