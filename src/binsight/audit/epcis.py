"""What an audit found as a GS1 EPCIS 2.0 document: an event for each record that its photo bears out, or speaks against.

An event's id is its hash by the CBV (ISO/IEC 19988, "EPCIS event hash id"): whoever gets it twice has it once. The hash is
of a text that names the fields in a fixed order. Events here have few of them, so that the text is a dozen lines; the
reference implementation brings a web server along, and is what the tests' hashes come from.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from binsight.audit.lines import SUSPECT, VERIFIED
from binsight.errors import BadInput
from binsight.storage.files import written_whole
from binsight.storage.ledger import Audit, AuditLineRow, Audits, Ledger

CONTEXT = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"
BIZ_STEP = "cycle_counting"
DISPOSITIONS = {VERIFIED: "completeness_verified", SUSPECT: "mismatch_quantity"}
"""Of other verdicts a photo says nothing, and there is no event."""
MIXED = "mixed"
"""The class of what is in a bin of several items, or of none that the record names: a photo shows their total."""


def write_epcis(ledger: Ledger, audit_id: str, base: str, out: Path) -> int:
    """Write the document of a kept audit; how many events it has.

    `base` is the http(s) address below which the site's own ids are unique: `base/loc/BIN`, `base/class/ITEM`. Raises
    `MissingObject` for an audit that is not in the ledger, `BadInput` for a base that is none.
    """
    base, audits, number = checked_base(base), Audits(ledger), 0
    audit = audits.read(audit_id)
    with written_whole(out) as part, part.open("w", encoding="utf-8") as file:
        before, after = json.dumps(document(audit, []), ensure_ascii=False).rsplit("[]", 1)
        file.write(f"{before}[")
        for line in audits.lines(audit_id):
            event = event_of(audit, line, base)
            if event is not None:
                file.write(("," if number else "") + "\n" + json.dumps(event, ensure_ascii=False))
                number += 1
        file.write(f"]{after}\n")
    return number


def document(audit: Audit, events: list[dict[str, Any]]) -> dict[str, Any]:
    """Events as a document; it is of the audit's own moment, so that the same audit always gives the same."""
    return {
        "@context": [CONTEXT],
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": _moment(audit.begun_at),
        "epcisBody": {"eventList": events},
    }


def event_of(audit: Audit, line: AuditLineRow, base: str) -> dict[str, Any] | None:
    """The event of a line; None where its verdict is neither verified nor suspect."""
    if line.verdict not in DISPOSITIONS or line.estimate is None:
        return None
    record = json.loads(line.record)
    place = {"id": "/".join([base, "loc", *(_segment(name) for name in (record.get("site"), line.bin_id) if name)])}
    event = {
        "type": "ObjectEvent",
        "eventTime": _moment(record.get("photo_taken_at") or audit.begun_at),
        "eventTimeZoneOffset": "+00:00",
        "quantityList": [_quantity(line, record, base)],
        "action": "OBSERVE",
        "bizStep": BIZ_STEP,
        "persistentDisposition": {"set": [DISPOSITIONS[line.verdict]]},
        "readPoint": place,
        "bizLocation": place,
    }
    return {"eventID": event_id(event), **event}


def event_id(event: Mapping[str, Any]) -> str:
    """The event's hash id by the CBV, for events as they are made here."""
    (quantity,), place = event["quantityList"], event["readPoint"]["id"]
    number = f"quantity={quantity['quantity']}" if "quantity" in quantity else ""
    said = (
        f"eventType={event['type']}eventTime={event['eventTime']}eventTimeZoneOffset={event['eventTimeZoneOffset']}"
        f"quantityListquantityElementepcClass={quantity['epcClass']}{number}"
        f"action={event['action']}bizStep=https://ref.gs1.org/cbv/BizStep-{event['bizStep']}"
        f"persistentDispositionset=https://ref.gs1.org/cbv/Disp-{event['persistentDisposition']['set'][0]}"
        f"readPointid={place}bizLocationid={event['bizLocation']['id']}"
    )
    return f"ni:///sha-256;{sha256(said.encode()).hexdigest()}?ver=CBV2.0"


def checked_base(base: str) -> str:
    """The base without a slash at its end. Raises `BadInput` for one that ids cannot begin with."""
    parts = urlsplit(base)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise BadInput(f"--base must be an address of yours such as https://example.com/stock, but is {base}")
    return base.rstrip("/")


def _quantity(line: AuditLineRow, record: Mapping[str, Any], base: str) -> dict[str, Any]:
    """What was seen, of the one item that the record names: its number, unless the photo shows "so many or more"."""
    skus = record.get("skus", [])
    name = skus[0] if len(skus) == 1 else MIXED
    found: dict[str, Any] = {"epcClass": f"{base}/class/{_segment(name)}"}
    seen = line.expected if line.verdict == VERIFIED else line.count
    most = len(json.loads(line.estimate or "{}")["probs"]) - 1
    return found | ({"quantity": seen} if seen is not None and seen < most else {})


def _segment(text: str) -> str:
    return quote(text, safe="")


def _moment(text: str) -> str:
    """In UTC, to the millisecond: as the hash has it."""
    moment = datetime.fromisoformat(text)
    in_utc = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return in_utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")
