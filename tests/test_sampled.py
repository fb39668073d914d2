"""Counted bins weigh in training what they stand for."""

import numpy as np
import pytest

from binsight.decision.sampled import Drawn, probability_of, training_weights

OF_VERIFIED = Drawn(probability=0.01, of_all=False, counts_all_others=False)
OF_ALL = Drawn(probability=0.05, of_all=True, counts_all_others=False)
OF_ALL_AND_ALL_SUSPECTS = Drawn(probability=0.05, of_all=True, counts_all_others=True)


@pytest.mark.parametrize(
    ("drawn", "by_lot", "is_verified", "probability"),
    [
        (None, False, False, 1.0),
        (OF_VERIFIED, False, False, 1.0),
        (OF_VERIFIED, True, True, 0.01),
        (OF_ALL, True, True, 0.05),
        (OF_ALL, True, False, 0.05),
        (OF_ALL, False, False, 1.0),
        (OF_ALL_AND_ALL_SUSPECTS, True, False, 1.0),
        (OF_ALL_AND_ALL_SUSPECTS, True, True, 0.05),
    ],
)
def test_a_bin_stands_for_others_only_by_a_lot_that_decided(
    drawn: Drawn | None, by_lot: bool, is_verified: bool, probability: float
) -> None:
    assert probability_of(drawn, by_lot=by_lot, is_verified=is_verified) == probability


def test_weights_are_one_over_the_probability_and_one_on_average() -> None:
    weights = training_weights(np.array([1.0, 1.0, 0.1]))
    assert weights.mean() == pytest.approx(1)
    assert weights[2] / weights[0] == pytest.approx(10)


def test_the_weighted_mean_of_what_was_counted_is_that_of_all_bins() -> None:
    """10,000 bins, of which 1,000 hold 8 and are all counted; of the others, which hold 2, one in ten is."""
    chance = np.random.default_rng(5)
    held = np.repeat([8.0, 2.0], [1000, 9000])
    probability = np.repeat([1.0, 0.1], [1000, 9000])
    means = []
    for _ in range(50):
        counted = chance.random(10_000) < probability
        weights = training_weights(probability[counted])
        means.append((weights * held[counted]).mean())
    assert np.mean(means) == pytest.approx(held.mean(), abs=0.02)
    assert held[chance.random(10_000) < probability].mean() > 4.5  # as they come, they say something else


def test_no_photo_counts_more_than_the_most_and_the_mean_stays_one() -> None:
    weights = training_weights(np.array([1.0] * 99 + [0.001]), most=20)
    assert weights.max() == pytest.approx(20)
    assert weights.mean() == pytest.approx(1)
    assert training_weights(np.array([1.0] * 50 + [0.01, 0.009]), most=20).max() == pytest.approx(20)


def test_a_batch_chosen_alike_weighs_alike_and_an_empty_one_nothing() -> None:
    assert training_weights(np.full(5, 0.01)).tolist() == [1.0] * 5
    assert not len(training_weights(np.array([])))


@pytest.mark.parametrize("wrong", [0.0, -0.1, 1.1])
def test_what_is_no_probability_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="probability"):
        training_weights(np.array([0.5, wrong]))
