"""A poller looks from its start to its stop, whatever a look runs into."""

import threading
from collections.abc import Callable

import pytest

from binsight.poller import Poller

LONG_S = 3600.0
PATIENCE_S = 30.0


def polled(look: Callable[[], None], *, every_s: float = LONG_S) -> Poller:
    return Poller(look, name="watch", every_s=every_s)


def test_it_looks_again_and_again() -> None:
    looks = threading.Semaphore(0)
    poller = polled(looks.release, every_s=0.001)
    poller.start()
    assert all(looks.acquire(timeout=PATIENCE_S) for _ in range(3))
    poller.stop()


def test_the_first_look_can_be_at_once_and_later_ones_when_it_is_woken() -> None:
    looks = threading.Semaphore(0)
    poller = polled(looks.release)
    poller.start(at_once=True)
    assert looks.acquire(timeout=PATIENCE_S)
    assert not looks.acquire(timeout=0.05)
    poller.wake()
    assert looks.acquire(timeout=PATIENCE_S)
    poller.stop()


def test_a_look_that_fails_is_logged_by_name_and_the_next_one_comes(caplog: pytest.LogCaptureFixture) -> None:
    looks = threading.Semaphore(0)

    def fails() -> None:
        looks.release()
        raise ZeroDivisionError("of no kind that was foreseen")

    poller = polled(fails, every_s=0.001)
    poller.start()
    assert looks.acquire(timeout=PATIENCE_S)
    assert looks.acquire(timeout=PATIENCE_S)
    poller.stop()
    assert "watch: a look failed" in caplog.text
    assert "of no kind that was foreseen" in caplog.text


def test_a_look_can_be_the_last() -> None:
    looks = 0

    def last() -> None:
        nonlocal looks
        looks += 1
        poller.end()

    poller = polled(last, every_s=0.001)
    poller.start()
    poller._thread.join(PATIENCE_S)
    assert (poller._thread.is_alive(), looks) == (False, 1)


def test_stopping_waits_for_the_look_under_way_and_no_other_begins() -> None:
    begun, may_end, ended = threading.Event(), threading.Event(), []

    def slow() -> None:
        begun.set()
        may_end.wait(PATIENCE_S)
        ended.append(True)

    poller = polled(slow, every_s=0.001)
    poller.start()
    assert begun.wait(PATIENCE_S)
    threading.Timer(0.05, may_end.set).start()
    poller.stop()
    assert ended == [True]


def test_one_that_never_started_can_be_stopped() -> None:
    polled(lambda: pytest.fail("looked")).stop()
