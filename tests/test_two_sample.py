"""Two samples compared: figures by hand, against SciPy, and what chance does to them."""

import math

import numpy as np
import pytest
from scipy import special, stats

from binsight.decision.two_sample import (
    auc_of,
    classifier_two_sample,
    fit_logistic,
    kolmogorov_smirnov,
    psi,
)


def test_psi_is_the_sum_by_bins_that_it_is_defined_as() -> None:
    expected, actual, many = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5]), 10**9
    by_hand = -0.3 * math.log(0.2 / 0.5) + 0 + 0.3 * math.log(0.5 / 0.2)
    assert psi(expected, actual * many, num_reference=many) == pytest.approx(by_hand, abs=1e-6)


@pytest.mark.parametrize("num_photos", [100, 500])
def test_psi_is_about_nothing_where_only_chance_differs(num_photos: int) -> None:
    """Uncorrected, its mean would be 0.1 for a hundred photos."""
    rng = np.random.default_rng(0)
    reference, now = rng.multinomial(900, [0.1] * 10, size=2000), rng.multinomial(num_photos, [0.1] * 10, size=2000)
    found = [psi(r / 900, n, num_reference=900) for r, n in zip(reference, now, strict=True)]
    assert abs(np.mean(found)) < 0.01
    assert 9 * (1 / num_photos + 1 / 900) > 2 * abs(np.mean(found))


def test_an_empty_bin_is_rare_and_not_impossible() -> None:
    assert 0.1 < psi([0.5, 0.5], [100, 0], num_reference=900) < 10
    assert 0.1 < psi([1.0, 0.0], [50, 50], num_reference=900) < 10


@pytest.mark.parametrize("distance", [0.001, 0.05, 0.1, 0.15, 0.3])
def test_the_chance_of_a_distance_is_that_of_scipy(distance: float) -> None:
    root = math.sqrt(400 * 900 / 1300)
    expected = special.kolmogorov((root + 0.12 + 0.11 / root) * distance)
    assert kolmogorov_smirnov(distance, 400, 900) == pytest.approx(expected, abs=1e-9)


def test_the_chance_is_uniform_where_only_chance_differs() -> None:
    rng = np.random.default_rng(1)
    chances = []
    for _ in range(300):
        ours, theirs = rng.normal(size=200), rng.normal(size=300)
        chances.append(kolmogorov_smirnov(stats.ks_2samp(ours, theirs).statistic, 200, 300))
    assert 0.02 < np.mean(np.array(chances) < 0.1) < 0.2


def test_auc_is_the_share_of_pairs_and_its_variance_that_of_repeated_samples() -> None:
    assert auc_of(np.array([2.0, 3.0]), np.array([1.0, 2.0]))[0] == pytest.approx((1 + 0.5 + 1 + 1) / 4)
    rng = np.random.default_rng(2)
    drawn = [auc_of(rng.normal(0.5, 1, 80), rng.normal(0, 1, 120)) for _ in range(600)]
    aucs, variances = np.array(drawn).T
    assert np.mean(variances) == pytest.approx(np.var(aucs), rel=0.2)


def test_the_logistic_fit_finds_the_weights_that_made_the_answers() -> None:
    rng = np.random.default_rng(3)
    inputs = rng.normal(size=(20_000, 2))
    probs = 1 / (1 + np.exp(-(0.5 + inputs @ np.array([1.0, -2.0]))))
    weights = fit_logistic(inputs, (rng.random(20_000) < probs).astype(float))
    np.testing.assert_allclose(weights, [0.5, 1.0, -2.0], atol=0.1)


def test_samples_that_are_wholly_apart_end_in_finite_weights() -> None:
    rng = np.random.default_rng(4)
    ours, theirs = rng.normal(10, 1, (60, 3)), rng.normal(-10, 1, (90, 3))
    found = classifier_two_sample(ours, theirs, z=2.33)
    assert found.auc == pytest.approx(1.0)
    assert found.low > 0.99


def test_the_interval_ends_above_a_half_about_as_seldom_as_it_says() -> None:
    """At 1.645 standard errors that is one sample in twenty, where nothing differs."""
    rng = np.random.default_rng(5)
    found = [
        classifier_two_sample(rng.normal(size=(150, 4)), rng.normal(size=(300, 4)), z=1.645) for _ in range(150)
    ]
    assert np.mean([one.low > 0.5 for one in found]) < 0.09
    assert abs(np.mean([one.auc for one in found]) - 0.5) < 0.02


def test_neighbours_do_not_recognise_each_other() -> None:
    """Photos of one bin come in a row and are alike; that they are must not make them another sample."""
    rng = np.random.default_rng(6)
    ours = np.repeat(rng.normal(size=(40, 8)), 5, axis=0) + rng.normal(0, 0.05, (200, 8))
    theirs = rng.normal(size=(400, 8))
    in_a_row = classifier_two_sample(ours, theirs, z=2.33).auc
    mixed = classifier_two_sample(rng.permutation(ours), theirs, z=2.33).auc
    assert in_a_row < mixed
