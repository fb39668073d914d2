"""Where people count blind: from photos at a desk, or at the bins with a handheld.

Until a count is in, nothing that is sent says what the record, the model or another person says: not the page, not a
header, not the photo's name or metadata. What came of a count is a page of its own, after which the count stands.
"""

import json
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from binsight.console.access import CountersPage, Counting, Form, Submitted, whole_number
from binsight.console.evidence import shown_estimate
from binsight.console.pages import page, to
from binsight.console.state import Console, TheConsole
from binsight.decision.recounts import SKIP_REASONS
from binsight.errors import BadInput, ChangedMeanwhile
from binsight.storage.ledger import BIN, PHOTO, Lease, User

router = APIRouter()
AHEAD = 2
"""Photos that a person has at once: the one to count, and the next, which the browser fetches meanwhile."""
MOST_MARKS = 500
MOST_TOKENS = 10


@router.get("/count")
def count_page(request: Request, user: Counting, console: TheConsole) -> Response:
    """The next photo to count."""
    seconds = console.policy.lease_seconds
    leases = console.leases.claim(user.id, where=PHOTO, seconds=seconds, most=AHEAD)
    return _page(request, console, user, "count.html", leases, seconds=seconds, here="/count")


@router.get("/walk")
def walk_page(request: Request, user: Counting, console: TheConsole, site: str = "", aisle: str = "") -> Response:
    """The aisles where bins are to be counted, or the next bin of one; a site or an aisle may have no name."""
    if not {"site", "aisle"} & request.query_params.keys():
        return page(request, "aisles.html", aisles=console.leases.aisles(user.id))
    seconds = console.policy.lease_seconds
    leases = console.leases.claim(user.id, where=BIN, seconds=seconds, site=site, aisle=aisle)
    here = str(request.url.include_query_params()).partition("?")[2]
    return _page(
        request, console, user, "walk.html", leases, seconds=seconds, here=f"/walk?{here}", site=site, aisle=aisle
    )


@router.get("/photo/{token}")
def photo(user: Counting, console: TheConsole, token: str) -> Response:
    """The photo of a task that this person has or had."""
    task = console.leases.photo_of(token, user=user.id)
    line = console.tasks.detail(task.id).line
    data, kind = console.photos.of(task.audit, line)
    return Response(data, media_type=kind, headers={"Cache-Control": "private, max-age=600"})


@router.post("/count/{token}")
def count(request: Request, form: Submitted, user: Counting, console: TheConsole, token: str) -> Response:
    """Keep a count, and go on to the next."""
    kept = console.counts.add(
        token,
        whole_number(form.get("counted", "")),
        user=user.id,
        name=user.name,
        rule=console.rule(),
        seconds=_seconds(form.get("seconds", "")),
        comment=form.get("comment", "").strip()[:1000],
        marks=_marks(form.get("marks", "")),
    )
    if "application/json" in request.headers.get("accept", ""):
        return _as_json({"token": token, "counted": kept.counted, "was_there": kept.was_there})
    return to(request, _back(form))


@router.post("/count/{token}/skip")
def skip(request: Request, form: Submitted, user: Counting, console: TheConsole, token: str) -> Response:
    """Pass a bin on."""
    reason = form.get("reason", "")
    if reason not in SKIP_REASONS:
        raise BadInput("a bin is passed on for one of the reasons of the list; choose one")
    try:
        console.leases.skip(token, user=user.id, name=user.name, reason=reason)
    except ChangedMeanwhile as error:
        return to(request, _back(form), note=str(error), is_bad=True)
    return to(request, _back(form), note=f"Passed on: {SKIP_REASONS[reason]}.")


@router.post("/count/{token}/take-back")
def take_back(request: Request, form: Submitted, user: Counting, console: TheConsole, token: str) -> Response:
    """Take the last count back, and count that bin again."""
    seconds = console.policy.lease_seconds
    try:
        lease = console.counts.withdraw(token, user=user.id, name=user.name, seconds=seconds)
    except ChangedMeanwhile as error:
        return to(request, _back(form), note=str(error), is_bad=True)
    return to(request, _back(form), note=f"Count bin {lease.task.bin_id} again.")


@router.post("/count/{token}/outcome")
def outcome(request: Request, form: Submitted, user: Counting, console: TheConsole, token: str) -> Response:
    """What came of a count, which stands from now on."""
    detail = console.counts.see(token, user=user.id, name=user.name)
    own = next(one for one in detail.counts if one.token == token)
    return page(
        request,
        "outcome.html",
        token=token,
        detail=detail,
        own=own,
        back=_back(form),
        **shown_estimate(detail.line),
    )


@router.post("/alive")
def alive(request: Request, _form: Submitted, user: CountersPage, console: TheConsole) -> Response:
    """A sign of life from a page: its tasks stay this person's."""
    seconds = console.policy.lease_seconds
    return _as_json({"num_tasks": console.leases.renew(user.id, _tokens(request), seconds=seconds)})


@router.post("/leave")
def leave(request: Request, _form: Submitted, user: CountersPage, console: TheConsole) -> Response:
    """A page was closed: others may have its tasks at once."""
    return _as_json({"num_tasks": console.leases.release(user.id, _tokens(request))})


def _page(
    request: Request, console: Console, user: User, template: str, leases: list[Lease], **values: Any
) -> Response:
    now, following = (*leases, None, None)[:2]
    return page(request, template, lease=now, following=following, last=console.counts.last_of(user.id), **values)


def _tokens(request: Request) -> list[str]:
    """Those of the tasks that are on the page which sent the form."""
    return [value for name, value in request.state.all_fields if name == "token"][:MOST_TOKENS]


def _back(form: Form) -> str:
    """The page that the form was on: the station, or an aisle."""
    here = form.get("here", "")
    return here if here.startswith("/walk?") and here.isprintable() else "/count"


def _seconds(text: str) -> float | None:
    """How long it took, as the browser says; None where it says nothing of use."""
    try:
        seconds = float(text)
    except ValueError:
        return None
    return round(seconds, 1) if 0 <= seconds < 86_400 else None


def _marks(text: str) -> str:
    """The dots that were set while counting: JSON pairs of shares of the photo's width and height."""
    try:
        marks = json.loads(text or "[]")
        pairs = [(round(float(x), 4), round(float(y), 4)) for x, y in marks[:MOST_MARKS]]
    except (ValueError, TypeError, KeyError):
        return "[]"
    return json.dumps([pair for pair in pairs if all(0 <= share <= 1 for share in pair)])


def _as_json(answer: dict[str, object]) -> Response:
    return Response(json.dumps(answer), media_type="application/json")
