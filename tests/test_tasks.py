"""Tasks, counts and decisions: one contract for SQLite and PostgreSQL."""

import re
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from tests.ledger_support import Opener
from tests.tasks_support import a_line, a_user, an_audit, claim, count, decide, state, task_of_line

from binsight.decision.recounts import Policy
from binsight.errors import BadInput, ChangedMeanwhile, MissingObject, NotAllowed
from binsight.storage.ledger import PHOTO, Audit, Counts, Journal, Leases, Ledger, TaskRows, User, prove

LINES = [a_line(place) for place in range(1, 7)]


@pytest.fixture
def ledger(ledger_url: str, opened: Opener) -> Ledger:
    return opened(ledger_url)


@pytest.fixture
def audit(ledger: Ledger) -> Audit:
    return an_audit(ledger, LINES)


@pytest.fixture
def ben(ledger: Ledger) -> User:
    return a_user(ledger, "ben")


@pytest.fixture
def cat(ledger: Ledger) -> User:
    return a_user(ledger, "cat")


@pytest.fixture
def dan(ledger: Ledger) -> User:
    return a_user(ledger, "dan", "approver")


# --- Counts ---


@pytest.mark.usefixtures("audit")
def test_a_count_that_bears_the_record_out_ends_the_task(ledger: Ledger, ben: User) -> None:
    lease = claim(ledger, ben)
    assert not count(ledger, lease.token, 3, ben).was_there
    assert state(ledger, lease) == ("matched", 3)


@pytest.mark.usefixtures("audit")
def test_another_person_recounts_a_variance(ledger: Ledger, ben: User, cat: User) -> None:
    first = claim(ledger, ben)
    count(ledger, first.token, 4, ben)
    assert state(ledger, first) == ("recount", None)
    assert claim(ledger, ben).task.bin_id == "A-0002", "never the same one"
    second = claim(ledger, cat)
    assert second.task.id == first.task.id
    count(ledger, second.token, 4, cat)
    assert state(ledger, first) == ("confirmed", 4)


@pytest.mark.usefixtures("audit")
def test_where_two_people_differ_or_much_is_missing_a_third_decides(
    ledger: Ledger, ben: User, cat: User, dan: User
) -> None:
    for numbers in ((4, 5), (0, 0)):
        leases = []
        for user, number in zip((ben, cat), numbers, strict=True):
            leases.append(claim(ledger, user))
            count(ledger, leases[-1].token, number, user)
        assert leases[0].task == leases[1].task or leases[0].task.id == leases[1].task.id
        assert state(ledger, leases[0]) == ("approve", None)
        decide(ledger, leases[0], "approved", dan, quantity=numbers[1])
        assert state(ledger, leases[0]) == ("approved", numbers[1])
    with pytest.raises(ChangedMeanwhile, match="bin A-0002 does not wait for a decision: it is approved"):
        decide(ledger, leases[0], "rejected", dan)
    assert prove(ledger).broken is None


@pytest.mark.usefixtures("audit")
def test_who_counted_does_not_decide(ledger: Ledger, ben: User, cat: User) -> None:
    for user, number in ((ben, 4), (cat, 5)):
        lease = claim(ledger, user)
        count(ledger, lease.token, number, user)
    with pytest.raises(NotAllowed, match="you counted bin A-0001 yourself"):
        decide(ledger, lease, "approved", cat, quantity=5)


@pytest.mark.usefixtures("audit")
def test_a_third_count_settles_it_where_it_agrees_with_one(ledger: Ledger, ben: User, cat: User, dan: User) -> None:
    for user, number in ((ben, 4), (cat, 5)):
        lease = claim(ledger, user)
        count(ledger, lease.token, number, user)
    decide(ledger, lease, "recount", dan)
    eve = a_user(ledger, "eve")
    third = claim(ledger, eve)
    assert third.task.id == lease.task.id
    count(ledger, third.token, 44, eve)
    third = Counts(ledger).withdraw(
        third.token, user=eve.id, name="eve", seconds=60
    )  # a decision before is none on it
    count(ledger, third.token, 4, eve)
    assert state(ledger, lease) == ("confirmed", 4)


