"""Temperature scaling: it changes how sure a distribution is and nothing else, and finds a known temperature."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binsight.decision.calibrate import MAX_TEMPERATURE, MIN_TEMPERATURE, fit_temperature, temper
from binsight.decision.scores import score

rows = st.lists(st.floats(0, 1), min_size=5, max_size=5).filter(lambda row: sum(row) > 0.1)
probs = st.lists(rows, min_size=3, max_size=3).map(lambda r: np.array(r) / np.sum(r, axis=1, keepdims=True))
temperatures = st.floats(0.05, 20)


def simulated(num_photos: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Distributions over 0 … 7 and counts drawn from them: calibrated by construction."""
    rng = np.random.default_rng(seed)
    truth = rng.dirichlet(np.full(8, 0.5), size=num_photos)
    return truth, (truth.cumsum(axis=1) < rng.uniform(size=(num_photos, 1))).sum(axis=1)


@given(probs)
def test_a_temperature_of_one_changes_nothing(probs: np.ndarray) -> None:
    assert temper(probs, 1.0) == pytest.approx(probs)


@given(probs, temperatures)
def test_the_answer_stays_whatever_the_temperature(probs: np.ndarray, temperature: float) -> None:
    tempered = temper(probs, temperature)
    assert tempered.sum(axis=1) == pytest.approx(1)
    answer = probs.argmax(axis=1)
    assert (tempered[np.arange(3), answer] == tempered.max(axis=1)).all()


@given(probs, temperatures)
def test_one_temperature_undoes_another(probs: np.ndarray, temperature: float) -> None:
    mixed = 0.9 * probs + 0.02  # bounded away from 0, which no power brings back once it has underflowed
    cooled = temper(mixed, max(temperature, 0.5))
    assert temper(cooled, 1 / max(temperature, 0.5)) == pytest.approx(mixed, rel=1e-6)


def test_golden_tempering_squares_and_takes_roots() -> None:
    assert temper([[0.8, 0.2]], 0.5) == pytest.approx(np.array([[0.64, 0.04]]) / 0.68)
    assert temper([[0.64, 0.36]], 2.0) == pytest.approx(np.array([[0.8, 0.6]]) / 1.4)


def test_it_equals_dividing_the_logits_of_a_softmax() -> None:
    logits = np.random.default_rng(0).normal(size=(4, 6))
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    divided = np.exp(logits / 1.7) / np.exp(logits / 1.7).sum(axis=1, keepdims=True)
    assert temper(softmax, 1.7) == pytest.approx(divided)


def test_an_impossible_count_stays_impossible() -> None:
    assert temper([[0.0, 0.5, 0.5]], 10.0)[0, 0] == 0


@pytest.mark.parametrize("known", [0.5, 1.0, 1.6, 3.0])
def test_a_known_temperature_is_recovered(known: float) -> None:
    """Probabilities sharpened by 1 / known need `known` to be calibrated again."""
    truth, counts = simulated(8000)
    assert fit_temperature(temper(truth, 1 / known), counts) == pytest.approx(known, rel=0.06)


def test_the_fit_lowers_the_log_score_and_the_calibration_error() -> None:
    truth, counts = simulated(4000)
    sure = temper(truth, 0.4)
    before, after = score(sure, counts), score(temper(sure, fit_temperature(sure, counts)), counts)
    assert after.nll < before.nll - 0.1
    assert after.ece < before.ece / 2
    assert after.exact == before.exact


def test_answers_that_are_always_right_end_at_the_lower_bound() -> None:
    probs = np.full((50, 4), 0.1) + 0.6 * np.eye(4)[np.arange(50) % 4]
    assert fit_temperature(probs, np.arange(50) % 4) == pytest.approx(MIN_TEMPERATURE, rel=0.2)
    assert fit_temperature(probs, (np.arange(50) + 1) % 4) == pytest.approx(MAX_TEMPERATURE, rel=0.2)


def test_nothing_to_fit_on_is_said() -> None:
    with pytest.raises(ValueError, match="needs at least one photo, but got none"):
        fit_temperature(np.zeros((0, 5)), [])


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_an_impossible_temperature_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match=r"`temperature > 0` must hold"):
        temper([[0.5, 0.5]], temperature)
