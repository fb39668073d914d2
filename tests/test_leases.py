"""Leases: one contract for SQLite and PostgreSQL."""

import threading
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest
from tests.ledger_support import Opener
from tests.tasks_support import a_line, a_user, an_audit, claim, count, state

from binsight.errors import ChangedMeanwhile
from binsight.storage.ledger import BIN, PHOTO, Audit, Leases, Ledger, TaskRows, User, prove

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


@pytest.mark.usefixtures("audit")
def test_tasks_are_given_out_in_walking_order_and_each_to_one_person(ledger: Ledger, ben: User, cat: User) -> None:
    assert [claim(ledger, user).task.bin_id for user in (ben, cat, ben)] == ["A-0001", "A-0002", "A-0001"]
    both = Leases(ledger).claim(ben.id, where=PHOTO, seconds=60, most=2)
    assert [one.task.bin_id for one in both] == ["A-0001", "A-0003"], "what he has, and the next to prefetch"


def test_what_a_person_is_given_says_nothing_of_record_or_photo(ledger: Ledger, audit: Audit, ben: User) -> None:
    given = asdict(claim(ledger, ben))
    assert set(given) == {"token", "task", "where", "until"}
    assert set(given["task"]) == {
        "id", "audit", "place", "rank", "site", "aisle", "bin_id", "state", "from_photo", "quantity",
    }  # fmt: skip


@pytest.mark.usefixtures("audit")
def test_no_two_people_get_one_task_however_they_rush(ledger: Ledger) -> None:
    people = [a_user(ledger, f"user {number}") for number in range(8)]
    given: list[str] = []

    def rush(user: User) -> None:
        given.extend(one.task.id for one in Leases(ledger).claim(user.id, where=PHOTO, seconds=60))

    threads = [threading.Thread(target=rush, args=(user,)) for user in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(given) == len(set(given)) == len(LINES)


@pytest.mark.usefixtures("audit")
def test_a_lease_ends_without_a_sign_of_life_and_a_sign_keeps_it(ledger: Ledger, ben: User, cat: User) -> None:
    kept = Leases(ledger)
    now = datetime.now(UTC)
    first = kept.claim(ben.id, where=PHOTO, seconds=60, now=now)[0]
    assert kept.renew(ben.id, [first.token], seconds=60, now=now + timedelta(seconds=50)) == 1
    later = now + timedelta(seconds=100)
    assert kept.claim(cat.id, where=PHOTO, seconds=60, now=later)[0].task.bin_id == "A-0002"
    much_later = now + timedelta(seconds=200)
    assert kept.claim(cat.id, where=PHOTO, seconds=60, now=much_later)[0].task.id == first.task.id
    assert kept.renew(ben.id, [first.token], seconds=60, now=much_later) == 0, "somebody else has it"


@pytest.mark.usefixtures("audit")
def test_what_is_given_back_is_free_at_once(ledger: Ledger, ben: User, cat: User) -> None:
    first = claim(ledger, ben)
    assert Leases(ledger).release(ben.id) == 1
    assert claim(ledger, cat).task.id == first.task.id


@pytest.mark.usefixtures("audit")
def test_a_page_gives_its_own_tasks_back_and_nobody_elses(ledger: Ledger, ben: User, cat: User) -> None:
    at_desk, at_bin = claim(ledger, ben), claim(ledger, ben, BIN)
    kept = Leases(ledger)
    assert kept.release(cat.id, [at_desk.token, at_bin.token]) == 0
    assert kept.release(ben.id, [at_desk.token]) == 1
    assert claim(ledger, cat).task.id == at_desk.task.id
    assert claim(ledger, ben, BIN).token == at_bin.token


@pytest.mark.usefixtures("audit")
def test_a_page_loaded_anew_keeps_its_task_though_its_predecessor_leaves_late(
    ledger: Ledger, ben: User, cat: User
) -> None:
    kept, first = Leases(ledger), claim(ledger, ben)
    assert claim(ledger, ben) == first, "the same page again"
    kept.release(ben.id, [first.token])
    assert kept.renew(ben.id, [first.token], seconds=60) == 1
    assert claim(ledger, cat).task.id != first.task.id
    count(ledger, first.token, 3, ben)
    assert state(ledger, first) == ("matched", 3)


@pytest.mark.usefixtures("audit")
def test_a_count_of_a_task_that_was_given_back_is_good_until_somebody_has_it(
    ledger: Ledger, ben: User, cat: User
) -> None:
    first, second = Leases(ledger).claim(ben.id, where=PHOTO, seconds=60, most=2)
    Leases(ledger).release(ben.id)
    count(ledger, first.token, 3, ben)
    assert claim(ledger, cat).task.id == second.task.id
    with pytest.raises(ChangedMeanwhile, match="somebody else has it"):
        count(ledger, second.token, 3, ben)


@pytest.mark.parametrize("number", [3, 4])
def test_the_aisles_say_nothing_of_what_became_of_a_count(
    ledger: Ledger, ben: User, cat: User, number: int
) -> None:
    an_audit(ledger, LINES[:2])
    count(ledger, claim(ledger, ben, BIN).token, number, ben)
    assert Leases(ledger).aisles(ben.id) == [("DC1", "A", 1)], "as after any other number"
    assert Leases(ledger).aisles(cat.id) == [("DC1", "A", 1 if number == 3 else 2)]


@pytest.mark.usefixtures("audit")
def test_a_bin_whose_photo_is_no_use_is_counted_at_the_bin(ledger: Ledger, ben: User, cat: User) -> None:
    first = claim(ledger, ben)
    Leases(ledger).skip(first.token, user=ben.id, name="ben", reason="UNCLEAR_PHOTO")
    assert claim(ledger, cat).task.bin_id == "A-0002", "not from its photo"
    at_bin = [claim(ledger, user, BIN).task.bin_id for user in (ben, cat)]
    assert at_bin == ["A-0001", "A-0003"], "at the bin, by whoever is there: A-0002 is somebody's"


def test_what_two_people_cannot_count_from_its_photo_is_counted_at_the_bin_and_else_decided_on(
    ledger: Ledger, ben: User, cat: User
) -> None:
    an_audit(ledger, LINES[:1])
    for where, at_bin in ((PHOTO, [("DC1", "A", 1)]), (BIN, [])):
        for user in (ben, cat):
            lease = claim(ledger, user, where)
            Leases(ledger).skip(lease.token, user=user.id, name=user.name, reason="OTHER")
            assert Leases(ledger).claim(user.id, where=where, seconds=60) == [], "not again"
        assert not TaskRows(ledger).detail(lease.task.id).task.from_photo
        assert Leases(ledger).aisles(ben.id) == at_bin
    assert state(ledger, lease) == ("approve", None)
    assert prove(ledger).broken is None


@pytest.mark.usefixtures("audit")
def test_a_bin_that_two_people_cannot_count_waits_for_a_decision(ledger: Ledger, ben: User, cat: User) -> None:
    for user in (ben, cat):
        lease = claim(ledger, user, BIN)
        Leases(ledger).skip(lease.token, user=user.id, name=user.name, reason="NOT_FOUND")
    assert state(ledger, lease) == ("approve", None)
    assert prove(ledger).broken is None
