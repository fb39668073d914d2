"""Consignments: how each was judged, its totes, and who lets it go."""

from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from binsight.audit.events import consignment_released
from binsight.console.access import Deciding, Submitted
from binsight.console.pages import page, to
from binsight.console.state import TheConsole
from binsight.storage.ledger import Consignments

router = APIRouter()
PAGE = 50


@router.get("/consignments")
def consignments_page(
    request: Request, _user: Deciding, console: TheConsole, beginning: str = "", after: str = ""
) -> Response:
    """Consignments, all or those whose ids begin so, page by page: what somebody has to look into first."""
    beginning = beginning.strip()
    found = Consignments(console.ledger).find(beginning=beginning, after=_place(after), most=PAGE + 1)
    more = ""
    if len(found) > PAGE:
        group, seq = found[PAGE - 1].place
        more = urlencode({"beginning": beginning, "after": f"{group}:{seq}"})
    return page(
        request, "consignments.html", found=found[:PAGE], beginning=beginning, more=more, is_later=bool(after)
    )


@router.get("/consignments/one")
def consignment_page(request: Request, _user: Deciding, console: TheConsole, id: str) -> Response:  # noqa: A002
    """One consignment; its id may be any text, and so stands in the query."""
    return page(request, "consignment.html", one=Consignments(console.ledger).read(id))


@router.post("/consignments/release")
def release(request: Request, form: Submitted, user: Deciding, console: TheConsole) -> Response:
    """Let a consignment go on the judgement that was on the page, with a reason where that was not RELEASE."""
    entry = Consignments(console.ledger).release(
        form.get("id", ""),
        by=user.name,
        reason=form.get("reason", "")[:1000],
        override=form.get("override") == "on",
        judged=form.get("judged", ""),
    )
    console.receivers.send(consignment_released(entry))
    return to(request, "/consignments", note=f"Consignment {entry.subject} is released.")


def _place(text: str) -> tuple[int, int] | None:
    """Where the page before ended; None for what no page has written."""
    group, _, seq = text.partition(":")
    if not all(part.isascii() and part.isdigit() and len(part) < 19 for part in (group, seq)):
        return None
    return int(group), int(seq)
