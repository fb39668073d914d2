"""Scores of distributions over counts: golden values by hand, and what must hold for any distribution."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binsight.decision.scores import (
    MIN_PROB,
    Scores,
    calibration_error,
    chance_calibration_error,
    confidence_bins,
    photo_scores,
    score,
)
from binsight.records import CountEstimate


@st.composite
def distributions(draw: Any, *, num_counts: int = 6, num_photos: int = 4) -> np.ndarray:
    """(B, K) rows that sum to 1, some of their entries exactly 0."""
    weight = st.one_of(st.just(0.0), st.floats(1e-6, 1.0))
    row = st.lists(weight, min_size=num_counts, max_size=num_counts).filter(any)
    rows = np.array(draw(st.lists(row, min_size=num_photos, max_size=num_photos)))
    return rows / rows.sum(axis=1, keepdims=True)


counts = st.lists(st.integers(0, 9), min_size=4, max_size=4).map(np.array)


def test_golden_scores_worked_out_by_hand() -> None:
    probs = [[0.4, 0.3, 0.3], [0.1, 0.2, 0.7]]
    found = score(probs, [1, 2])
    # Photo 1 answers 0 for 1: cumulative .4, .7 against 0, 1. Photo 2 answers 2 for 2: .1, .3 against 0, 0.
    assert found == Scores(
        num_photos=2,
        exact=0.5,
        within_one=1.0,
        mae=0.5,
        rmse=pytest.approx(math.sqrt(0.5)),  # type: ignore[arg-type]
        mae_of_median=0.0,  # the medians are 1 and 2, the means 0.9 and 1.6
        rmse_of_mean=pytest.approx(math.sqrt((0.1**2 + 0.4**2) / 2)),  # type: ignore[arg-type]
        rps=pytest.approx(((0.16 + 0.09) + (0.01 + 0.09)) / 2),  # type: ignore[arg-type]
        nll=pytest.approx(-(math.log(0.3) + math.log(0.7)) / 2),  # type: ignore[arg-type]
        ece=pytest.approx((0.4 + 0.3) / 2),  # type: ignore[arg-type]
    )


def test_scores_agree_with_plain_loops() -> None:
    rng = np.random.default_rng(1)
    probs = rng.dirichlet(np.full(12, 0.4), size=300)
    labels = rng.integers(0, 15, size=300)
    found = score(probs, labels)
    exact = within = absolute = squared = median_off = mean_off = rps = nll = 0.0
    by_bin: dict[int, list[float]] = {}
    for row, label in zip(probs.tolist(), np.minimum(labels, 11).tolist(), strict=True):
        answer = CountEstimate(photo="x", probs=tuple(row)).count
        exact += answer == label
        within += abs(answer - label) <= 1
        absolute += abs(answer - label)
        squared += (answer - label) ** 2
        median_off += abs(next(k for k in range(12) if sum(row[: k + 1]) >= 0.5) - label)
        mean_off += (sum(k * p for k, p in enumerate(row)) - label) ** 2
        rps += sum((sum(row[: k + 1]) - (label <= k)) ** 2 for k in range(12))
        nll += -math.log(max(row[label], MIN_PROB))
        place = next(b for b in range(15) if max(row) <= (b + 1) / 15)
        by_bin.setdefault(place, []).append(max(row) - (answer == label))
    n = len(labels)
    ece = sum(len(gaps) / n * abs(sum(gaps) / len(gaps)) for gaps in by_bin.values())
    wanted = [exact / n, within / n, absolute / n, math.sqrt(squared / n), median_off / n, math.sqrt(mean_off / n)]
    got = [found.exact, found.within_one, found.mae, found.rmse, found.mae_of_median, found.rmse_of_mean]
    wanted += [rps / n, nll / n, ece]
    got += [found.rps, found.nll, found.ece]
    assert got == pytest.approx(wanted)


@given(distributions(), st.integers(0, 5), st.floats(0, 5))
def test_no_answer_is_expected_to_be_fewer_items_off_than_median_and_mean(
    probs: np.ndarray, other: int, elsewhere: float
) -> None:
    """Where counts are distributed as the probabilities say: each distribution with each count, weighted by it."""
    every, labels = np.repeat(probs, 6, axis=0), np.tile(np.arange(6), len(probs))
    found, weights = photo_scores(every, labels), probs.ravel()
    assert weights @ found.median_error <= weights @ np.abs(other - labels) + 1e-9
    assert weights @ found.mean_squared_error <= weights @ np.square(elsewhere - labels) + 1e-9


@given(counts)
def test_a_perfect_answer_scores_nothing(labels: np.ndarray) -> None:
    found = score(np.eye(10)[labels], labels)
    assert (found.exact, found.within_one) == (1, 1)
    assert (found.mae, found.rmse, found.rps, found.nll, found.ece) == (0, 0, 0, 0, 0)


@given(counts, st.integers(0, 5))
def test_a_sure_answer_has_its_absolute_error_as_rps(labels: np.ndarray, answer: int) -> None:
    found = photo_scores(np.tile(np.eye(6)[answer], (4, 1)), labels)
    assert found.rps == pytest.approx(found.absolute_error)
    assert found.absolute_error == pytest.approx(np.abs(np.minimum(labels, 5) - answer))


@given(distributions(), counts)
def test_scores_stay_in_their_ranges(probs: np.ndarray, labels: np.ndarray) -> None:
    found = score(probs, labels)
    assert 0 <= found.exact <= found.within_one <= 1
    assert 0 <= found.mae <= found.rmse + 1e-12 <= 5 + 1e-12
    assert 0 <= found.rps <= 5
    assert 0 <= found.nll <= -math.log(MIN_PROB)
    assert 0 <= found.ece <= 1


@given(distributions(), counts)
def test_the_answer_is_the_estimates_own_count(probs: np.ndarray, labels: np.ndarray) -> None:
    answers = [CountEstimate(photo="x", probs=tuple(row)).count for row in probs.tolist()]
    assert photo_scores(probs, labels).answer.tolist() == answers


def test_of_equally_likely_counts_the_smaller_is_the_answer() -> None:
    assert photo_scores([[0.2, 0.4, 0.4]], [2]).answer.tolist() == [1]


@given(distributions(num_photos=2))
def test_rps_and_nll_are_proper(probs: np.ndarray) -> None:
    """In expectation over the true distribution no other distribution scores better than the truth."""
    truth, other = probs
    every_count = np.arange(6)
    for name in ("rps", "nll"):
        honest, lying = (
            float(truth @ getattr(photo_scores(np.tile(row, (6, 1)), every_count), name)) for row in (truth, other)
        )
        assert honest <= lying + 1e-9


@given(distributions(), counts)
def test_counts_nobody_uses_change_no_score(probs: np.ndarray, labels: np.ndarray) -> None:
    labels = np.minimum(labels, 4)
    padded = np.hstack([probs, np.zeros((4, 3))])
    assert photo_scores(padded, labels).rps == pytest.approx(photo_scores(probs, labels).rps)
    assert photo_scores(padded, labels).nll == pytest.approx(photo_scores(probs, labels).nll)


@given(counts, st.integers(0, 5))
def test_a_constant_answer_is_exact_as_often_as_its_count_occurs(labels: np.ndarray, answer: int) -> None:
    labels = np.minimum(labels, 5)
    found = score(np.tile(np.eye(6)[answer], (4, 1)), labels)
    assert found.exact == pytest.approx(np.mean(labels == answer))
    assert found.ece == pytest.approx(1 - found.exact)


def test_counts_above_the_last_are_scored_as_the_last() -> None:
    assert score([[0.1, 0.2, 0.7]], [40]) == score([[0.1, 0.2, 0.7]], [2])


def test_a_calibrated_distribution_has_next_to_no_calibration_error() -> None:
    rng = np.random.default_rng(2)
    confidence = rng.uniform(0.2, 1, 200_000)
    exact = (rng.uniform(size=200_000) < confidence).astype(float)
    assert calibration_error(confidence, exact) < 0.01
    assert calibration_error(np.minimum(confidence + 0.1, 1), exact) > 0.08


def test_a_calibration_bin_includes_its_upper_end() -> None:
    assert confidence_bins(np.array([0.05, 0.07, 0.2, 0.201, 0.95, 1.0])).tolist() == [0, 1, 2, 3, 14, 14]


def test_single_precision_and_its_rounding_are_taken() -> None:
    probs = np.random.default_rng(3).dirichlet(np.ones(21), size=50).astype(np.float32)
    assert score(probs, np.zeros(50, dtype=np.int32)).num_photos == 50


@pytest.mark.parametrize(
    ("probs", "labels", "message"),
    [
        (np.full((2, 3), 0.5), [0, 1], "sum to 1 by row, but row 0 sums to 1.5"),
        ([[1.5, -0.5]], [0], "at least 0, but row 0"),
        ([[np.nan, 1.0]], [0], "finite and at least 0"),
        ([0.5, 0.5], [0], r"shape \(B ≥ 1, K ≥ 2\), but got \(2,\)"),
        (np.zeros((0, 5)), [], r"but got \(0, 5\)"),
        ([[0.5, 0.5]], [0, 1], r"counts must have shape \(1,\), one per photo, but got \(2,\)"),
        ([[0.5, 0.5]], [0.0], "whole numbers of 0 or more, but got float64"),
        ([[0.5, 0.5]], [-1], "whole numbers of 0 or more"),
    ],
)
def test_impossible_input_is_refused_with_what_was_wanted(probs: Any, labels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score(probs, labels)


def test_chance_alone_makes_a_calibration_error_that_many_photos_take_away() -> None:
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.full(11, 0.6), size=40_000)
    labels = np.array([rng.choice(11, p=row) for row in probs])
    photos = photo_scores(probs, labels)
    errors = [
        calibration_error(photos.confidence[i : i + 400], photos.exact[i : i + 400]) for i in range(0, 40_000, 400)
    ]
    told = [chance_calibration_error(photos.confidence[i : i + 400]) for i in range(0, 4_000, 400)]
    assert np.mean(told) == pytest.approx(np.mean(errors), abs=0.004)
    assert np.mean(told) > 0.03
    assert chance_calibration_error(photos.confidence, num_draws=20) < 0.006
