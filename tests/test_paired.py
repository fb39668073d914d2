"""Which of two models is right more often: exact tests by photo and by chain."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest

from binsight.decision.paired import mean_difference, paired


def answers(both: int, ours: int, theirs: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    first = np.repeat([True, True, False, False], [both, ours, theirs, neither])
    second = np.repeat([True, False, True, False], [both, ours, theirs, neither])
    return first, second


@pytest.mark.parametrize(("ours", "theirs"), [(0, 0), (1, 0), (30, 12), (12, 30), (700, 550), (1500, 1400)])
def test_mcnemars_p_is_the_binomial_one(ours: int, theirs: int) -> None:
    first, second = answers(100, ours, theirs, 200)
    found = paired(first, second, [str(i) for i in range(len(first))])
    assert (found.both, found.only_ours, found.only_theirs, found.neither) == (100, ours, theirs, 200)
    expected = binomtest(ours, ours + theirs, alternative="greater").pvalue if ours + theirs else 1.0
    assert found.p == pytest.approx(expected, rel=1e-9)
    assert found.p_by_chain == pytest.approx(expected, rel=1e-9), (
        "where every chain is one photo, both are the same"
    )
    assert found.difference == pytest.approx((ours - theirs) / len(first))


def test_by_chain_is_what_tossing_every_chains_coin_gives() -> None:
    """Against all 2^9 tosses, with chains of several sizes."""
    rng = np.random.default_rng(4)
    chains = np.repeat(np.arange(9), [1, 1, 2, 2, 3, 3, 4, 5, 6])
    first, second = rng.random((2, len(chains))) < [[0.7], [0.4]]
    sums = np.bincount(chains, first.astype(float) - second)
    tosses = [float(np.dot(signs, np.abs(sums))) for signs in product((1, -1), repeat=9)]
    expected = np.mean([toss >= sums.sum() - 1e-9 for toss in tosses])
    assert paired(first, second, chains.astype(str).tolist()).p_by_chain == pytest.approx(expected)


def test_copies_of_a_photo_are_one_piece_of_evidence() -> None:
    first, second = answers(0, 12, 4, 20)
    alone = paired(first, second, [str(i) for i in range(36)])
    copied = paired(np.repeat(first, 5), np.repeat(second, 5), np.repeat(np.arange(36), 5).astype(str).tolist())
    assert copied.p < 1e-5 < alone.p, "McNemar's test counts every copy"
    assert copied.p_by_chain == pytest.approx(alone.p_by_chain)


def test_a_standard_error_is_of_chains() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=400)
    each = [str(i) for i in range(400)]
    plain = mean_difference(values, each)
    assert plain.standard_error == pytest.approx(values.std(ddof=1) / 20)
    copies = mean_difference(np.repeat(values, 3), np.repeat(each, 3).tolist())
    assert copies.standard_error == pytest.approx(plain.standard_error), "copies make nothing surer"
    assert mean_difference(values, ["a"] * 400).standard_error is None


def test_photos_without_a_partner_are_refused() -> None:
    with pytest.raises(ValueError, match="a pair of answers and a group for each photo"):
        paired(np.array([True]), np.array([True, False]), ["a"])
