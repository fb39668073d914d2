"""Certificates: which wrong records are tried, what is certified of them, and that the bound holds as often as said."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from binsight.decision.certificate import Band, BandCertificate, Certificate, binomial_tail
from binsight.decision.certify import (
    GRID_T,
    cases_needed,
    certify,
    default_bands,
    learn_threshold,
    one_a_chain,
    upper_bounds,
    wrong_records,
)
from binsight.decision.confirm import binomial_interval, broken_bands, confirm
from binsight.decision.measures import count_prior
from binsight.errors import MissingExtra

from .certify_support import poisson_world, twos

ONE = Band(1, 1)


def band_of(certificate: Certificate, name: str, alpha: float = 0.05) -> BandCertificate:
    return next(band for band in certificate.bands if (band.name, band.alpha) == (name, alpha))


def certify_ones(scores: np.ndarray, groups: list[str], *, alpha: float = 0.05) -> BandCertificate:
    """Photos of two items whose record says 1: certify the band of ones."""
    probs, counts = twos(scores)
    return certify(probs, counts, groups, np.full(4, 0.25), bands=[ONE], alphas=[alpha]).bands[0]


def alone(num: int) -> list[str]:
    """A chain for every photo."""
    return [f"g{i}" for i in range(num)]


# Wrong records


def test_wrong_records_are_one_off_either_way_and_never_below_nothing() -> None:
    """Counts 0, 1, 3 of a network that knows 0 … 4+: the record 4 of a three is left out, as it stands for many."""
    wrong = wrong_records(np.array([0, 1, 3]), 5)
    pairs = sorted(zip(wrong.photo_W.tolist(), wrong.recorded_W.tolist(), strict=True))
    assert pairs == [(0, 1), (1, 0), (1, 2), (2, 2)]


def test_counts_above_the_last_make_no_wrong_record_but_the_one_just_below() -> None:
    wrong = wrong_records(np.array([4, 5, 9]), 5)
    assert (wrong.photo_W.tolist(), wrong.recorded_W.tolist()) == ([0], [3])


def test_a_bands_wrong_records_are_those_recorded_in_it() -> None:
    """Chains a (counts 0, 2) and b (count 3): recorded as 1 both of a's are possible, b's is not."""
    probs, counts, groups = np.full((3, 6), 1 / 6), np.array([0, 2, 3]), ["a", "a", "b"]
    ones, threes = (one_a_chain(probs, counts, groups, Band(n, n)) for n in (1, 3))
    assert ones.recorded_W.tolist() == [1] and ones.photo_W[0] in (0, 1)
    assert (threes.photo_W.tolist(), threes.recorded_W.tolist()) == ([1], [3])


def test_a_chain_gives_one_wrong_record_each_of_its_equally_often() -> None:
    probs, counts = np.full((4, 6), 1 / 6), np.array([2, 2, 2, 0])
    groups = ["a", "a", "a", "b"]
    drawn = [one_a_chain(probs, counts, groups, ONE, seed=seed).photo_W.tolist() for seed in range(600)]
    assert all(len(photos) == 2 and 3 in photos for photos in drawn)
    times = np.bincount([min(photos) for photos in drawn], minlength=3)
    assert (np.abs(times - 200) < 50).all()  # more than four standard deviations


def test_neither_the_order_of_photos_nor_other_bands_change_what_is_certified() -> None:
    probs, counts, groups = poisson_world(300)
    prior = count_prior(counts, 21)
    whole = certify(probs, counts, groups, prior)
    back = certify(probs[::-1], counts[::-1], groups[::-1], prior)
    assert whole == back
    assert certify(probs, counts, groups, prior, bands=[ONE], alphas=[0.05]).bands == (band_of(whole, "1"),)


def test_the_default_bands_end_below_the_last_count() -> None:
    assert default_bands(21)[-2:] == ((3, 5), (6, 19))
    assert default_bands(6) == ((0, 0), (1, 1), (2, 2), (0, 2), (3, 4))
    assert default_bands(2) == ((0, 0),)


# Numbers


@pytest.mark.parametrize(
    ("alpha", "num_accepted", "least"), [(0.05, 0, 59), (0.01, 0, 299), (0.001, 0, 2995), (0.05, 1, 93)]
)
def test_how_many_wrong_records_a_bound_needs(alpha: float, num_accepted: int, least: int) -> None:
    assert cases_needed(alpha, num_accepted=num_accepted) == least
    assert binom.cdf(num_accepted, least, alpha) <= 0.05 < binom.cdf(num_accepted, least - 1, alpha)


@pytest.mark.parametrize(("alpha", "least"), [(0.05, 59), (0.01, 299)])
def test_one_wrong_record_fewer_than_needed_is_refused_and_says_so(alpha: float, least: int) -> None:
    found = certify_ones(np.full(least, 0.2), alone(least), alpha=alpha)
    assert (found.threshold, found.num_accepted, found.reason) == (0.201, 0, None)
    refused = certify_ones(np.full(least - 1, 0.2), alone(least - 1), alpha=alpha)
    assert refused.threshold is None
    assert refused.reason == f"needs at least {least} wrong-record cases, one a chain of bins; has {least - 1}"


def test_a_model_that_is_sure_of_wrong_records_is_refused_with_what_would_do() -> None:
    scores = np.where(np.arange(80) < 3, 1.0, 0.1)
    found = certify_ones(scores, alone(80))
    assert (found.threshold, found.num_accepted) == (None, 3)
    assert found.reason is not None
    assert found.reason.startswith("3 of 80 wrong-record cases pass even the strictest threshold, 0.9999")
    assert found.reason.endswith(f"at least {cases_needed(0.05, num_accepted=3)} cases")


def test_a_threshold_is_the_lowest_that_the_bound_allows() -> None:
    """Of 93 wrong records one may pass at 5%: the threshold lies just above the second highest score."""
    scores = np.array([0.9, 0.5, *[0.1] * 91])
    found = learn_threshold(scores, alpha=0.05)
    assert (found.threshold, found.num_accepted) == (0.501, 1)
    assert learn_threshold(scores[:-1], alpha=0.05).threshold == 0.901  # 92: not even one


@pytest.mark.parametrize(("num_accepted", "num_cases"), [(0, 1), (0, 59), (3, 80), (79, 80), (80, 80), (150, 4000)])
def test_the_bounds_are_those_of_clopper_and_pearson(num_accepted: int, num_cases: int) -> None:
    one_sided = binomtest(num_accepted, num_cases, alternative="less").proportion_ci(0.95).high
    assert upper_bounds(np.array([num_accepted]), num_cases, delta=0.05)[0] == pytest.approx(one_sided)
    both = binomtest(num_accepted, num_cases).proportion_ci(0.95)
    interval = binomial_interval(num_accepted, num_cases)
    assert (interval.low, interval.high) == pytest.approx((both.low, both.high))


@given(st.integers(0, 400), st.integers(0, 400), st.floats(0.001, 0.999))
def test_the_tail_that_readers_work_out_is_the_binomial_one(a: int, b: int, rate: float) -> None:
    num_accepted, num_cases = min(a, b), max(a, b)
    assert binomial_tail(num_accepted, num_cases, rate) == pytest.approx(binom.cdf(num_accepted, num_cases, rate))


@given(st.integers(0, 30), st.integers(1, 400), st.sampled_from([0.01, 0.05, 0.2]))
def test_the_bound_is_at_most_alpha_exactly_where_the_p_value_is_at_most_delta(
    k: int, n: int, alpha: float
) -> None:
    k = min(k, n)
    assert (upper_bounds(np.array([k]), n, delta=0.05)[0] <= alpha) == (binom.cdf(k, n, alpha) <= 0.05)


@given(st.integers(0, 10_000))
@hypothesis_settings(max_examples=25)
def test_a_looser_bound_never_verifies_less(seed: int) -> None:
    probs, counts, groups = poisson_world(300, seed=seed)
    found = certify(probs, counts, groups, count_prior(counts, 21), alphas=[0.05, 0.1, 0.3])
    for band in default_bands(21):
        strict, loose, loosest = (b for b in found.bands if (b.low, b.high) == band)
        thresholds = [b.threshold or 1.0 for b in (strict, loose, loosest)]
        assert thresholds == sorted(thresholds, reverse=True)
        assert strict.coverage <= loose.coverage <= loosest.coverage


def test_a_record_at_the_threshold_is_verified() -> None:
    probs = np.array([[0, 0.6, 0.4, 0]] * 12 + [[0, 0.5, 0.5, 0]] * 12 + [[0, 0.599, 0.401, 0]] * 80)
    counts = np.array([1] * 24 + [2] * 80)
    found = certify(probs, counts, alone(104), np.full(4, 0.25), bands=[ONE], alphas=[0.05]).bands[0]
    assert (found.threshold, found.num_right, found.coverage) == (0.6, 24, 0.5)
    assert found.coverage_interval is not None
    assert found.coverage_interval.low < 0.5 < found.coverage_interval.high


# Whether it holds


def worlds_broken(size: int, *, chained: bool, num_worlds: int = 400, alpha: float = 0.05) -> float:
    """The share of worlds whose threshold lets more than `alpha` of wrong records pass.

    A world is 93 chains of `size` photos that all get their chain's score, evenly from 0 to 1; so a threshold t lets
    1 - t pass. Where not `chained`, every photo counts as a chain.
    """
    broken = 0
    for seed in range(num_worlds):
        scores = np.repeat(np.random.default_rng(seed).uniform(size=93), size)
        groups = [f"g{i // size}" for i in range(len(scores))] if chained else alone(len(scores))
        threshold = certify_ones(scores, groups, alpha=alpha).threshold
        broken += threshold is not None and 1 - threshold > alpha + 1e-9
    return broken / num_worlds


@pytest.mark.parametrize("size", [1, 8])
def test_the_bound_fails_as_seldom_as_it_says(size: int) -> None:
    """At most 5% of worlds, to three standard deviations; and not never, or it would be too strict to be of use."""
    assert 0.02 <= worlds_broken(size, chained=True) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def test_taking_every_photo_for_a_trial_of_its_own_would_fail_far_more_often() -> None:
    """Why one a chain: the same worlds, eight photos a chain, each taken for itself."""
    assert worlds_broken(8, chained=False, num_worlds=200) > 0.2


def test_a_blind_score_verifies_nothing() -> None:
    """Neither beside the model nor as the model itself: wrong records look as good to it as right ones."""
    probs, counts, groups = poisson_world(1500)
    prior = count_prior(counts, 21)
    seeing = certify(probs, counts, groups, prior)
    assert band_of(seeing, "0").coverage > 0.8
    assert all(band.blind_coverage == 0 for band in seeing.bands)
    assert certify(np.tile(prior, (len(counts), 1)), counts, groups, prior).verifying == ()


def test_a_blind_score_is_shown_where_it_is_better_than_the_model() -> None:
    """Nearly all bins hold one item, so that a record of 1 is seldom wrong and needs no look; the model sees nothing."""
    counts = np.array([1] * 200 + [0] * 4)
    prior, empty = np.array([0.02, 0.9, 0.06, 0.01, 0.01]), np.array([0.95, 0.05, 0, 0, 0])
    model = np.tile(empty, (len(counts), 1))
    found = certify(model, counts, alone(204), prior, bands=[Band(0, 2)], alphas=[0.05]).bands[0]
    assert found.coverage == 0
    assert found.blind_coverage == 200 / 204


# On other photos


def test_a_certificate_of_the_same_world_is_not_contradicted_by_other_photos() -> None:
    probs, counts, groups = poisson_world(1500, seed=1)
    certificate = certify(probs, counts, groups, count_prior(counts, 21))
    checks = confirm(certificate, *poisson_world(1500, seed=2))
    assert [check.certified for check in checks] == list(certificate.certified)
    assert {check.finding for check in checks} <= {"confirmed", "not contradicted"}
    for check in checks:
        assert check.false_accepts == check.num_accepted / check.num_wrong


def test_a_model_that_has_become_too_sure_breaks_the_bound() -> None:
    probs, counts, groups = poisson_world(1500, seed=1)
    certificate = certify(probs, counts, groups, count_prior(counts, 21))
    probs, counts, groups = poisson_world(1500, seed=2)
    shifted = np.roll(probs, 1, axis=1)  # says one too many, as sure as ever
    broken = {
        check.certified.name for check in confirm(certificate, shifted, counts, groups) if check.finding == "broken"
    }
    assert {"1", "0-2"} <= broken


def test_a_certificate_is_seldom_found_broken_by_chance_and_by_a_worse_model_surely() -> None:
    """However many bands are tried: of 60 other worlds none is to find it, where 2.5% for each band would find several."""
    probs, counts, groups = poisson_world(800, seed=1)
    certificate = certify(probs, counts, groups, count_prior(counts, 21))
    worlds = [poisson_world(800, seed=seed) for seed in range(2, 62)]
    assert sum(bool(broken_bands(certificate, *world, alpha=0.05, level=0.005)) for world in worlds) <= 1
    probs, counts, groups = worlds[0]
    broken = broken_bands(certificate, np.roll(probs, 1, axis=1), counts, groups, alpha=0.05, level=0.005)
    assert {"1", "0-2"} <= {band.name for band in broken}
    assert {band.alpha for band in broken} == {0.05}


def test_photos_without_wrong_records_neither_confirm_nor_break() -> None:
    certificate = certify(*poisson_world(600), np.full(21, 1 / 21))
    probs = np.eye(21)[[20]]
    for check in confirm(certificate, probs, [25], ["a"]):
        assert (check.false_accepts, check.coverage, check.finding) == (None, 0, "not tried")


def test_a_certificate_for_another_number_of_counts_is_refused() -> None:
    certificate = certify(*poisson_world(100), np.full(21, 1 / 21))
    with pytest.raises(ValueError, match="for estimates of 21 counts, but these have 5"):
        confirm(certificate, np.full((2, 5), 0.2), [1, 2], ["a", "b"])


# What is refused


def test_arrays_that_do_not_fit_together_are_refused() -> None:
    probs, counts, groups = poisson_world(10)
    with pytest.raises(ValueError, match=r"one group per photo \(10\) .* but got 9"):
        certify(probs, counts, groups[:-1], np.full(21, 1 / 21))
    with pytest.raises(ValueError, match=r"prior of shape \(21,\) are needed"):
        certify(probs, counts, groups, np.full(20, 1 / 20))
    with pytest.raises(ValueError, match=r"one group per photo \(10\), but got 9"):
        confirm(certify(probs, counts, groups, np.full(21, 1 / 21)), probs, counts, groups[:-1])


def test_without_scipy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    with pytest.raises(MissingExtra, match=r"certifying needs .*binsight\[data\]"):
        learn_threshold(np.zeros(3), alpha=0.05)


def test_the_grid_runs_from_strict_to_lenient_without_accepting_everything() -> None:
    assert (np.diff(GRID_T) < 0).all()
    assert (GRID_T[0], GRID_T[-1]) == (0.9999, 0.001)