def test_tolerances_go_by_item_then_class_then_site(ledger: Ledger, ben: User) -> None:
    lines = [
        a_line(1, skus=["dear", "cheap"], item_class="C"),
        a_line(2, skus=["other"], item_class="C"),
        a_line(3, skus=["other"]),
    ]
    an_audit(ledger, lines)
    policy = Policy(
        tolerance_by_item={"dear": 0, "cheap": 5}, tolerance_by_class={"C": 2}, tolerance_by_site={"DC1": 1}
    )
    states = []
    for off in (1, 2, 2):
        lease = claim(ledger, ben)
        count(ledger, lease.token, 3 + off, ben, policy)
        states.append(state(ledger, lease)[0])
    assert states == ["recount", "matched", "recount"]


@pytest.mark.usefixtures("audit")
def test_a_count_that_is_sent_again_counts_once(ledger: Ledger, ben: User) -> None:
    lease = claim(ledger, ben)
    count(ledger, lease.token, 4, ben)
    assert count(ledger, lease.token, 4, ben).was_there
    assert len(TaskRows(ledger).detail(lease.task.id).counts) == 1
    with pytest.raises(ChangedMeanwhile, match="bin A-0001 was counted as 4 already"):
        count(ledger, lease.token, 5, ben)


@pytest.mark.usefixtures("audit")
def test_a_count_after_the_lease_is_good_until_somebody_else_has_the_task(
    ledger: Ledger, ben: User, cat: User
) -> None:
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    first, second = Leases(ledger).claim(ben.id, where=PHOTO, seconds=60, most=2, now=long_ago)
    count(ledger, first.token, 3, ben)
    assert state(ledger, first) == ("matched", 3)
    taken = claim(ledger, cat)
    assert taken.task.id == second.task.id
    with pytest.raises(ChangedMeanwhile, match="your time for bin A-0002 ended and somebody else has it"):
        count(ledger, second.token, 7, ben)
    late = list(Journal(ledger).read(kind="count.late"))
    assert [(one.by, one.body["counted"]) for one in late] == [("ben", 7)], "nothing that was counted is lost"
    count(ledger, taken.token, 3, cat)
    assert state(ledger, taken) == ("matched", 3)


@pytest.mark.usefixtures("audit")
@pytest.mark.parametrize("number", [-1, 1_000_001])
def test_a_number_that_cannot_be_is_refused(ledger: Ledger, ben: User, number: int) -> None:
    lease = claim(ledger, ben)
    with pytest.raises(BadInput, match=f"must be 0 to 1,000,000, but is {number}"):
        count(ledger, lease.token, number, ben)


@pytest.mark.usefixtures("audit")
def test_nobody_counts_for_another(ledger: Ledger, ben: User, cat: User) -> None:
    lease = claim(ledger, ben)
    with pytest.raises(MissingObject, match="never given to you"):
        count(ledger, lease.token, 3, cat)


# --- Taking back ---


@pytest.mark.usefixtures("audit")
def test_a_count_is_taken_back_and_made_again(ledger: Ledger, ben: User) -> None:
    lease = claim(ledger, ben)
    count(ledger, lease.token, 33, ben)
    again = Counts(ledger).withdraw(lease.token, user=ben.id, name="ben", seconds=60)
    assert (again.task.id, again.token != lease.token) == (lease.task.id, True)
    count(ledger, again.token, 3, ben)
    assert state(ledger, lease) == ("matched", 3)
    detail = TaskRows(ledger).detail(lease.task.id)
    assert [one.counted for one in detail.counts] == [33, 3], "both are kept"
    assert [one.counted for one in detail.standing] == [3]
    assert prove(ledger).broken is None


@pytest.mark.usefixtures("audit")
@pytest.mark.parametrize("number", [33, 3])
def test_what_was_taken_back_is_not_taken_in_when_its_form_is_sent_again(
    ledger: Ledger, ben: User, number: int
) -> None:
    lease = claim(ledger, ben)
    count(ledger, lease.token, 33, ben)
    again = Counts(ledger).withdraw(lease.token, user=ben.id, name="ben", seconds=60)
    for _ in range(2):
        with pytest.raises(ChangedMeanwhile, match="you took your count of bin A-0001 back; count it again"):
            count(ledger, lease.token, number, ben)
    count(ledger, again.token, 3, ben)
    assert state(ledger, lease) == ("matched", 3)


