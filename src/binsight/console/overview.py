"""The state of the stock on one page: what is covered, what is to be done, where errors are, how that changed."""

from bisect import bisect_right
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from binsight.audit.places import walking_key
from binsight.audit.settled import settled_lines
from binsight.audit.spot_check import accuracy_of
from binsight.audit.standing import standing_of
from binsight.console.access import Deciding
from binsight.console.pages import page
from binsight.console.state import Console, TheConsole
from binsight.decision.surveillance import live_shares
from binsight.storage.ledger import AisleRow, Certificates
from binsight.storage.ledger.search import EndedAudit

router = APIRouter()
SHADES = (1, 2, 5, 10, 20)
"""Units off in 100 records from which an aisle is a shade darker: fixed, so that a good week looks like one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """An aisle on the map; `shade` counts the `SHADES` that it reaches."""

    aisle: AisleRow
    shade: int
    off_per_100: float


@router.get("/")
def overview_page(request: Request, _user: Deciding, console: TheConsole) -> Response:
    """The newest audit, and those before it."""
    ended = console.search.ended(most=30)
    if not ended:
        return page(request, "no_audit.html")
    newest = ended[0]
    return page(
        request,
        "overview.html",
        newest=newest,
        shares=_shares(newest),
        tally=console.tasks.tally(),
        tiles=_tiles(console.search.aisles(newest.audit.id)),
        trend=_trend(ended),
        **_certificate(console, newest),
        ended=ended,
    )


def _certificate(console: Console, newest: EndedAudit) -> dict[str, Any]:
    """How the certificate of the newest audit stands, and what counts say of it and of all records."""
    sha256, certificates = newest.audit.certificate_sha256, Certificates(console.ledger)
    if sha256 is None:
        return {"standing": None, "live": [], "accuracy": None, "why_not": "the audit had no certificate"}
    standing = standing_of(sha256, certificates.acts(sha256))
    watched = certificates.of_audit(newest.audit.id)
    accuracy, why_not = None, "the audit drew nothing by lot"
    if watched is not None:
        accuracy, why_not = accuracy_of(settled_lines(console.ledger, newest.audit.id), watched.body)
    live = live_shares(standing.counts)
    return {"standing": standing, "live": live, "accuracy": accuracy, "why_not": why_not}


def _shares(newest: EndedAudit) -> list[tuple[str, int, float]]:
    """Each verdict, how many records have it, and their share."""
    total = max(1, newest.tally["num_records"])
    numbers = ((word, newest.tally[f"num_{word}"]) for word in ("verified", "suspect", "not_assessable", "stale"))
    return [(word, number, number / total) for word, number in numbers]


def _tiles(aisles: list[AisleRow]) -> list[Tile]:
    """The map: aisles in walking order, shaded by the expected error of a record there."""
    ordered = sorted(aisles, key=lambda one: (walking_key(one.site), walking_key(one.aisle)))
    off = [100 * one.units_off / max(1, one.num_records) for one in ordered]
    return [
        Tile(aisle=one, shade=bisect_right(SHADES, each), off_per_100=each)
        for one, each in zip(ordered, off, strict=True)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """An audit in the trend: shares of its records, and where they lie in a drawing of 100 by 40."""

    ended_at: str
    verified: float
    suspect: float
    x: float


def _trend(ended: list[EndedAudit]) -> list[Point]:
    """The audits from the oldest to the newest."""
    last = max(1, len(ended) - 1)
    return [
        Point(
            ended_at=one.ended_at,
            verified=one.tally["num_verified"] / max(1, one.tally["num_records"]),
            suspect=one.tally["num_suspect"] / max(1, one.tally["num_records"]),
            x=100 * number / last,
        )
        for number, one in enumerate(reversed(ended))
    ]
