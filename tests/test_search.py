"""Audits looked up for pages: one contract for SQLite and PostgreSQL."""

from dataclasses import replace

import pytest
from tests.ledger_support import Opener
from tests.tasks_support import a_line, an_audit, task_of_line

from binsight.errors import MissingObject
from binsight.storage.ledger import AisleRow, Audit, Audits, FoundBy, Ledger, TaskRows
from binsight.storage.ledger.search import BY_BIN, BY_VALUE, Asked, Search


@pytest.fixture
def ledger(ledger_url: str, opened: Opener) -> Ledger:
    return opened(ledger_url)


LINES = [
    replace(a_line(1), units_off=0.5),
    replace(a_line(2), units_off=0.9),
    replace(a_line(3), units_off=0.5),
    replace(a_line(4, verdict="verified"), units_off=0.1),
    replace(a_line(5), units_off=0.7, exception="wrong_bin", bin_id="B-0005"),
]
PLACES = [
    FoundBy(
        site="DC1", aisle="B" if line.place == 5 else "A", value_off=None if line.place == 1 else 9.0 / line.place
    )
    for line in LINES
]


@pytest.fixture
def audit(ledger: Ledger) -> Audit:
    kept = Audits(ledger)
    made = kept.begin(model="m:1", certificate_sha256=None, terms={}, by="ann")
    kept.add(made, LINES, PLACES)
    aisle = AisleRow(site="DC1", aisle="A", num_records=4, num_verified=1, num_suspect=3, units_off=2.0)
    kept.end(made, {"num_records": 5}, [aisle])
    return made


def places(ledger: Ledger, asked: Asked, **given: object) -> list[int]:
    return [one.line.place for one in Search(ledger).lines(asked, **given)]  # type: ignore[arg-type]


def test_the_largest_errors_come_first_and_pages_follow_on(ledger: Ledger, audit: Audit) -> None:
    asked = Asked(audit=audit.id, verdict="suspect")
    whole = places(ledger, asked)
    assert whole == [2, 5, 3, 1], "equal errors have an order too"
    first = Search(ledger).lines(asked, most=2)
    after = (first[-1].line.units_off, first[-1].line.place)
    assert [one.line.place for one in first] + places(ledger, asked, after=after) == whole
    assert places(ledger, asked, after=(0.5, 3)) == [1]


def test_lines_are_found_by_value_bin_place_and_exception(ledger: Ledger, audit: Audit) -> None:
    assert places(ledger, Asked(audit=audit.id, by=BY_VALUE)) == [2, 3, 4, 5], "without those of no value"
    assert places(ledger, Asked(audit=audit.id, by=BY_BIN)) == [1, 2, 3, 4, 5]
    assert places(ledger, Asked(audit=audit.id, bins="B-")) == [5]
    assert places(ledger, Asked(audit=audit.id, bins="A-", by=BY_BIN), after=("A-0002", 2)) == [3, 4]
    assert places(ledger, Asked(audit=audit.id, exception="wrong_bin")) == [5]
    assert places(ledger, Asked(audit=audit.id, site="DC1", aisle="B")) == [5]
    assert places(ledger, Asked(audit=audit.id, site="DC2")) == []
    assert places(ledger, Asked(audit=audit.id, aisle="A", by=BY_BIN)) == [1, 2, 3, 4], "at whatever site"
    assert places(ledger, Asked(audit=audit.id, site="", aisle="A")) == []


def test_a_bins_beginning_is_no_pattern(ledger: Ledger, audit: Audit) -> None:
    assert places(ledger, Asked(audit=audit.id, bins="%")) == []
    assert places(ledger, Asked(audit=audit.id, bins="A_")) == []


def test_ended_audits_come_with_their_tally_and_aisles(ledger: Ledger, audit: Audit) -> None:
    cut_off = Audits(ledger).begin(model="cut:off", certificate_sha256=None, terms={}, by="ann")
    with pytest.raises(MissingObject, match="there is no audit"):
        Search(ledger).ended_audit(cut_off.id)
    (ended,) = Search(ledger).ended()
    assert (ended.audit, ended.tally) == (audit, {"num_records": 5})
    assert Search(ledger).ended_audit(audit.id) == ended
    (aisle,) = Search(ledger).aisles(audit.id)
    assert (aisle.aisle, aisle.num_suspect) == ("A", 3)


def test_a_line_comes_with_its_task_and_its_bins_history(ledger: Ledger, audit: Audit) -> None:
    assert Search(ledger).line(audit.id, 1) is not None
    assert Search(ledger).line(audit.id, 99) is None
    TaskRows(ledger).create(audit.id, [task_of_line(LINES[1])], by="ann")
    found = Search(ledger).line(audit.id, 2)
    assert found is not None
    assert (found.state, found.task is not None) == ("count", True)
    later = an_audit(ledger, LINES[:2])
    assert [one.audit for one in Search(ledger).of_bin("A-0002")] == [later.id, audit.id]
