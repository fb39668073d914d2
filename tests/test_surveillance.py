"""Lots, the evidence of counts against a certificate, and its state."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binsight.decision.belief import RecordErrors
from binsight.decision.certificate import Band
from binsight.decision.lots import Lots, draw, lot
from binsight.decision.surveillance import (
    DELTA,
    MAX_AGE,
    DrawnCount,
    evidence,
    expected_wrong,
    implied_bound,
    live_shares,
    state_of,
)
from binsight.decision.weighting import weighted_share

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
KEY = bytes(32)


def counted(wrong: list[bool] | np.ndarray, bound: float = 0.02, band: str = "1") -> list[DrawnCount]:
    return [DrawnCount(band=band, bound=bound, wrong=bool(one)) for one in wrong]


class Photos:
    def __init__(self, is_drifting: bool) -> None:
        self.is_drifting, self.sentence = is_drifting, "brightness of the photos: lower"


def test_a_record_is_drawn_with_the_stated_probability_whatever_its_place() -> None:
    times: Counter[int] = Counter()
    runs = 3000
    for number in range(runs):
        times.update(list(draw(range(20), key=number.to_bytes(32, "big"), audit="a", share=0.1)))
    expected = 0.1 + 0.9**20 / 20
    spread = (expected * (1 - expected) / runs) ** 0.5
    assert all(abs(times[place] / runs - expected) < 4.5 * spread for place in range(1, 21))
    lots = Lots[str](key=KEY, audit="a", share=0.1)
    for place in range(20):
        lots.offer(place, "x")
    assert lots.probability == pytest.approx(expected)


def test_the_draw_follows_from_the_key_alone_and_another_key_or_audit_draws_others() -> None:
    names = [f"bin-{number}" for number in range(5000)]
    drawn = draw(names, key=KEY, audit="a")
    assert drawn == draw(names, key=KEY, audit="a")
    assert all(lot(KEY, "a", place) < 0.01 and names[place - 1] == name for place, name in drawn.items())
    assert 20 < len(drawn) < 85
    assert set(drawn) != set(draw(names, key=bytes([1]) * 32, audit="a"))
    assert set(drawn) != set(draw(names, key=KEY, audit="b"))


def test_of_few_records_one_is_drawn_and_of_none_none() -> None:
    assert len(draw(["x", "y"], key=KEY, audit="a", share=0.0001)) == 1
    assert draw([], key=KEY, audit="a") == {}
    assert draw(["x", "y"], key=KEY, audit="a", share=0) == {}
    assert len(draw(["x", "y"], key=KEY, audit="a", share=1)) == 2
    with pytest.raises(ValueError, match=r"share=1\.5"):
        draw(["x"], key=KEY, audit="a", share=1.5)


@given(st.floats(0.01, 0.2), st.floats(0.01, 0.3), st.floats(0.05, 1), st.floats(0, 1))
def test_the_implied_bound_is_what_bayes_rule_makes_of_the_certified_one(
    alpha: float, rate: float, coverage: float, share: float
) -> None:
    accepted = alpha * share  # whatever a certificate that holds may accept
    verified = accepted * rate + coverage * (1 - rate)
    num = 10**9
    bound = implied_bound(alpha, rate * num, round(verified * num))
    assert accepted * rate / verified <= bound * (1 + 1e-6)


def test_the_bound_of_nothing_verified_is_none() -> None:
    with pytest.raises(ValueError, match="num_verified"):
        implied_bound(0.05, 1, 0)
    assert implied_bound(0.5, 50, 1) == 1


def test_records_of_rare_counts_beside_frequent_ones_are_wrong_more_often() -> None:
    rng = np.random.default_rng(7)
    errors = RecordErrors(rate=0.05, ratio=1e-6, far=0)
    counts = rng.choice([0, 1, 2, 3], p=[0.02, 0.4, 0.38, 0.2], size=400_000)
    moved = np.where(rng.random(len(counts)) < 0.5, 1, -1)
    moved[counts == 0] = 1  # no record is below 0
    recorded = np.where(rng.random(len(counts)) < 0.05, counts + moved, counts)
    histogram = Counter(recorded.tolist())
    for band in (Band(0, 0), Band(1, 1), Band(2, 3)):
        within = (recorded >= band.low) & (recorded <= band.high)
        wrong = int((within & (recorded != counts)).sum())
        assert expected_wrong(histogram, band, errors) == pytest.approx(wrong, rel=0.2)
    zeros = recorded == 0
    assert (counts[zeros] != 0).mean() > 0.3, "and not one in twenty"


def test_a_certificate_that_holds_is_hardly_ever_suspended_however_often_one_looks() -> None:
    rng = np.random.default_rng(1)
    runs, bounds, bands = 300, np.array([0.02, 0.005, 0.1]), ("0", "1", "2-5")
    alarms = 0
    for _ in range(runs):
        band = rng.integers(3, size=1500)
        wrong = rng.random(1500) < bounds[band]
        counts = [
            DrawnCount(band=bands[b], bound=float(bounds[b]), wrong=bool(w))
            for b, w in zip(band.tolist(), wrong, strict=True)
        ]
        alarms += bool((evidence(counts) >= 1 / DELTA).any())
    assert alarms / runs <= DELTA


@pytest.mark.parametrize(("times", "within"), [(3, 600), (10, 60)])
def test_one_that_fails_is_found_soon(times: float, within: int) -> None:
    rng = np.random.default_rng(2)
    found = [(evidence(counted(rng.random(within) < 0.02 * times)) >= 1 / DELTA).any() for _ in range(100)]
    assert np.mean(found) > 0.9


def test_one_failing_band_among_many_is_found() -> None:
    rng = np.random.default_rng(3)
    counts = []
    for _ in range(120):
        counts += counted([rng.random() < 0.4], 0.04, "0") + counted([False] * 5, 0.04, "1")
    assert evidence(counts)[-1] > 1 / DELTA
    assert evidence(counted([one.wrong for one in counts], 0.04, "all"))[-1] < evidence(counts)[-1]


def test_where_any_share_may_be_wrong_nothing_speaks_against_it() -> None:
    assert evidence(counted([True] * 50, 1.0)).tolist() == [1.0] * 50
    assert len(evidence([])) == 0


def test_many_wrong_ones_are_finite_evidence() -> None:
    assert np.isfinite(evidence(counted([True] * 2000, 0.001))).all()


def test_the_state_names_every_reason() -> None:
    young, old = NOW - timedelta(days=3), NOW - MAX_AGE - timedelta(hours=1)
    assert state_of(young, [], None, NOW).is_in_force
    assert state_of(NOW - MAX_AGE, counted([False] * 100), Photos(False), NOW).is_in_force
    bad = state_of(old, counted([True] * 10), Photos(True), NOW)
    assert [reason.why for reason in bad.reasons] == ["breached", "aged", "drifted"]
    assert "of 10 verified records" in bad.reasons[0].sentence
    assert bad.reasons[1].sentence == "it is 90 days old, and holds for 90 days"
    assert state_of(None, [], None, NOW).is_in_force, "an age that is not known is nothing to go by"


def test_a_breach_stays_one_when_right_counts_follow() -> None:
    counts = counted([True] * 4 + [False] * 3000)
    assert evidence(counts)[-1] < 1 / DELTA
    assert not state_of(None, counts, None, NOW).is_in_force


def test_the_live_share_has_an_exact_interval_for_all_and_by_band() -> None:
    shares = live_shares(counted([True, *[False] * 99], band="6-19") + counted([False] * 100, 0.04, band="1"))
    assert [(one.band, one.num, one.num_wrong) for one in shares] == [
        ("all", 200, 1),
        ("1", 100, 0),
        ("6-19", 100, 1),
    ]
    assert shares[0].bound == pytest.approx(0.03)
    assert (shares[0].interval.low, shares[0].interval.high) == (
        pytest.approx(0.000127, abs=1e-5),
        pytest.approx(0.02754, abs=1e-4),
    )
    assert live_shares([]) == []


def test_records_counted_by_choice_and_by_lot_give_the_accuracy_of_all() -> None:
    rng = np.random.default_rng(4)
    is_suspect = rng.random(20_000) < 0.1
    right = np.where(is_suspect, rng.random(20_000) < 0.5, rng.random(20_000) < 0.98)
    found, covered, naive = [], 0, []
    for _ in range(100):
        taken = is_suspect | (rng.random(20_000) < 0.05)
        probability = np.where(is_suspect, 1.0, 0.05)
        one = weighted_share(right[taken], probability[taken], num_draws=300)
        found.append(one.share)
        naive.append(right[taken].mean())
        covered += one.interval.low <= right.mean() <= one.interval.high
    assert np.mean(found) == pytest.approx(right.mean(), abs=0.002)
    assert abs(np.mean(naive) - right.mean()) > 0.2, "what is counted is not like what there is"
    assert covered >= 88


def test_a_stratum_without_an_error_still_leaves_doubt() -> None:
    one = weighted_share(np.array([True] * 60 + [False]), np.array([0.01] * 60 + [1.0]))
    assert one.share == pytest.approx(6000 / 6001)
    assert one.interval.low == pytest.approx(0.9404, abs=0.001), "as Clopper and Pearson for 60 of 60"
    assert one.interval.high == pytest.approx(6000 / 6001)
    assert (one.num, one.num_for) == (61, pytest.approx(6001))


@pytest.mark.parametrize("probability", [0.0, 1.5, float("nan")])
def test_a_bin_that_could_not_be_counted_stands_for_nothing(probability: float) -> None:
    with pytest.raises(ValueError, match="probability"):
        weighted_share(np.array([True]), np.array([probability]))
