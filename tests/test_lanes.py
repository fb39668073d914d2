"""Lanes: bounded, fair, on time, and alive whatever a photo does."""

import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError

import numpy as np
import pytest
from tests.service_support import GatedCounter, gated

from binsight.counting import Counter, default_bundle
from binsight.errors import BadPhoto, NotReady, Overloaded, TooLate
from binsight.imaging.drawn import drawn_photo
from binsight.service.lanes import LANE_NICENESS, Lanes
from binsight.service.served import Served

PHOTOS = [drawn_photo(count, seed=count) for count in range(4)]


@pytest.fixture
def held() -> Iterator[tuple[Lanes, GatedCounter]]:
    """One lane whose photos are held, with room for four that wait."""
    served, counter = gated(default_bundle())
    lanes = Lanes(served, num_lanes=1, queue_size=4, max_batch=2)
    lanes.start()
    yield lanes, counter
    counter.gate.set()
    lanes.close(within=60)


def begin_one(lanes: Lanes, counter: GatedCounter) -> None:
    """Put one photo into the lane, where it is held."""
    lanes.submit([("first", PHOTOS[0])], within=60)
    end = time.monotonic() + 60
    while counter.begun == 0:
        assert time.monotonic() < end
        time.sleep(0.005)


def test_answers_are_those_of_the_counter_whatever_the_batch() -> None:
    reported: list[tuple[str, float]] = []
    lanes = Lanes(Served.load(default_bundle()), num_lanes=2, watch=lambda *what: reported.append(what))
    with pytest.raises(NotReady):
        lanes.submit([("early", PHOTOS[0])], within=1)
    lanes.start()
    futures = lanes.submit([(str(n), PHOTOS[n % 4]) for n in range(20)], within=60)
    found = [future.result(60) for future in futures]
    lanes.close(within=60)
    expected = Counter.load(default_bundle()).probs(PHOTOS)
    for number, counted in enumerate(found):
        np.testing.assert_allclose(counted.estimate.probs, expected[number % 4], atol=1e-5)
        assert counted.estimate.photo == str(number)
        assert min(counted.timing.queue, counted.timing.decode, counted.timing.inference) > 0
    batches = [value for name, value in reported if name == "batch"]
    assert sum(batches) == 20
    assert max(batches) > 1, "what waits anyway goes through the network together"
    assert sum(name == "queue" for name, _ in reported) == 20


def test_a_full_queue_refuses_and_says_when_to_come_back(held: tuple[Lanes, GatedCounter]) -> None:
    lanes, counter = held
    while not lanes.has_idle():
        time.sleep(0.005)
    begin_one(lanes, counter)
    assert not lanes.has_idle()
    lanes.submit([("a", PHOTOS[1]), ("b", PHOTOS[1])], within=60)
    with pytest.raises(Overloaded, match="2 photos are waiting, and there is room for 4") as refusal:
        lanes.submit([("c", PHOTOS[1])] * 3, within=60)
    assert refusal.value.retry_after >= 1
    assert lanes.num_waiting == 2, "a request is taken whole or not at all"
    lanes.submit([("c", PHOTOS[1])] * 2, within=60)
    assert lanes.oldest_wait > 0


def test_who_would_wait_for_long_is_refused_whatever_the_queue_holds(held: tuple[Lanes, GatedCounter]) -> None:
    """Two batches a lane ahead are enough; a request may bring more than that where little is ahead of it."""
    lanes, counter = held
    lanes.queue_size = 100
    begin_one(lanes, counter)
    lanes.submit([("few", PHOTOS[1])] * 3, within=60)
    lanes.submit([("many at once", PHOTOS[1])] * 20, within=60)
    with pytest.raises(Overloaded, match="23 photos are waiting, and there is room for 4"):
        lanes.submit([("one more", PHOTOS[1])], within=60)
    with pytest.raises(Overloaded):
        lanes.check_room()


