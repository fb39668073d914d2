"""The records that need a person: an audit's lines, filtered and sorted, and given out as tasks by the handful."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from binsight.audit.lines import BAD_PHOTO, NOT_ASSESSABLE, STALE, SUSPECT, VERIFIED, WRONG_BIN
from binsight.console.access import Deciding, Submitted
from binsight.console.evidence import shown_estimate
from binsight.console.pages import page, to
from binsight.console.state import TheConsole
from binsight.console.task_work import task_of_line
from binsight.errors import BadInput
from binsight.storage.ledger import Archives
from binsight.storage.ledger.search import BY_BIN, BY_UNITS, BY_VALUE, Asked, FoundLine

router = APIRouter()
PAGE = 25
KINDS = {
    SUSPECT: "suspects",
    WRONG_BIN: "photo of another bin",
    BAD_PHOTO: "photo that cannot be counted",
    NOT_ASSESSABLE: "not assessable",
    STALE: "stale",
    VERIFIED: "verified",
}
SORTS = {BY_UNITS: "expected error", BY_VALUE: "its value", BY_BIN: "bin"}


@router.get("/exceptions")
def exceptions_page(request: Request, _user: Deciding, console: TheConsole) -> Response:
    """Lines of an audit, the newest by default: suspects, those with the largest expected error first.

    Raises `MissingObject` for an audit that is none.
    """
    given = request.query_params
    ended = console.search.ended()
    if not ended:
        return page(request, "no_audit.html")
    chosen = console.search.ended_audit(given["audit"]) if given.get("audit") else ended[0]
    kind = given.get("kind", SUSPECT) if given.get("kind") in KINDS else SUSPECT
    asked = Asked(
        audit=chosen.audit.id,
        verdict=None if kind in (WRONG_BIN, BAD_PHOTO) else kind,
        exception=kind if kind in (WRONG_BIN, BAD_PHOTO) else None,
        site=_name(given, "site"),
        aisle=_name(given, "aisle"),
        bins=given.get("bins", "").strip(),
        by=given.get("by", BY_UNITS) if given.get("by") in SORTS else BY_UNITS,
    )
    found = console.search.lines(asked, after=_after(given.get("after", ""), asked), most=PAGE + 1)
    same = {name: value for name, value in given.items() if name != "after" and value}
    more = urlencode({**same, "after": _key(found[PAGE - 1], asked)}) if len(found) > PAGE else ""
    return page(
        request,
        "rows.html" if request.headers.get("hx-request") else "exceptions.html",
        found=[(one, shown_estimate(one.line)) for one in found[:PAGE]],
        ended=ended if chosen in ended else [*ended, chosen],
        chosen=chosen,
        kind=kind,
        kinds=KINDS,
        sorts=SORTS,
        asked=asked,
        numbers=_numbers(chosen.tally),
        more=more,
        same=same,
        archive=Archives(console.ledger).of(chosen.audit.id),
    )


@router.post("/exceptions/tasks")
def give_out(request: Request, form: Submitted, user: Deciding, console: TheConsole) -> Response:
    """Give the chosen lines out as tasks; those that have one already keep it."""
    audit = form.get("audit", "")
    chosen = [
        value for name, value in request.state.all_fields if name == "place" and value.isascii() and value.isdigit()
    ]
    if not chosen:
        raise BadInput("no bin is chosen; tick those that are to be counted")
    found = (console.search.line(audit, int(place)) for place in chosen[:1000])
    new = [task_of_line(one) for one in found if one is not None and one.task is None]
    number = console.tasks.create(audit, new, by=user.name) if new else 0
    note = f"{number} given out as tasks" + (
        f", {len(chosen) - number} had one already." if number < len(chosen) else "."
    )
    back = form.get("back", "")
    return to(request, f"/exceptions?{back}" if back.isprintable() else "/exceptions", note=note)


def _name(given: Mapping[str, str], what: str) -> str | None:
    """The site or aisle that is asked for: any where the form's field is empty, but the one without a name for a link of
    the map."""
    return given.get(what) or ("" if what in given and "exactly" in given else None)


def _numbers(tally: Mapping[str, Any]) -> dict[str, int]:
    """How many lines there are of each kind, as the audit's own tally has it."""
    return {kind: tally.get(f"num_{kind}", tally["exceptions"].get(kind, 0)) for kind in KINDS}


def _key(last: FoundLine, asked: Asked) -> str:
    """Where the next page begins: the last line's sort key and place."""
    if asked.by == BY_BIN or asked.bins:
        return f"{last.line.place}:{last.line.bin_id}"
    return f"{last.line.place}:{(last.value_off if asked.by == BY_VALUE else last.line.units_off)!r}"


def _after(text: str, asked: Asked) -> tuple[float | str, int] | None:
    place, _, key = text.partition(":")
    if not (place.isascii() and place.isdigit() and len(place) < 19):
        return None
    if asked.by == BY_BIN or asked.bins:
        return key, int(place)
    try:
        return float(key), int(place)
    except ValueError:
        return None
