"""One record with all that is known of it: photo, estimate, where the model looked, tasks and counts, earlier audits."""

import threading

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from binsight.audit.evidence import make_evidence
from binsight.audit.stored import site_of
from binsight.console.access import Deciding
from binsight.console.evidence import estimate_of, shown_estimate
from binsight.console.pages import page
from binsight.console.photos import reader
from binsight.console.state import Console, TheConsole
from binsight.counting.heatmap_files import heatmap_jpeg
from binsight.errors import MissingObject, NotReady
from binsight.imaging.thumbnail import thumbnail
from binsight.storage.ledger import Audits
from binsight.storage.ledger.search import FoundLine

router = APIRouter()
THUMBNAIL = 160
KEPT = {"Cache-Control": "private, max-age=3600"}
_one_map = threading.Semaphore(1)
"""A map takes about 120 answers of the network: one at a time, so that counting goes on."""


@router.get("/lines/{audit}/{place}")
def line_page(request: Request, _user: Deciding, console: TheConsole, audit: str, place: int) -> Response:
    """A line of an audit."""
    found = _found(console, audit, place)
    return page(
        request,
        "line.html",
        found=found,
        audit=Audits(console.ledger).read(audit),
        detail=console.tasks.detail(found.task) if found.task else None,
        history=console.search.of_bin(found.line.bin_id, site=site_of(found.line.record)),
        **shown_estimate(found.line),
    )


@router.get("/lines/{audit}/{place}/photo")
def photo(_user: Deciding, console: TheConsole, audit: str, place: int) -> Response:
    """The line's photo."""
    data, kind = console.photos.of(audit, _found(console, audit, place).line)
    return Response(data, media_type=kind, headers=KEPT)


@router.get("/lines/{audit}/{place}/thumbnail")
def small_photo(_user: Deciding, console: TheConsole, audit: str, place: int) -> Response:
    """The line's photo, small."""
    line = _found(console, audit, place).line
    data, _ = console.photos.of(audit, line)
    return Response(thumbnail(data, name=line.bin_id, side=THUMBNAIL), media_type="image/jpeg", headers=KEPT)


@router.get("/lines/{audit}/{place}/heatmap")
def heatmap(_user: Deciding, console: TheConsole, audit: str, place: int) -> Response:
    """Where the model in service looks in the line's photo. Raises `NotReady` while there is none."""
    line, counter = _found(console, audit, place).line, console.counter()
    estimate = estimate_of(line)
    if estimate is None:
        raise MissingObject(f"the photo of bin {line.bin_id} was not counted; there is nothing to see")
    if counter is None:
        raise NotReady("the model is being loaded; try again in a moment")
    with _one_map:
        data = heatmap_jpeg(counter, console.photos.whole(audit, line), estimate)
    return Response(data, media_type="image/jpeg", headers=KEPT)


@router.get("/lines/{audit}/{place}/evidence.zip")
def evidence(user: Deciding, console: TheConsole, audit: str, place: int) -> Response:
    """The evidence of a line, as binsight audit evidence writes it; that it was made is in the journal."""
    line = _found(console, audit, place).line
    site = site_of(line.record)  # of bins of one name at two sites only this one
    bundle = make_evidence(console.ledger, audit, [line.bin_id], reader(), by=user.name, site=site)
    headers = {"Content-Disposition": 'attachment; filename="evidence.zip"'}
    return Response(bundle.as_zip(), media_type="application/zip", headers=headers)


def _found(console: Console, audit: str, place: int) -> FoundLine:
    found = console.search.line(audit, place) if 0 <= place < 2**63 else None
    if found is None:
        raise MissingObject("there is no such line in this audit; go on from the list of exceptions")
    return found