def test_the_longest_wait_may_be_given_in_seconds_of_what_photos_take(held: tuple[Lanes, GatedCounter]) -> None:
    lanes, counter = held
    lanes.queue_size, lanes.longest_wait = 100, 0.5  # at 0.05 s a photo, as long as nothing else is learnt
    begin_one(lanes, counter)
    for _ in range(10):
        lanes.submit([("a", PHOTOS[1])], within=60)
    with pytest.raises(Overloaded, match="10 photos are waiting, and there is room for 10") as refusal:
        lanes.submit([("b", PHOTOS[1])], within=60)
    assert refusal.value.retry_after == 1
    lanes.longest_wait = 60
    lanes.submit([("b", PHOTOS[1])], within=60)


def test_a_photo_with_none_ahead_is_taken_however_long_photos_take(held: tuple[Lanes, GatedCounter]) -> None:
    lanes, counter = held
    lanes.longest_wait = 0.001
    begin_one(lanes, counter)
    lanes.submit([("next", PHOTOS[1])], within=60)
    with pytest.raises(Overloaded):
        lanes.check_room()


def test_what_is_late_or_given_up_costs_no_work(held: tuple[Lanes, GatedCounter]) -> None:
    lanes, counter = held
    begin_one(lanes, counter)
    (late,) = lanes.submit([("late", PHOTOS[1])], within=0.01)
    given_up, wanted = lanes.submit([("given up", PHOTOS[2]), ("wanted", PHOTOS[3])], within=60)
    assert given_up.cancel()
    time.sleep(0.02)
    counter.gate.set()
    assert wanted.result(60).estimate.photo == "wanted"
    with pytest.raises(TooLate, match="late waited"):
        late.result(60)
    with pytest.raises(CancelledError):
        given_up.result(60)
    assert counter.begun == 2, "the first and the wanted one"


def test_a_bad_photo_fails_alone_and_a_lane_outlives_a_bug(held: tuple[Lanes, GatedCounter]) -> None:
    lanes, counter = held
    begin_one(lanes, counter)
    bad, good = lanes.submit([("bad", b"no photo"), ("good", PHOTOS[1])], within=60)
    counter.gate.set()
    with pytest.raises(BadPhoto):
        bad.result(60)
    assert good.result(60).estimate.photo == "good"
    counter.estimate = None  # type: ignore[method-assign, assignment]
    (broken,) = lanes.submit([("broken", PHOTOS[1])], within=60)
    with pytest.raises(TypeError):
        broken.result(60)
    del counter.estimate
    (after,) = lanes.submit([("after", PHOTOS[1])], within=60)
    assert after.result(60).estimate.photo == "after"


def test_closing_takes_nothing_new_and_finishes_what_was_taken(held: tuple[Lanes, GatedCounter]) -> None:
    lanes, counter = held
    begin_one(lanes, counter)
    (waiting,) = lanes.submit([("waiting", PHOTOS[1])], within=60)
    lanes.refuse()
    with pytest.raises(NotReady):
        lanes.submit([("new", PHOTOS[1])], within=60)
    counter.gate.set()
    lanes.close(within=60)
    assert waiting.done()
    assert waiting.result().estimate.photo == "waiting"


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux alone")
def test_those_who_answer_go_before_those_who_count() -> None:
    """Without it a refusal waited for a core until a photo was done."""
    served, seen = Served.load(default_bundle()), list[int]()
    lanes = Lanes(served, num_lanes=1, note=lambda *_: seen.append(os.getpriority(os.PRIO_PROCESS, 0)))
    lanes.start()
    lanes.submit([("one", PHOTOS[0])], within=60)[0].result(60)
    lanes.close(within=60)
    assert seen == [os.getpriority(os.PRIO_PROCESS, 0) + LANE_NICENESS]


def test_a_lane_counts_where_priorities_may_not_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", forbidden)
    lanes = Lanes(Served.load(default_bundle()), num_lanes=1)
    lanes.start()
    lanes.submit([("one", PHOTOS[0])], within=60)[0].result(60)
    lanes.close(within=60)
