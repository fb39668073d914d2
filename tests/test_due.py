"""When a retraining is due: new counts, drift or a date; whatever the clock does."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from binsight.lifecycle.due import Facts, is_due
from binsight.lifecycle.terms import Due

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
A_WEEK = Facts(
    now=NOW,
    num_counts=150,
    num_counts_before=100,
    since=NOW - timedelta(days=7),
    has_retrained=True,
)
"""Fifty new counts, a week after the last retraining."""
TERMS = Due(counts=200, days=30, rest_hours=24)


def test_a_few_counts_in_a_week_are_not_due_and_the_sentence_says_what_is_missing() -> None:
    verdict = is_due(A_WEEK, TERMS)
    assert not verdict.is_due
    assert verdict.sentence == "not due: 50 new counts of 200, 7.0 days of 30, no drift"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"num_counts": 300}, "200 new counts, 200 make it due"),
        ({"drift": "photos are darker"}, "photos are darker"),
        ({"since": NOW - timedelta(days=30)}, "30 days since the last one, 30 make it due"),
    ],
)
def test_counts_drift_or_a_date_make_it_due(changes: dict[str, object], reason: str) -> None:
    verdict = is_due(replace(A_WEEK, **changes), TERMS)  # type: ignore[arg-type]
    assert verdict.is_due
    assert verdict.sentence == f"due: {reason}"


def test_what_the_terms_leave_out_makes_nothing_due() -> None:
    everything = replace(A_WEEK, num_counts=1000, drift="photos are darker", since=NOW - timedelta(days=90))
    assert is_due(everything, TERMS).is_due
    verdict = is_due(everything, Due(counts=None, drift=False, days=None))
    assert not verdict.is_due
    assert verdict.sentence == "not due: 900 new counts"


@pytest.mark.parametrize("drift", ["", "photos are darker"])
def test_without_a_new_count_nothing_is_due(drift: str) -> None:
    verdict = is_due(replace(A_WEEK, num_counts=100, since=NOW - timedelta(days=999), drift=drift), TERMS)
    assert not verdict.is_due
    assert verdict.sentence.startswith("not due: no bin was counted since the last retraining")
    assert drift in verdict.sentence


def test_after_a_retraining_there_is_rest() -> None:
    verdict = is_due(replace(A_WEEK, num_counts=1000, since=NOW - timedelta(hours=20)), TERMS)
    assert not verdict.is_due
    assert "4.0 hours are left" in verdict.sentence
    assert is_due(replace(A_WEEK, num_counts=1000, since=NOW - timedelta(hours=24)), TERMS).is_due


def test_the_first_look_starts_the_date_and_counts_make_it_due_at_once() -> None:
    first = replace(A_WEEK, since=None, has_retrained=False, num_counts_before=0)
    verdict = is_due(first, TERMS)
    assert (verdict.is_due, verdict.starts_date) == (False, True)
    assert is_due(replace(first, num_counts=200), TERMS).is_due


def test_a_ledger_with_fewer_counts_than_before_has_no_new_ones() -> None:
    assert not is_due(replace(A_WEEK, num_counts=10, since=NOW - timedelta(days=99)), TERMS).is_due


def test_a_clock_that_jumps_ahead_makes_one_retraining_due_and_no_second() -> None:
    ahead = replace(A_WEEK, now=NOW + timedelta(days=3650))
    assert is_due(ahead, TERMS).is_due
    after = replace(ahead, since=ahead.now, num_counts_before=ahead.num_counts, num_counts=ahead.num_counts + 1)
    assert not is_due(after, TERMS).is_due
    assert not is_due(replace(after, now=after.now + timedelta(days=29)), TERMS).is_due


def test_a_clock_that_is_set_back_starts_the_date_anew_instead_of_waiting_for_years() -> None:
    back = replace(A_WEEK, since=NOW + timedelta(days=3650))
    verdict = is_due(back, TERMS)
    assert (verdict.is_due, verdict.starts_date) == (False, True)
    assert "the clock was set back" in verdict.sentence
    a_month_later = replace(back, since=NOW, now=NOW + timedelta(days=30))
    assert is_due(a_month_later, TERMS).is_due


def test_clocks_of_two_machines_that_differ_by_minutes_start_nothing_anew() -> None:
    assert not is_due(replace(A_WEEK, since=NOW + timedelta(minutes=5)), TERMS).starts_date


def test_a_clock_that_jumps_to_and_fro_retrains_no_more_often_than_there_are_counts() -> None:
    """A hundred looks, each at a wild moment, with nothing counted: none is due."""
    since, times = NOW, 0
    for look in range(100):
        now = NOW + timedelta(days=(-1) ** look * 400 * look)
        verdict = is_due(replace(A_WEEK, now=now, since=since, num_counts=100), TERMS)
        since = now if verdict.starts_date or verdict.is_due else since
        times += verdict.is_due
    assert times == 0
