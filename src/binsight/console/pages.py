"""Pages: templates filled in, notes that outlive a redirect, and errors as a person reads them."""

import base64
import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from binsight.console.access import CSRF_FIELD, csrf_token, drop_cookie, remember_visit, set_cookie
from binsight.decision.recounts import REASONS, SKIP_REASONS
from binsight.storage.ledger import ADMIN, APPROVER, COUNTER

NOTE = "binsight_note"
STATES: Mapping[str, str] = {
    "count": "to count",
    "recount": "to recount",
    "approve": "to decide",
    "matched": "record confirmed",
    "confirmed": "variance confirmed",
    "approved": "approved",
    "rejected": "rejected",
    "cancelled": "cancelled",
}
"""What a task's state is called on pages."""


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
    """A page; a note that a redirect left is shown once."""
    user = getattr(request.state, "user", None)
    said = _note(request.cookies.get(NOTE))
    html = (
        environment()
        .get_template(template)
        .render(
            root=request.scope.get("root_path", ""),
            path=request.url.path,
            user=user,
            menu=_menu(user.role if user else None),
            csrf=csrf_token(request),
            csrf_field=CSRF_FIELD,
            note=said,
            **values,
        )
    )
    response = HTMLResponse(html, status)
    if said:
        drop_cookie(request, response, NOTE)
    remember_visit(request, response)
    return response


def to(request: Request, path: str, *, note: str = "", is_bad: bool = False) -> Response:
    """Send the browser to a page of the console, and leave a note to be shown there."""
    response = RedirectResponse(request.scope.get("root_path", "") + path, 303)
    if note:
        value = base64.urlsafe_b64encode(json.dumps([note, is_bad]).encode()).decode()
        set_cookie(request, response, NOTE, value, seconds=60)
    return response


def error_page(request: Request, status: int, sentence: str) -> Response:
    """One sentence about what went wrong, and how to go on."""
    what, _, mend = sentence.rpartition("; ")
    return page(request, "error.html", status=status, what=what or mend, mend=mend if what else "", code=status)


@cache
def environment() -> Environment:
    """The templates; a name that is not given is an error and no empty place."""
    made = Environment(
        loader=PackageLoader("binsight.console"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    made.filters |= {"moment": _moment, "percent": _percent, "number": _number}
    made.globals |= {"STATES": STATES, "REASONS": REASONS, "SKIP_REASONS": SKIP_REASONS}
    return made


def _menu(role: str | None) -> list[tuple[str, str]]:
    """Where a person of this role may go: path and name."""
    counting = [("/count", "Count photos"), ("/walk", "Count at bins")]
    deciding = [
        ("/", "Overview"),
        ("/exceptions", "Exceptions"),
        ("/tasks", "Tasks"),
        ("/consignments", "Consignments"),
        ("/models", "Models"),
    ]
    return {
        COUNTER: counting,
        APPROVER: deciding,
        ADMIN: [*deciding, ("/settings", "Settings")],
        None: [],
    }[role]


def _note(cookie: str | None) -> tuple[str, bool] | None:
    try:
        said, is_bad = json.loads(base64.urlsafe_b64decode(cookie or ""))
    except (ValueError, TypeError):
        return None
    return str(said)[:500], bool(is_bad)


def _moment(value: str | None) -> str:
    """`2026-11-26 12:30` of a moment in UTC."""
    return "" if not value else datetime.fromisoformat(value).strftime("%Y-%m-%d %H:%M")


def _percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}%}"


def _number(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"
