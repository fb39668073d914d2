"""Bins that one audit after another wants counted: one contract for SQLite and PostgreSQL.

A bin has one task at a time, but what was drawn by lot is counted whole; and nobody counts a bin again whose record he saw.
"""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from tests.ledger_support import Opener
from tests.tasks_support import a_line, a_user, an_audit, claim, count, decide, state, task_of_line

from binsight.errors import ChangedMeanwhile
from binsight.storage.ledger import BIN, PHOTO, Audit, Audits, Counts, Leases, Ledger, TaskRows, User, prove
from binsight.storage.ledger.tables import tasks
from binsight.storage.ledger.tasks import ASKED, RANDOM

LINES = [a_line(place) for place in range(1, 7)]


@pytest.fixture
def ledger(ledger_url: str, opened: Opener) -> Ledger:
    return opened(ledger_url)


@pytest.fixture
def ben(ledger: Ledger) -> User:
    return a_user(ledger, "ben")


@pytest.fixture
def cat(ledger: Ledger) -> User:
    return a_user(ledger, "cat")


def tally(ledger: Ledger, audit: Audit) -> dict[str, int]:
    assert prove(ledger).broken is None
    return TaskRows(ledger).tally(audit.id)


# --- Which task a bin has ---


def test_a_newer_audit_takes_over_the_bins_that_nobody_counted(ledger: Ledger) -> None:
    older = an_audit(ledger, LINES)
    newer = an_audit(ledger, LINES[:2])
    assert (tally(ledger, older), tally(ledger, newer)) == ({"cancelled": 2, "count": 4}, {"count": 2})


def test_a_bin_that_somebody_counted_or_has_keeps_its_task(ledger: Ledger, ben: User, cat: User) -> None:
    older = an_audit(ledger, LINES[:3])
    for user, number in ((ben, 4), (cat, 5)):
        differing = claim(ledger, user)
        count(ledger, differing.token, number, user)
    count(ledger, claim(ledger, ben).token, 4, ben)
    claim(ledger, ben)
    newer = an_audit(ledger, LINES[:4])
    assert tally(ledger, older) == {"approve": 1, "recount": 1, "count": 1}
    assert tally(ledger, newer) == {"count": 1}, "A-0004"
    decide(ledger, differing, "rejected", a_user(ledger, "dan", "approver"))
    assert tally(ledger, an_audit(ledger, LINES[:1])) == {"count": 1}, "it waits for nobody any more"


@pytest.mark.parametrize(
    "ledger_url", ["postgres"], indirect=True
)  # SQLite has one writer: nobody takes one meanwhile
def test_a_bin_that_is_taken_while_tasks_are_made_keeps_its_task(ledger_url: str, opened: Opener) -> None:
    ledger = opened(ledger_url)
    older = an_audit(ledger, LINES[:2])
    at_the_bin = sa.create_engine(ledger_url)
    with at_the_bin.begin() as connection:
        of = (tasks.c.audit == older.id) & (tasks.c.bin_id == "A-0001")
        connection.execute(sa.select(tasks).where(of).with_for_update()).one()  # as who takes it does
        newer = an_audit(ledger, LINES[:3])
    at_the_bin.dispose()
    assert (tally(ledger, older), tally(ledger, newer)) == ({"count": 1, "cancelled": 1}, {"count": 2})


def test_what_was_drawn_by_lot_keeps_its_task_whatever_the_next_audit_wants(ledger: Ledger) -> None:
    drawn = an_audit(ledger, LINES[:2], origin=RANDOM)
    newer = an_audit(ledger, LINES[:3])
    assert (tally(ledger, drawn), tally(ledger, newer)) == ({"count": 2}, {"count": 1})


def test_what_is_drawn_by_lot_is_made_whatever_waits_already(ledger: Ledger, ben: User) -> None:
    older = an_audit(ledger, LINES[:2])
    count(ledger, claim(ledger, ben).token, 4, ben)
    drawn, again = (an_audit(ledger, LINES[:2], origin=RANDOM) for _ in range(2))
    assert tally(ledger, older) == {"recount": 1, "cancelled": 1}
    assert tally(ledger, drawn) == tally(ledger, again) == {"count": 2}


def test_bins_of_another_site_are_others(ledger: Ledger) -> None:
    older = an_audit(ledger, LINES[:2])
    an_audit(ledger, [a_line(1, site="DC2")])
    assert tally(ledger, older) == {"count": 2}


def test_a_bin_asked_for_of_an_old_audit_keeps_its_task_of_a_newer_one(ledger: Ledger) -> None:
    kept = Audits(ledger)
    old = kept.begin(model="m:1", certificate_sha256=None, terms={}, by="ann")
    kept.add(old, LINES[:2])
    newer = an_audit(ledger, LINES[:1])
    asked = [task_of_line(line, ASKED) for line in LINES[:2]]
    assert TaskRows(ledger).create(old.id, asked, by="ann") == 1
    assert (tally(ledger, newer), tally(ledger, old)) == ({"count": 1}, {"count": 1})


def test_tasks_are_made_and_others_cancelled_together_or_not_at_all(ledger: Ledger) -> None:
    older = an_audit(ledger, LINES[1:2])
    newer = an_audit(ledger, LINES[:1])
    kept = Audits(ledger)
    kept.add(newer, LINES[1:2])
    with pytest.raises(ChangedMeanwhile, match="has tasks for some of these bins already"):
        TaskRows(ledger).create(newer.id, [task_of_line(LINES[1]), task_of_line(LINES[0])], by="ann")
    assert (tally(ledger, older), tally(ledger, newer)) == ({"count": 1}, {"count": 1})


# --- Who counts it ---


def test_nobody_counts_a_bin_again_in_the_week_in_which_he_saw_its_record(
    ledger: Ledger, ben: User, cat: User
) -> None:
    an_audit(ledger, LINES[:1])
    for user in (ben, cat):
        lease = claim(ledger, user)
        count(ledger, lease.token, 4, user)
    Counts(ledger).see(lease.token, user=cat.id, name="cat")
    next_day = an_audit(ledger, LINES[:2])
    assert tally(ledger, next_day) == {"count": 2}
    kept, week = Leases(ledger), datetime.now(UTC) + timedelta(days=7, hours=1)
    assert kept.aisles(cat.id) == [("DC1", "A", 1)]
    assert kept.aisles(ben.id) == [("DC1", "A", 2)], "who did not look counts blind"
    assert kept.aisles(cat.id, now=week) == [("DC1", "A", 2)]
    for where in (PHOTO, BIN):
        assert claim(ledger, cat, where).task.bin_id == "A-0002"
        kept.release(cat.id)
    assert claim(ledger, cat, now=week).task.bin_id == "A-0001"


def test_who_sees_a_record_has_the_bin_for_no_other_audit_any_more(ledger: Ledger, ben: User) -> None:
    for _ in range(2):
        an_audit(ledger, LINES[:1], origin=RANDOM)
    first, second = Leases(ledger).claim(ben.id, where=PHOTO, seconds=60, most=2)
    count(ledger, first.token, 4, ben)
    Counts(ledger).see(first.token, user=ben.id, name="ben")
    with pytest.raises(ChangedMeanwhile, match="changes nothing"):
        count(ledger, second.token, 3, ben)
    assert state(ledger, second) == ("count", None)
    assert Leases(ledger).claim(ben.id, where=PHOTO, seconds=60) == []
