"""Outcomes on their way out of the ledger: one process's at a time, and due until somebody has told of them."""

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from tests.ledger_support import Opener
from tests.tasks_support import Told, a_line, a_user, an_audit, claim, count
from tests.webhook_server import webhook_server

from binsight.audit import settled
from binsight.audit.settled import Settling
from binsight.audit.tasks import FOUND
from binsight.storage.ledger import Audit, Ledger, Outcomes
from binsight.webhooks import EventMessage, Receivers

NUM = 12
LATER = datetime.now(UTC) + timedelta(hours=1)
"""When nobody can take these counts back any more."""


@pytest.fixture
def ledger(ledger_url: str, opened: Opener) -> Ledger:
    return opened(ledger_url)


@pytest.fixture
def audit(ledger: Ledger) -> Audit:
    """An audit of bins that were all counted just now."""
    made = an_audit(ledger, [a_line(place) for place in range(1, NUM + 1)])
    ben = a_user(ledger, "ben")
    for _ in range(NUM):
        count(ledger, claim(ledger, ben).token, 3, ben)
    return made


def told_at(ledger: Ledger, seconds: float, told: Told | None = None) -> list[EventMessage]:
    """What a service tells that looks for the first time so many seconds later."""
    told = told or Told()
    Settling(ledger, told).look(now=LATER + timedelta(seconds=seconds))
    return told.messages


def posted(ledger: Ledger, audit: Audit) -> int:
    """How many counts are to be posted when nobody can take them back."""
    return len(Outcomes(ledger).to_post(audit.id, FOUND, now=LATER))


@pytest.mark.usefixtures("audit")
def test_of_several_services_one_tells_of_each_count(ledger_url: str, opened: Opener) -> None:
    both, begin = [Told(), Told()], threading.Barrier(2)

    def serve(told: Told) -> None:
        own = opened(ledger_url)
        begin.wait()
        told_at(own, 0, told)

    threads = [threading.Thread(target=serve, args=(told,)) for told in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [message.id for told in both for message in told.messages]
    assert len(ids) == len(set(ids)) == NUM


def test_what_a_killed_service_did_not_deliver_another_tells_of_under_the_same_id(
    ledger: Ledger, audit: Audit
) -> None:
    killed = told_at(ledger, 0, Told(delivers=False))
    assert len(killed) == NUM
    assert posted(ledger, audit) == NUM, "files for the stock system wait for no receiver"
    assert told_at(ledger, 60) == [], "it may live yet"
    again = told_at(ledger, 180)
    assert [message.id for message in again] == [message.id for message in killed]
    assert told_at(ledger, 3600) == []


@pytest.mark.usefixtures("audit")
def test_what_is_being_delivered_stays_the_services_own(ledger: Ledger) -> None:
    told = Told(delivers=False)
    busy = Settling(ledger, told)
    for seconds in range(0, 600, 100):
        busy.look(now=LATER + timedelta(seconds=seconds))
    assert len(told.messages) == NUM
    assert told_at(ledger, 600) == []


@pytest.mark.usefixtures("audit")
def test_what_is_too_much_at_a_time_waits_in_the_ledger(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settled, "MOST_TOLD", 5)
    with webhook_server(held=True) as server:
        results: list[str] = []
        receivers = Receivers([server.url], None, results.append, waits_s=(), most_waiting=5)
        settling = Settling(ledger, receivers)
        assert [settling.look(now=LATER), settling.look(now=LATER)] == [5, 0]
        server.gate.set()
        number, end = 5, time.monotonic() + 60
        while number < NUM:
            assert time.monotonic() < end, "the receiver works again"
            number += settling.look(now=LATER)
            time.sleep(0.01)
        server.wait_for(NUM)
        receivers.stop(within=60)
    assert results == ["sent"] * NUM
    assert told_at(ledger, 3600) == []


@pytest.mark.usefixtures("audit")
def test_what_was_dropped_is_told_again(ledger: Ledger) -> None:
    with webhook_server(held=True) as server:
        results: list[str] = []
        receivers = Receivers([server.url], None, results.append, waits_s=(), most_waiting=1)
        Settling(ledger, receivers).look(now=LATER)
        server.gate.set()
        receivers.stop(within=60)
        sent = {received.json["data"]["task"] for received in server.received}
    assert results.count("dropped") == NUM - len(sent) > 0
    again = {message.data["task"] for message in told_at(ledger, 180)}
    assert len(again) == NUM - len(sent)
    assert not again & sent


def test_a_count_that_no_receiver_takes_is_given_up_and_settled(ledger: Ledger, audit: Audit) -> None:
    with webhook_server(500) as server, webhook_server() as other:
        results: list[str] = []
        receivers = Receivers([server.url, other.url], None, results.append, waits_s=(0.01,))
        Settling(ledger, receivers).look(now=LATER)
        end = time.monotonic() + 60
        while len(results) < 2 * NUM and time.monotonic() < end:
            time.sleep(0.01)
        receivers.stop(within=60)
        assert sorted(results) == ["given_up"] * NUM + ["sent"] * NUM
        assert len(other.received) == NUM, "the one that works gets all of them"
    assert told_at(ledger, 3600) == []
    assert posted(ledger, audit) == NUM


@pytest.mark.usefixtures("audit")
def test_what_the_end_of_a_service_leaves_no_time_for_the_next_one_tells_of(ledger: Ledger) -> None:
    with webhook_server(500) as server:
        receivers = Receivers([server.url], None, lambda _: None, waits_s=(600,))
        Settling(ledger, receivers).look(now=LATER)
        server.wait_for(1)
        receivers.stop(within=60)
        assert len(server.received) == NUM, "each gets a last try"
    assert len(told_at(ledger, 180)) == NUM


def test_who_looks_for_nothing_keeps_nobody_from_writing(ledger: Ledger) -> None:
    with ledger.writing():
        assert Outcomes(ledger).claim(now=LATER) == []
