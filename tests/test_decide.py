"""The step in which an estimate and a record meet."""

import numpy as np
import pytest
from tests.certify_support import poisson_world

from binsight.decision.certificate import Certificate
from binsight.decision.certify import certify
from binsight.decision.decide import band_for, decide
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


@pytest.mark.parametrize(
    ("expected", "word"), [(0, "suspect"), (3, "suspect"), (40, "suspect"), (2, "not_assessable")]
)
def test_a_record_that_the_photo_contradicts_is_suspect(certificate: Certificate, expected: int, word: str) -> None:
    verdict = decide(an_estimate(0.0, 0.9, 0.08, 0.02), expected, certificate)
    assert verdict.word == word


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
