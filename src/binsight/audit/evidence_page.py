"""The page of evidence: photo, record, estimate, verdict, and where all that stands in the ledger."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from binsight.audit.report import THUMBNAIL
from binsight.errors import BinsightError
from binsight.imaging.thumbnail import thumbnail
from binsight.records import CountEstimate
from binsight.report import EstimateCard, Page

LEAD = (
    "What was recorded, what the photo shows, and what follows, as it was kept when the audit was made. A photo shows how "
    "many items there are, and not which: a swap of equal numbers cannot be seen in it."
)
PROOF = (
    "Each entry's hash covers the one before it; the digests of the lines stand in the entries. evidence.json says all of "
    "this for programs, manifest.json has the hash of every file, and the journal has the manifest's: binsight audit "
    "verify-evidence checks them, binsight audit verify-log the journal."
)


def evidence_page(facts: Mapping[str, Any], photos: Mapping[int, bytes]) -> Page:
    """The page of `evidence.json`; `photos` by the lines' places."""
    audit, lines = facts["audit"], facts["lines"]
    page = Page("Evidence of an audit", lead=LEAD)
    page.estimates([_card(line, photos.get(line["place"])) for line in lines])
    page.table("lines", [_row(line) for line in lines])
    photo = ("bin_id", "photo", "photo_sha256", "photo_file")
    page.table("photos", [{name: line[name] for name in photo} for line in lines])
    for said in facts["missing"]:
        page.text(said)
    page.section("What it was judged by")
    terms = {name: str(value) for name, value in audit["terms"].items()}
    about = {
        "audit": audit["id"],
        "begun at": audit["begun_at"],
        "begun by": audit["begun_by"],
        "model": audit["model"],
    }
    about["certificate's SHA-256"] = audit["certificate_sha256"] or "none: nothing could be verified"
    page.table("terms", [{"what": name, "value": value} for name, value in (about | terms).items()])
    page.section("What proves it", PROOF)
    columns = ("seq", "at", "by", "kind", "hash")
    page.table("journal", [{name: entry[name] for name in columns} for entry in facts["journal"]])
    return page


def _card(line: Mapping[str, Any], photo: bytes | None) -> EstimateCard:
    small = None
    with suppress(BinsightError):
        small = None if photo is None else thumbnail(photo, name=str(line["photo"]), side=THUMBNAIL)
    seen = line["estimate"]
    estimate = None
    if seen is not None:
        flags = tuple(seen.get("flags", ()))
        estimate = CountEstimate(photo=line["photo"], probs=tuple(seen["probs"]), flags=flags)
    error = "" if estimate else line["reason"]
    return EstimateCard(
        photo=f"bin {line['bin_id']}", jpeg=small, estimate=estimate, error=error, known=line["expected"]
    )


def _row(line: Mapping[str, Any]) -> dict[str, Any]:
    names = ("bin_id", "expected", "count", "verdict", "reason", "exception", "p_record", "p_right", "units_off")
    return {name: line[name] for name in names}
