"""Consignments: how each was judged, its totes, and who lets it go."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from binsight.audit.events import consignment_released
from binsight.console.access import Deciding, Submitted
from binsight.console.pages import page, to
from binsight.console.state import TheConsole
from binsight.storage.ledger import Consignments

router = APIRouter()


@router.get("/consignments")
def consignments_page(request: Request, _user: Deciding, console: TheConsole) -> Response:
    """The consignments that were judged last."""
    return page(request, "consignments.html", found=Consignments(console.ledger).latest())


@router.get("/consignments/one")
def consignment_page(request: Request, _user: Deciding, console: TheConsole, id: str) -> Response:  # noqa: A002
    """One consignment; its id may be any text, and so stands in the query."""
    return page(request, "consignment.html", one=Consignments(console.ledger).read(id))


@router.post("/consignments/release")
def release(request: Request, form: Submitted, user: Deciding, console: TheConsole) -> Response:
    """Let a consignment go, with a reason where it was not judged RELEASE."""
    entry = Consignments(console.ledger).release(
        form.get("id", ""),
        by=user.name,
        reason=form.get("reason", "")[:1000],
        override=form.get("override") == "on",
    )
    console.receivers.send(consignment_released(entry))
    return to(request, "/consignments", note=f"Consignment {entry.subject} is released.")
