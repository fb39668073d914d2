"""Audits in the console: each is opened by its own link, and its lines are found by aisle."""

import re
from dataclasses import replace

import pytest
from fastapi import FastAPI
from tests.console_support import signed_in, what_it_says
from tests.tasks_support import a_line

from binsight.storage.ledger import AisleRow, Audits, FoundBy, Ledger

TALLY = {
    "num_records": 1,
    "num_verified": 0,
    "num_suspect": 1,
    "num_not_assessable": 0,
    "num_stale": 0,
    "exceptions": {},
    "units_off": 1.0,
    "units_expected": 3,
}


def an_audit_of(ledger: Ledger, *bins: tuple[str, str, str]) -> str:
    """An audit of bins, each with its site and aisle; its id."""
    kept = Audits(ledger)
    audit = kept.begin(model="m:1", certificate_sha256=None, terms={}, by="ann")
    lines = [replace(a_line(place), bin_id=name) for place, (name, _, _) in enumerate(bins, 1)]
    kept.add(audit, lines, [FoundBy(site=site, aisle=aisle, value_off=None) for _, site, aisle in bins])
    rows = [
        AisleRow(site=site, aisle=aisle, num_records=1, num_verified=0, num_suspect=1, units_off=1.0)
        for site, aisle in dict.fromkeys((site, aisle) for _, site, aisle in bins)
    ]
    kept.end(audit, TALLY | {"num_records": len(bins)}, rows)
    return audit.id


def test_an_older_audit_of_the_overview_opens_itself(console_app: FastAPI, console_ledger: Ledger) -> None:
    ids = [an_audit_of(console_ledger, (f"BIN-OF-{number}", "DC1", "A")) for number in range(25)]
    dan = signed_in(console_app, "dan")
    links = re.findall(r'href="/console(/exceptions\?audit=[^"&]+)"', dan.get("/").text)
    assert len(links) == 26
    for link in links[:-1]:
        page = dan.get(link)
        number = ids.index(link.partition("=")[2])
        assert set(re.findall(r"BIN-OF-\d+", page.text)) == {f"BIN-OF-{number}"}
        assert f'<option value="{ids[number]}" selected>' in page.text


def test_an_audit_that_is_not_there_is_no_other(console_app: FastAPI, console_ledger: Ledger) -> None:
    begun = Audits(console_ledger).begin(model="m:1", certificate_sha256=None, terms={}, by="ann")
    dan = signed_in(console_app, "dan")
    for audit in ("no-such-audit", begun.id):
        page = dan.get(f"/exceptions?audit={audit}")
        assert page.status_code == 404
        assert "There is no audit" in what_it_says(page)
    assert dan.get("/exceptions?audit=").status_code == 200, "any"


@pytest.mark.parametrize(
    ("asked", "bins"),
    [
        ("aisle=A", {"ONE", "TWO", "BARE"}),
        ("aisle=A&site=", {"ONE", "TWO", "BARE"}),
        ("aisle=A&site=DC2", {"TWO"}),
        ("site=DC1", {"ONE"}),
        ("aisle=&site=", {"ONE", "TWO", "BARE", "NOWHERE"}),
        ("aisle=C", set()),
        ("aisle=A&site=&exactly=1", {"BARE"}),
        ("aisle=&site=&exactly=1", {"NOWHERE"}),
    ],
)
def test_lines_are_found_by_site_and_aisle(
    console_app: FastAPI, console_ledger: Ledger, asked: str, bins: set[str]
) -> None:
    an_audit_of(console_ledger, ("ONE", "DC1", "A"), ("TWO", "DC2", "A"), ("BARE", "", "A"), ("NOWHERE", "", ""))
    page = signed_in(console_app, "dan").get(f"/exceptions?{asked}")
    assert set(re.findall(r"<b>([A-Z]+)</b></a>", page.text)) == bins


def test_the_map_leads_to_the_lines_of_its_aisle(console_app: FastAPI, console_ledger: Ledger) -> None:
    an_audit_of(console_ledger, ("ONE", "DC1", "A"), ("BARE", "", "A"), ("NOWHERE", "", ""))
    dan = signed_in(console_app, "dan")
    links = re.findall(r'class="shade-\d" href="/console(/exceptions\?[^"]+)"', dan.get("/").text)
    shown = [set(re.findall(r"<b>([A-Z]+)</b></a>", dan.get(link.replace("&amp;", "&")).text)) for link in links]
    assert sorted(shown, key=str) == [{"BARE"}, {"NOWHERE"}, {"ONE"}]
