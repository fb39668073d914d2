"""EPCIS 2.0: documents that GS1's own schema takes, and ids that its reference implementation gives as well."""

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner
from tests.test_audits import A_LINE

from binsight.audit.epcis import checked_base, document, event_id, event_of
from binsight.cli import cli
from binsight.errors import BadInput, MissingObject
from binsight.storage.ledger import Audit, AuditLineRow, Audits, Ledger

jsonschema = pytest.importorskip("jsonschema")

SCHEMA = json.loads((Path(__file__).parent / "epcis_schema" / "EPCISDocument.schema.json").read_text())
FORMATS = jsonschema.FormatChecker()
BASE = "https://example.com/wms"
AUDIT = Audit(
    id="x",
    begun_at="2026-11-24T15:30:00.123456+00:00",
    begun_by="ann",
    model="m",
    certificate_sha256=None,
    terms={},
)


@FORMATS.checks("uri")  # which jsonschema leaves alone without a library for it
def is_uri(value: object) -> bool:
    return isinstance(value, str) and bool(urlsplit(value).scheme) and " " not in value


def faults(value: dict[str, Any]) -> list[str]:
    validator = jsonschema.Draft7Validator(SCHEMA, format_checker=FORMATS)
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(value)]


def a_line(verdict: str = "suspect", count: int = 3, **record: object) -> AuditLineRow:
    probs = [0.0] * 21
    probs[count] = 1.0
    return replace(
        A_LINE,
        bin_id="A-03-17",
        expected=4,
        count=count,
        verdict=verdict,
        estimate=json.dumps({"probs": probs}),
        record=json.dumps({"skus": ["E 1"]} | record),
    )


EVENTS = {
    "suspect": a_line(),
    "verified": a_line("verified"),
    "several items": a_line(skus=["E", "F"]),
    "no items": a_line(skus=[]),
    "twenty or more": a_line(count=20),
    "a site": a_line(site="Köln/2"),
    "a photo's moment": a_line(photo_taken_at="2026-11-20T08:00:00+01:00"),
}


@pytest.mark.parametrize("what", EVENTS)
def test_gs1s_schema_takes_every_document(what: str) -> None:
    event = event_of(AUDIT, EVENTS[what], BASE)
    assert event is not None
    assert faults(document(AUDIT, [event])) == []


SPOILT: dict[str, Callable[[dict[str, Any]], object]] = {
    "no time": lambda event: event.pop("eventTime"),
    "no action": lambda event: event.pop("action"),
    "another action": lambda event: event.update(action="LOOK"),
    "a step that is none": lambda event: event.update(bizStep="counting_cycles"),
    "a disposition that is none": lambda event: event.update(persistentDisposition={"set": ["wrong"]}),
    "a field that is none": lambda event: event.update(count=3),
    "a quantity in words": lambda event: event["quantityList"][0].update(quantity="three"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_the_schema_does_refuse_what_is_wrong(what: str) -> None:
    event = deepcopy(event_of(AUDIT, a_line(), BASE))
    assert event is not None
    SPOILT[what](event)
    assert faults(document(AUDIT, [event]))


HASHES = {
    "suspect": "4218048963706eacb986bd6075c26fa30ec8c7fc87d4f7fe17b18c014802543e",
    "several items without a number": "ba0e7c61e5cd76e7e4fd9797f2cce6b041fb4494315811d4a640db99121a51ce",
    "verified": "e557d5cb332c289081cf022574d2ab2938102524d475d7b13e4e7d8a1a0a5e32",
}
"""What epcis-event-hash-generator 1.9.3 gives for the same events."""


def test_an_id_is_what_the_reference_implementation_gives() -> None:
    on_the_second = replace(AUDIT, begun_at="2026-11-24T15:30:00+00:00")
    found = {
        "suspect": event_of(AUDIT, a_line(), BASE),
        "several items without a number": event_of(on_the_second, a_line(count=20, skus=["E", "F"]), BASE),
        "verified": event_of(on_the_second, replace(a_line("verified"), expected=3), BASE),
    }
    assert {what: event and event["eventID"] for what, event in found.items()} == {
        what: f"ni:///sha-256;{digest}?ver=CBV2.0" for what, digest in HASHES.items()
    }


def test_an_event_says_what_was_seen_where_and_when() -> None:
    event = event_of(AUDIT, a_line(site="Köln/2", photo_taken_at="2026-11-20T08:00:00+01:00"), BASE)
    assert event is not None
    assert event["readPoint"] == event["bizLocation"] == {"id": f"{BASE}/loc/K%C3%B6ln%2F2/A-03-17"}
    assert event["eventTime"] == "2026-11-20T07:00:00.000Z"
    assert event["quantityList"] == [{"epcClass": f"{BASE}/class/E%201", "quantity": 3}]
    assert event["persistentDisposition"] == {"set": ["mismatch_quantity"]}
    assert event["eventID"] == event_id(event)
    verified = event_of(AUDIT, a_line("verified"), BASE)
    assert verified is not None
    assert verified["quantityList"][0]["quantity"] == 4, "the record, which the photo bears out"


@pytest.mark.parametrize("verdict", ["not_assessable", "stale"])
def test_where_a_photo_says_nothing_there_is_no_event(verdict: str) -> None:
    assert event_of(AUDIT, a_line(verdict), BASE) is None


def test_a_kept_audit_becomes_one_document_and_the_same_again(tmp_path: Path, places: dict[str, str]) -> None:
    ledger = Ledger.open(places["BINSIGHT_LEDGER"])
    audit = Audits(ledger).begin(model="m:1", certificate_sha256=None, terms={"strange": "[]"}, by="ann")
    lines = [a_line("verified"), a_line("stale"), a_line(), a_line(site="N")]
    Audits(ledger).add(audit, [replace(line, place=place) for place, line in enumerate(lines, 1)])
    ledger.close()
    arguments = ["audit", "epcis", audit.id, "--base", BASE, "--out"]
    for name in "ab":
        assert CliRunner().invoke(cli, [*arguments, str(tmp_path / name)]).exit_code == 0
    found = json.loads((tmp_path / "a").read_text())
    assert faults(found) == []
    assert len({event["eventID"] for event in found["epcisBody"]["eventList"]}) == 3
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    nothing = CliRunner().invoke(cli, ["audit", "epcis", "nothing", "--base", BASE, "--out", str(tmp_path / "c")])
    assert isinstance(nothing.exception, MissingObject)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("base", ["example.com", "ftp://example.com", "https://", "https://example.com/?a=1"])
def test_a_base_that_ids_cannot_begin_with_is_refused(base: str) -> None:
    with pytest.raises(BadInput, match="--base must be an address"):
        checked_base(base)
