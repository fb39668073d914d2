"""The page of one record: of bins of one name at two sites it shows the one, and never the other."""

import io
import json
import zipfile
from dataclasses import replace

import pytest
from fastapi import FastAPI
from tests.console_support import CONSOLE, signed_in
from tests.tasks_support import a_line

from binsight.storage.ledger import Audits, FoundBy, Ledger

SITES = ("DC1", "DC2")


@pytest.fixture
def audits(console_ledger: Ledger) -> list[str]:
    """Two audits, each with a line of bin TWIN at each of two sites."""
    kept, made = Audits(console_ledger), []
    lines = [replace(a_line(place, site=site), bin_id="TWIN", photo=None) for place, site in enumerate(SITES, 1)]
    for _ in range(2):
        audit = kept.begin(model="m:1", certificate_sha256=None, terms={}, by="ann")
        kept.add(audit, lines, [FoundBy(site=site, aisle="A", value_off=None) for site in SITES])
        kept.end(audit, {})
        made.append(audit.id)
    return made


def test_a_bins_history_is_that_of_its_site(console_app: FastAPI, audits: list[str]) -> None:
    page = signed_in(console_app, "ann").get(f"/lines/{audits[0]}/2").text
    assert all(f"/lines/{audit}/2" in page for audit in audits)
    assert not any(f"/lines/{audit}/1" in page for audit in audits)


def test_a_bins_evidence_is_that_of_its_site(console_app: FastAPI, audits: list[str]) -> None:
    answer = signed_in(console_app, "ann").client.get(f"{CONSOLE}/lines/{audits[0]}/2/evidence.zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        facts = json.loads(archive.read("evidence.json"))
    assert [line["record"]["site"] for line in facts["lines"]] == ["DC2"]