@pytest.mark.usefixtures("audit")
def test_a_count_whose_outcome_was_seen_stands(ledger: Ledger, ben: User) -> None:
    lease = claim(ledger, ben)
    with pytest.raises(ChangedMeanwhile, match="nothing to see before your count is in"):
        Counts(ledger).see(lease.token, user=ben.id, name="ben")
    count(ledger, lease.token, 4, ben)
    assert Counts(ledger).see(lease.token, user=ben.id, name="ben").line.expected == 3
    with pytest.raises(ChangedMeanwhile, match="you have seen what came of it"):
        Counts(ledger).withdraw(lease.token, user=ben.id, name="ben", seconds=60)


@pytest.mark.usefixtures("audit")
def test_a_count_that_somebody_went_on_from_stands(ledger: Ledger, ben: User, cat: User) -> None:
    lease = claim(ledger, ben)
    count(ledger, lease.token, 4, ben)
    claim(ledger, cat)
    with pytest.raises(ChangedMeanwhile, match="somebody went on from it"):
        Counts(ledger).withdraw(lease.token, user=ben.id, name="ben", seconds=60)


@pytest.mark.usefixtures("audit")
def test_an_old_count_stands(ledger: Ledger, ben: User) -> None:
    lease = claim(ledger, ben)
    count(ledger, lease.token, 4, ben)
    later = datetime.now(UTC) + timedelta(minutes=11)
    with pytest.raises(ChangedMeanwhile, match="older than 10 minutes"):
        Counts(ledger).withdraw(lease.token, user=ben.id, name="ben", seconds=60, now=later)


# --- Audits and their tasks ---


def test_a_line_has_one_task(ledger: Ledger, audit: Audit) -> None:
    with pytest.raises(ChangedMeanwhile, match="has tasks for some of these bins already"):
        TaskRows(ledger).create(audit.id, [task_of_line(LINES[0])], by="ann")
    assert TaskRows(ledger).tally() == {"count": 6}


def test_tasks_are_found_page_by_page(ledger: Ledger, audit: Audit) -> None:
    rows = TaskRows(ledger)
    first = rows.find(states=("count",), audit=audit.id, most=4)
    rest = rows.find(states=("count",), audit=audit.id, most=4, after=(first[-1].rank, first[-1].id))
    assert [one.bin_id for one in first + rest] == [line.bin_id for line in LINES]
    assert rows.find(aisle="B") == []


# --- Proof ---


@pytest.mark.usefixtures("audit")
@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("UPDATE counts SET counted = 3", "the count .* is not that of entry"),
        ("UPDATE tasks SET bin_id = 'B-1' WHERE rank = 2", "tasks 1 to 6 of audit .* are not those of entry"),
        ("UPDATE tasks SET state = 'matched' WHERE rank = 2", "is matched, but the journal has it count"),
        ("UPDATE tasks SET quantity = 9 WHERE rank = 1", "is recount, but the journal has it recount"),
        ("DELETE FROM counts", "the count .* is not that of entry"),
        ("DELETE FROM tasks WHERE rank = 6", "tasks 1 to 6"),
        (
            "INSERT INTO decisions SELECT id, id, 'USER', '', 'approved', 4, '', '' FROM tasks WHERE rank = 1",
            "1 decisions",
        ),
    ],
)
def test_what_is_changed_behind_the_journal_is_found(ledger: Ledger, ben: User, change: str, found: str) -> None:
    lease = claim(ledger, ben)
    count(ledger, lease.token, 4, ben)
    assert prove(ledger).broken is None
    with ledger.writing() as connection:
        connection.execute(sa.text(change.replace("USER", ben.id)))
    broken = prove(ledger).broken
    assert broken is not None
    assert re.search(found, broken), broken
