"""What is measured over a range of counts, and the curves: worked out by hand."""

import numpy as np
import pytest

from binsight.decision.curves import confusion, entropy, reliability, risk_coverage
from binsight.decision.measures import RANGES, Range, count_prior, fold, measure, restrict
from binsight.decision.scores import calibration_error, photo_scores


def test_restricting_keeps_the_proportions_within_the_range() -> None:
    probs = np.array([[0.5, 0.2, 0.1, 0.2]])
    assert restrict(probs, 1, 2) == pytest.approx(np.array([[0, 2 / 3, 1 / 3, 0]]))


def test_restricting_what_has_no_probability_there_is_even() -> None:
    assert restrict(np.array([[1.0, 0, 0, 0]]), 1, 3) == pytest.approx(np.array([[0, 1 / 3, 1 / 3, 1 / 3]]))


def test_folding_adds_up_the_counts_from_the_last_on() -> None:
    probs = np.array([[0.1, 0.2, 0.3, 0.4]])
    assert fold(probs, 2) == pytest.approx(np.array([[0.1, 0.2, 0.7]]))
    assert fold(probs, 3) == pytest.approx(probs)


def test_a_prior_gives_no_count_up() -> None:
    prior = count_prior([1, 1, 9], 4)
    assert prior.sum() == pytest.approx(1)
    assert prior == pytest.approx(np.array([0.25, 2.25, 0.25, 1.25]) / 4)


def test_a_range_scores_its_own_photos_alone() -> None:
    counts = np.array([0, 1, 5, 6])
    held = {(r.name, r.restricted): r.holds(counts).tolist() for r in RANGES}
    assert held["1-5", False] == held["1-5", True] == [False, True, True, False]
    assert held["0-5", False] == [True, True, True, False]
    assert held["all", False] == [True] * 4


def test_measures_worked_out_by_hand() -> None:
    """Three photos of 2, 2, 3; the prior says 2. The model is right about the first and the last."""
    probs = np.array([[0.1, 0.1, 0.7, 0.1], [0.1, 0.6, 0.2, 0.1], [0.0, 0.1, 0.2, 0.7]])
    found = measure(probs, np.array([2, 2, 3]), ["a", "b", "c"], np.array([0.1, 0.2, 0.4, 0.3]))
    assert found is not None
    assert found.scores.exact == pytest.approx(2 / 3)
    assert (found.majority_count, found.majority.exact) == (2, pytest.approx(2 / 3))
    assert found.prior.nll == pytest.approx(-(2 * np.log(0.4) + np.log(0.3)) / 3)
    assert (found.best_constant, found.best_constant_exact) == (2, pytest.approx(2 / 3))
    assert found.intervals is None and found.ahead is None  # three groups are too few
    assert found.gain("mae") == pytest.approx(0)


def test_a_restricted_blind_answer_lies_in_the_range_too() -> None:
    prior = np.array([0.5, 0.1, 0.3, 0.1])
    within = Range(name="1-2", low=1, high=2, restricted=True)
    found = measure(np.tile(prior, (2, 1)), np.array([1, 2]), ["a", "b"], prior, within=within)
    assert found is not None
    assert (found.majority_count, found.majority.exact, found.scores.exact) == (2, 0.5, 0.5)


def test_a_range_without_photos_is_not_measured() -> None:
    assert measure(np.eye(8), np.arange(8), ["a"] * 8, np.full(8, 1 / 8), within=Range(name="x", low=9)) is None


def test_the_reliability_bins_add_up_to_the_calibration_error() -> None:
    rng = np.random.default_rng(0)
    photos = photo_scores(rng.dirichlet(np.ones(5), 500), rng.integers(0, 5, 500))
    bins = reliability(photos)
    assert sum(b.num_photos for b in bins) == 500
    gap = sum(b.num_photos * abs(b.confidence - b.exact) for b in bins) / 500
    assert gap == pytest.approx(calibration_error(photos.confidence, photos.exact))
    assert all(b.low < b.confidence <= b.high for b in bins)


def test_risk_coverage_takes_the_surest_first_and_ends_with_all() -> None:
    probs = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
    points = risk_coverage(photo_scores(probs, np.array([0, 1, 1, 0])), num_points=4)
    assert [(p.coverage, p.exact) for p in points] == [(0.25, 1), (0.5, 1), (0.75, pytest.approx(2 / 3)), (1, 0.5)]
    assert [p.confidence for p in points] == [0.9, 0.8, 0.7, 0.6]


def test_the_confusion_matrix_counts_each_photo_once() -> None:
    times = confusion(np.array([0, 1, 1]), np.array([0, 0, 7]), 3)
    assert times.tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 0]]


def test_entropy_is_nothing_for_a_sure_and_most_for_an_even_distribution() -> None:
    assert entropy(np.array([[1.0, 0, 0, 0], [0.25] * 4])) == pytest.approx(np.array([0, np.log(4)]))
