"""What follows from tasks that ended: certificates hear of bins drawn by lot, other systems of what was found."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.tasks_support import a_line, a_user, an_audit, count, settle

from binsight.audit.settled import settled_lines
from binsight.audit.standing import standing_of
from binsight.storage.ledger import (
    PHOTO,
    Audit,
    Audits,
    Certificates,
    Counts,
    Leases,
    Ledger,
    NewTask,
    TaskRows,
    User,
    prove,
)
from binsight.storage.ledger.certificates import AUDITED, USED

SHA256 = "c" * 64
NUM_LINES = 40


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{tmp_path}/ledger.db")
    yield opened
    opened.close()


@pytest.fixture
def ben(ledger: Ledger) -> User:
    return a_user(ledger, "ben")


@pytest.fixture
def cat(ledger: Ledger) -> User:
    return a_user(ledger, "cat")


@pytest.fixture
def audit(ledger: Ledger) -> Audit:
    """An audit of verified lines, all of them tasks: the last one planned, the others drawn by lot."""
    kept = Audits(ledger)
    made = kept.begin(model="m:1", certificate_sha256=SHA256, terms={}, by="ann")
    lines = [a_line(place, verdict="verified") for place in range(1, NUM_LINES + 1)]
    kept.add(made, lines)
    kept.end(made, {})
    drawn = [[line.place, "3-5"] for line in lines[:-1]]
    body = {
        "audit": made.id, "drawn": drawn, "of": "verified", "probability": 1.0, "num_records": NUM_LINES, "num_stale": 0,
        "num_verified": NUM_LINES, "drift": {}, "bands": {"3-5": {"bound": 0.01}},
    }  # fmt: skip
    certificates = Certificates(ledger)
    certificates.add(USED, SHA256, {"model": "m:1", "made_at": "2026-11-01T00:00:00+00:00"}, by="ann")
    certificates.add(AUDITED, SHA256, body, by="ann")
    new = [
        NewTask(
            place=line.place,
            origin="random" if line.place < NUM_LINES else "planned",
            site="DC1",
            aisle="A",
            bin_id=line.bin_id,
            from_photo=True,
        )
        for line in lines
    ]
    TaskRows(ledger).create(made.id, new, by="ann")
    return made


def counted(ledger: Ledger, user: User, number: int) -> str:
    """Count the next bin; its task."""
    lease = Leases(ledger).claim(user.id, where=PHOTO, seconds=60)[0]
    return count(ledger, lease.token, number, user).task


def standing(ledger: Ledger):  # type: ignore[no-untyped-def]
    return standing_of(SHA256, Certificates(ledger).acts(SHA256))


@pytest.mark.usefixtures("audit")
def test_a_drawn_bin_that_is_right_speaks_for_the_certificate_once(ledger: Ledger, ben: User) -> None:
    task = counted(ledger, ben, 3)
    (message,) = settle(ledger)
    assert (message.event, message.data["task"], message.data["counted"]) == ("count.settled", task, 3)
    assert settle(ledger) == []
    with ledger.writing() as connection:  # as after a kill between the two
        connection.execute(sa.text("UPDATE tasks SET settle_at = '2026' WHERE state = 'matched'"))
    assert len(settle(ledger)) == 1, "told twice rather than never"
    assert [(one.band, one.wrong) for one in standing(ledger).counts] == [("3-5", False)]


@pytest.mark.usefixtures("audit")
def test_a_count_that_can_be_taken_back_says_nothing_yet(ledger: Ledger, ben: User, cat: User) -> None:
    lease = Leases(ledger).claim(ben.id, where=PHOTO, seconds=60)[0]
    count(ledger, lease.token, 3, ben)
    assert settle(ledger, minutes=9) == []
    again = Counts(ledger).withdraw(lease.token, user=ben.id, name="ben", seconds=60)
    assert settle(ledger) == [], "it was taken back"
    count(ledger, again.token, 4, ben)
    assert settle(ledger) == [], "another person must repeat it"
    counted(ledger, cat, 4)
    assert len(settle(ledger)) == 1
    assert [one.wrong for one in standing(ledger).counts] == [True]


@pytest.mark.usefixtures("audit")
def test_a_decision_is_settled_at_once(ledger: Ledger, ben: User, cat: User) -> None:
    counted(ledger, ben, 4)
    task = counted(ledger, cat, 5)
    dan = a_user(ledger, "dan", "approver")
    Counts(ledger).decide(task, "approved", user=dan.id, name="dan", quantity=5, reason="FOUND")
    assert [message.data["state"] for message in settle(ledger, minutes=0)] == ["approved"]


@pytest.mark.usefixtures("audit")
def test_a_certificate_is_suspended_where_drawn_bins_are_wrong(ledger: Ledger, ben: User, cat: User) -> None:
    an_audit(ledger, [a_line(place, verdict="suspect") for place in range(1, 9)])  # which takes none of them away
    for _ in range(8):
        counted(ledger, ben, 4)
        counted(ledger, cat, 4)
    assert len(settle(ledger)) == 8
    (why,) = standing(ledger).reasons
    assert why.why == "breached"
    assert prove(ledger).broken is None


def test_planned_bins_say_nothing_of_the_certificate(ledger: Ledger, audit: Audit, ben: User) -> None:
    for _ in range(NUM_LINES):
        counted(ledger, ben, 3)
    assert len(settle(ledger)) == NUM_LINES
    assert len(standing(ledger).counts) == NUM_LINES - 1
    lines = settled_lines(ledger, audit.id)
    assert [line.place for line in lines] == list(range(1, NUM_LINES + 1))
    assert all(line.is_right for line in lines)
