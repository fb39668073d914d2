"""Episodes of drift in the ledger: one contract for SQLite and PostgreSQL, both real."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from tests.ledger_support import Opener, ledger_at

from binsight.storage.ledger import CaptureRows, DriftEpisodes, Ledger, Retrainings
from binsight.storage.ledger.retrainings import CANARY, DROPPED, FAILED, KEPT, PROMOTED, REFUSED, RUNNING

A, B = "a" * 12, "b" * 12
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


def at(hours: float) -> datetime:
    return NOON + timedelta(hours=hours)


@pytest.fixture
def ledger(ledger_url: str, opened: Opener) -> Ledger:
    return opened(ledger_url)


@pytest.fixture
def episodes(ledger: Ledger) -> DriftEpisodes:
    return DriftEpisodes(ledger)


def test_drift_that_goes_on_is_one_episode_however_many_hosts_see_it(episodes: DriftEpisodes) -> None:
    numbers = {
        episodes.seen(A, host=f"host-{hour % 3}", sentence=f"darker {hour}", now=at(hour))
        for hour in range(0, 99, 9)
    }
    assert len(numbers) == 1
    found = episodes.under_way(A, now=at(99))
    assert found is not None
    assert (found.number, found.sentence, found.host) == (*numbers, "darker 90", "host-0")
    assert (found.began_at, found.seen_at) == (
        at(0).isoformat(timespec="microseconds"),
        "2026-11-30T06:00:00.000000+00:00",
    )


def test_each_bundle_has_its_own(episodes: DriftEpisodes) -> None:
    first = episodes.seen(A, host="x", sentence="darker", now=at(0))
    assert episodes.under_way(B, now=at(0)) is None
    assert episodes.seen(B, host="x", sentence="darker", now=at(0)) != first
    assert episodes.seen(A, host="x", sentence="darker", now=at(1)) == first
    episodes.over(A, host="x", now=at(2))
    assert episodes.under_way(B, now=at(2)) is not None


def test_drift_that_comes_back_within_a_day_is_the_same_and_later_another(episodes: DriftEpisodes) -> None:
    """As with daylight: every morning, for as long as it is dark."""
    first = episodes.seen(A, host="x", sentence="darker", now=at(0))
    assert episodes.over(A, host="x", now=at(1))
    assert episodes.under_way(A, now=at(1)) is None
    assert episodes.seen(A, host="x", sentence="darker", now=at(23)) == first
    assert episodes.under_way(A, now=at(23)) is not None
    assert episodes.over(A, host="x", now=at(23.5))
    assert episodes.seen(A, host="x", sentence="darker", now=at(48)) > first


def test_it_is_over_when_the_host_that_saw_it_last_says_so(episodes: DriftEpisodes) -> None:
    first = episodes.seen(A, host="x", sentence="darker", now=at(0))
    episodes.seen(A, host="y", sentence="darker", now=at(0.1))
    assert not episodes.over(A, host="x", now=at(0.2)), "the other still sees it"
    assert not episodes.over(A, host="z", now=at(0.2)), "it saw none"
    assert episodes.under_way(A, now=at(0.2)) is not None
    assert episodes.over(A, host="y", now=at(0.3))
    assert not episodes.over(A, host="y", now=at(0.4)), "it is over already"
    assert episodes.under_way(A, now=at(0.3)) is None
    assert episodes.seen(A, host="x", sentence="darker", now=at(0.5)) == first
    assert episodes.under_way(A, now=at(0.5)) is not None, "one was wrong: another still sees it"


def test_a_host_that_died_and_says_nothing_more_is_believed_for_a_day(episodes: DriftEpisodes) -> None:
    episodes.seen(A, host="x", sentence="darker", now=at(0))
    assert episodes.under_way(A, now=at(23.9)) is not None
    assert episodes.under_way(A, now=at(24.1)) is None


def test_a_clock_that_jumps_costs_one_episode_and_blocks_none(episodes: DriftEpisodes) -> None:
    first = episodes.seen(A, host="x", sentence="darker", now=at(0))
    ahead = episodes.seen(A, host="x", sentence="darker", now=at(24 * 3650))
    assert episodes.under_way(A, now=at(1)) is None
    again = episodes.seen(A, host="x", sentence="darker", now=at(1))
    assert first < ahead < again
    assert episodes.under_way(A, now=at(1)) is not None
    assert episodes.seen(A, host="y", sentence="darker", now=at(0.9)) == again, "clocks differ by minutes"


def test_of_many_that_see_it_at_the_same_moment_all_see_one(ledger_url: str, episodes: DriftEpisodes) -> None:
    start, numbers = threading.Barrier(6), list[int]()

    def see(host: str) -> None:
        ledger = Ledger.open(ledger_url)
        start.wait()
        numbers.append(DriftEpisodes(ledger).seen(A, host=host, sentence="darker", now=at(0)))
        ledger.close()

    threads = [threading.Thread(target=see, args=(str(place),)) for place in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(numbers) == 6
    assert len(set(numbers)) == 1


@pytest.mark.parametrize(
    ("state", "answers"),
    [
        (PROMOTED, True),
        (CANARY, True),
        (KEPT, True),
        (REFUSED, True),
        (RUNNING, False),
        (FAILED, False),
        (DROPPED, False),
    ],
)
def test_a_retraining_that_came_to_a_decision_answers_the_episode_that_it_began_in(
    ledger: Ledger, episodes: DriftEpisodes, state: str, answers: bool
) -> None:
    first = episodes.seen(A, host="x", sentence="darker", now=at(0))
    rows = Retrainings(ledger)
    begun = {"by": "ann", "why": "", "place": "", "inputs_sha256": "", "num_counts": 3, "champion": A}
    rows.begin("other", **begun)  # type: ignore[arg-type]
    rows.change("other", state=KEPT)
    rows.begin("one", **begun, drift=first)  # type: ignore[arg-type]
    rows.change("one", state=state)
    assert episodes.is_answered(first) is answers
    assert not episodes.is_answered(episodes.seen(A, host="x", sentence="darker", now=at(30)))


def test_a_ledger_from_before_there_were_episodes_keeps_its_rows(ledger_url: str, opened: Opener) -> None:
    ledger_at(ledger_url, "0010")
    engine = sa.create_engine(ledger_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO retrainings VALUES "
            f"('one', 't', 'ann', 'why', 'here', 'i', 7, '{A}', 'kept', 'conclude', 't', 's', '{{}}', NULL, NULL, NULL, "
            "NULL)"
        )
        connection.exec_driver_sql(
            "INSERT INTO captures (event_id, endpoint, variant, captured_at, photo_bytes, answer, model) "
            "VALUES ('e', 'binsight', 'AllTraffic', '2026-11-26T12:00:00.000000+00:00', 0, '{}', 'm:1')"
        )
    engine.dispose()
    ledger = opened(ledger_url)
    (row,) = Retrainings(ledger).newest()
    assert (row.num_counts, row.num_labelled, row.labelled_until, row.drift) == (7, 0, None, None)
    (capture,) = CaptureRows(ledger, endpoint="binsight", variant="AllTraffic").read()
    assert (capture.event_id, capture.share) == ("e", None)
    assert DriftEpisodes(ledger).under_way(A) is None
    DriftEpisodes(ledger).seen(A, host="x", sentence="darker")
