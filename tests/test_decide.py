"""The step in which an estimate and a record meet."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.certify_support import poisson_world

from binsight.decision.belief import RecordErrors
from binsight.decision.certificate import Certificate
from binsight.decision.certify import certify
from binsight.decision.decide import Costs, band_for, decide
from binsight.records import CountEstimate


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    probs, counts, groups = poisson_world(4000)
    found = certify(probs, counts, groups, np.full(21, 1 / 21), dataset_sha256="", split="val", note="")
    assert band_for(found, 1, 0.05) in found.verifying
    return found


def an_estimate(*probs: float, flags: tuple[str, ...] = ()) -> CountEstimate:
    return CountEstimate(photo="p", probs=(*probs, *[0.0] * (21 - len(probs))), flags=flags)


def test_a_record_is_verified_where_its_band_is_certified_and_the_photo_bears_it_out(
    certificate: Certificate,
) -> None:
    sure = an_estimate(0.0, 0.995, 0.005)
    verdict = decide(sure, 1, certificate)
    assert (verdict.word, verdict.p_record, verdict.expected) == ("verified", 0.995, 1)
    assert decide(sure, 1).word == "not_assessable", "nothing is verified without a certificate"
    assert decide(sure, 1, certificate, alpha=0.02).word == "not_assessable", (
        "nor at a bound that it does not state"
    )


def test_a_record_below_the_threshold_is_neither_verified_nor_suspect(certificate: Certificate) -> None:
    verdict = decide(an_estimate(0.3, 0.4, 0.3), 1, certificate)
    assert verdict.word == "not_assessable"
    assert "below the certified" in verdict.reason


@pytest.mark.parametrize("expected", [0, 3, 40])
def test_a_record_that_the_photo_contradicts_is_suspect(certificate: Certificate, expected: int) -> None:
    assert decide(an_estimate(0.0, 0.9, 0.08, 0.02), expected, certificate).word == "suspect"


def test_a_record_that_it_does_not_bear_out_is_not(certificate: Certificate) -> None:
    assert decide(an_estimate(0.0, 0.6, 0.38, 0.02), 2, certificate).word == "not_assessable"


def test_it_is_suspect_where_the_count_costs_less_than_the_error() -> None:
    estimate = an_estimate(0.05, 0.5, 0.4, 0.05)
    off = decide(estimate, 2).units_off
    assert 0 < off < 0.25
    assert decide(estimate, 2).word == "not_assessable"
    assert decide(estimate, 2, costs=Costs(count=45, wrong_unit=45 / off * 1.01)).word == "suspect"
    assert decide(estimate, 2, costs=Costs(count=45, wrong_unit=45 / off * 0.99)).word == "not_assessable"


def test_where_records_err_more_often_more_of_them_are_suspect() -> None:
    estimate = an_estimate(0.05, 0.6, 0.3, 0.05)
    rare, often = (decide(estimate, 2, errors=RecordErrors(rate=rate)) for rate in (0.01, 0.4))
    assert rare.p_record == often.p_record == 0.3
    assert rare.p_right > often.p_right
    assert (rare.word, often.word) == ("not_assessable", "suspect")


@given(st.floats(0.001, 0.999), st.floats(1e-3, 1e3))
def test_neither_prior_nor_costs_can_have_more_verified(certificate: Certificate, rate: float, cost: float) -> None:
    below = an_estimate(0.3, 0.4, 0.3)
    found = decide(below, 1, certificate, errors=RecordErrors(rate=rate), costs=Costs(count=cost, wrong_unit=1))
    assert found.word != "verified"


@pytest.mark.parametrize("values", [{"count": 0.0}, {"wrong_unit": -1.0}, {"count": float("nan")}])
def test_impossible_costs_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"`0 < {next(iter(values))}`"):
        Costs(**values)


def test_a_record_of_many_is_compared_with_the_last_answer() -> None:
    many = CountEstimate(photo="p", probs=(*[0.0] * 20, 1.0))
    assert decide(many, 35).word == "not_assessable"
    assert decide(many, 35).p_record == 1


def test_a_flagged_photo_verifies_nothing_and_accuses_nobody(certificate: Certificate) -> None:
    for expected in (1, 9):
        verdict = decide(an_estimate(0.0, 1.0, flags=("blurred", "dark")), expected, certificate)
        assert (verdict.word, verdict.reason) == ("not_assessable", "the photo is blurred and dark")


def test_the_narrowest_band_is_the_one_in_force(certificate: Certificate) -> None:
    band = band_for(certificate, 1, 0.05)
    assert band is not None
    assert (band.low, band.high) == (1, 1), "and not 0 to 2, which is certified as well"
    assert band_for(certificate, 20, 0.05) is None


def test_a_negative_record_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="expected >= 0"):
        decide(an_estimate(1.0), -1)
