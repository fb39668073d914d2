"""What is believed of a record once its photo was seen, against Bayes' rule worked out another way."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binsight.decision.belief import RecordErrors, believe, believe_unseen

SHARES = st.floats(0.01, 0.99)


@given(SHARES, SHARES, SHARES, st.integers(0, 20))
def test_the_errors_of_a_record_are_a_distribution(rate: float, ratio: float, share: float, count: int) -> None:
    errors = RecordErrors(rate=rate, ratio=ratio, far=share)
    near = count + 1 + math.ceil(math.log(1e-12) / math.log(ratio))
    assert sum(errors.likelihood(q, count) for q in range(max(near, count + 1001))) == pytest.approx(1, abs=1e-5)


def test_errors_of_two_units_are_half_as_frequent_as_those_of_one() -> None:
    errors = RecordErrors(rate=0.2, ratio=0.5, far=0)
    assert errors.likelihood(5, 5) == pytest.approx(0.8)
    assert errors.likelihood(7, 5) == pytest.approx(errors.likelihood(6, 5) / 2)
    assert errors.likelihood(4, 5) == errors.likelihood(6, 5)


def test_the_belief_is_what_drawn_bins_show() -> None:
    """A million bins by the model, of which those are kept whose record says 3."""
    rng = np.random.default_rng(3)
    probs = np.array([0.05, 0.1, 0.3, 0.35, 0.15, 0.05])
    errors = RecordErrors(rate=0.3, ratio=0.5, far=0.2)
    counts = rng.choice(len(probs), p=probs, size=1_000_000)
    table = np.array([[errors.likelihood(q, n) for q in range(60)] for n in range(len(probs))])
    recorded = (table.cumsum(axis=1)[counts] < rng.random(len(counts))[:, None]).sum(axis=1)
    kept = counts[recorded == 3]
    belief = believe(probs.tolist(), 3, errors)
    assert belief.p_right == pytest.approx((kept == 3).mean(), abs=0.005)
    assert belief.units_off == pytest.approx(np.abs(kept - 3).mean(), abs=0.01)


def test_a_photo_that_shows_something_else_lowers_the_belief_and_one_that_agrees_raises_it() -> None:
    errors = RecordErrors(rate=0.05)
    agrees, unsure, contradicts = (
        believe(probs, 2, errors) for probs in ([0.01, 0.01, 0.98], [0.3, 0.3, 0.4], [0.98, 0.019, 0.001])
    )
    assert agrees.p_right > unsure.p_right > contradicts.p_right
    assert agrees.units_off < unsure.units_off < contradicts.units_off < 2
    assert agrees.p_right > 0.95 > contradicts.p_right


def test_a_sure_photo_of_far_more_is_believed_though_most_errors_are_small() -> None:
    probs = [0.001] * 21
    probs[9] = 0.98
    near, usual = believe(probs, 2, RecordErrors(far=0)), believe(probs, 2, RecordErrors())
    assert usual.units_off > 2 * near.units_off
    assert usual.p_right < near.p_right


def test_of_a_record_beyond_the_last_count_a_photo_of_fewer_is_believed() -> None:
    few = [0.02] * 10 + [0.3, 0.4] + [0.01] * 9
    assert believe(few, 40, RecordErrors()).units_off > 3
    for recorded in (200, 500, 100_000):
        belief = believe(few, recorded, RecordErrors())
        assert belief.p_right < 0.01, "a hundredth for 20 and more is next to nothing for so many"
        assert belief.units_off > min(recorded, 1000) / 2
    many = [0.0] * 20 + [1.0]
    assert believe(many, 22, RecordErrors()).p_right > 0.8
    assert believe(many, 100_000, RecordErrors()) == believe(many, 1000, RecordErrors())


@pytest.mark.parametrize(
    "values",
    [{"rate": 0.0}, {"rate": 1.0}, {"ratio": 0.0}, {"ratio": 1.5}, {"rate": math.nan}, {"far": 1.0}, {"far": -0.1}],
)
def test_impossible_errors_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"`0 <=? {next(iter(values))} < 1`"):
        RecordErrors(**values)


def test_impossible_records_and_estimates_are_refused() -> None:
    with pytest.raises(ValueError, match="expected=-1"):
        believe([0.5, 0.5], -1, RecordErrors())
    with pytest.raises(ValueError, match="above 0"):
        believe([0.0, 0.0], 1, RecordErrors())


def test_an_unseen_record_is_as_right_and_as_far_off_as_records_are() -> None:
    unseen = believe_unseen(40, RecordErrors(rate=0.05, ratio=0.5, far=0))
    assert unseen.p_right == pytest.approx(0.95, abs=1e-6)
    assert unseen.units_off == pytest.approx(0.05 * 2, abs=1e-6), "a wrong one is two units off on average"
    assert believe_unseen(100_000, RecordErrors()) == believe_unseen(64, RecordErrors())
    empty = believe_unseen(0, RecordErrors())
    assert 0 < empty.units_off < unseen.units_off, "a record of nothing errs one way only"
