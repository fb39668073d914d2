"""Accuracy of records by name, and how well suspects were chosen, against figures worked out by hand."""

import numpy as np
import pytest

from binsight.audit.effort import Curve
from binsight.audit.measures import (
    CountedBin,
    Measure,
    Tolerance,
    exact_interval,
    lift,
    record_accuracy,
    suspects,
    units_per_100_counts,
)
from binsight.decision.resample import ratio_interval

BINS = [
    CountedBin(expected=10, counted=10, unit_value=1.0),
    CountedBin(expected=10, counted=9, unit_value=100.0),
    CountedBin(expected=5, counted=6, unit_value=None),
    CountedBin(expected=0, counted=0, unit_value=3.0),
    CountedBin(expected=15, counted=10, unit_value=1.0),
]


def by_name(measures: list[Measure]) -> dict[str, Measure]:
    return {measure.name: measure for measure in measures}


def test_each_accuracy_has_its_own_name_tolerance_and_n() -> None:
    found = by_name(record_accuracy(BINS, Tolerance(units=1)))
    assert found["IRA by bins, exact"].value == 2 / 5
    assert found["IRA by bins, within tolerance"].value == 4 / 5
    assert found["IRA by bins, within tolerance"].tolerance == "±1"
    assert found["IRA by units, absolute"].value == pytest.approx(1 - 7 / 40)
    assert found["IRA by value, absolute"].value == pytest.approx(1 - (100 + 5) / (10 + 1000 + 15))
    assert found["IRA by value, absolute"].n == 4
    assert found["IRA by bins, exact"].n == 5
    many = by_name(record_accuracy(BINS * 10))["IRA by units, absolute"]
    assert many.interval is not None
    assert many.interval.low < 1 - 7 / 40 < many.interval.high


def test_errors_do_not_cancel_and_may_be_more_than_the_stock() -> None:
    bins = [CountedBin(expected=1, counted=9), CountedBin(expected=8, counted=0)]
    assert by_name(record_accuracy(bins))["IRA by units, absolute"].value == pytest.approx(1 - 16 / 9)


def test_without_tolerance_and_values_there_are_two_figures() -> None:
    bins = [CountedBin(expected=1, counted=1)]
    assert [m.name for m in record_accuracy(bins)] == ["IRA by bins, exact", "IRA by units, absolute"]


def test_a_share_of_what_is_expected_is_a_tolerance() -> None:
    tolerance = Tolerance(share=0.1)
    assert str(tolerance) == "±0.1 of expected"
    assert [tolerance.allows(one) for one in BINS] == [True, True, False, True, False]
    with pytest.raises(ValueError, match="`0 <= units`"):
        Tolerance(units=-1)


def test_a_share_has_the_interval_of_clopper_and_pearson() -> None:
    """Published for 10 of 100, and by the rule of three for none of 100."""
    interval = exact_interval(10, 100)
    assert (interval.low, interval.high) == (pytest.approx(0.0490, abs=1e-4), pytest.approx(0.1762, abs=1e-4))
    none = exact_interval(0, 100)
    assert (none.low, none.high) == (0, pytest.approx(1 - 0.025 ** (1 / 100)))


def test_the_exact_interval_holds_the_truth_at_least_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for num_right in rng.binomial(40, 0.9, 400).tolist():
        interval = exact_interval(num_right, 40)
        held += interval.low <= 0.9 <= interval.high
    assert held >= 0.93 * 400


def test_bins_of_a_chain_count_as_one_witness() -> None:
    """The same bins ten times over: with chains the interval stays as wide as of the ten, without it narrows."""
    rng = np.random.default_rng(1)
    wrong = rng.random(40) < 0.3
    alone = [CountedBin(expected=5, counted=5 + int(w)) for w in wrong.tolist() for _ in range(10)]
    chained = [
        CountedBin(expected=5, counted=5 + int(w), chain=str(i))
        for i, w in enumerate(wrong.tolist())
        for _ in range(10)
    ]
    for name in ("IRA by bins, exact", "IRA by units, absolute"):
        narrow, wide = (by_name(record_accuracy(bins))[name].interval for bins in (alone, chained))
        assert narrow is not None
        assert wide is not None
        assert wide.high - wide.low > 2.5 * (narrow.high - narrow.low)


def test_where_no_error_was_seen_units_have_no_interval_and_bins_have_one() -> None:
    found = by_name(record_accuracy([CountedBin(expected=3, counted=3)] * 50))
    assert found["IRA by units, absolute"] == Measure(
        name="IRA by units, absolute", value=1.0, n=50, interval=None, tolerance="exact"
    )
    interval = found["IRA by bins, exact"].interval
    assert interval is not None
    assert 0.9 < interval.low < interval.high == 1


def test_nothing_counted_is_nothing_measured() -> None:
    assert all(m.value is None and m.interval is None and m.n == 0 for m in record_accuracy([]))
    assert units_per_100_counts([]).value is None
    assert by_name(record_accuracy([CountedBin(expected=0, counted=2)]))["IRA by units, absolute"].value is None


def test_precision_and_recall_of_suspects() -> None:
    suspect = np.array([True, True, True, False, False, False])
    wrong = np.array([True, False, False, True, True, True])
    precision, recall = suspects(suspect, wrong)
    assert (precision.value, precision.n) == (1 / 3, 3)
    assert (recall.value, recall.n) == (1 / 4, 4)
    assert precision.interval == exact_interval(1, 3)
    by_chain, _ = suspects(suspect, wrong, ["a"] * 6)
    assert by_chain.interval is None, "one chain says nothing"
    nothing, _ = suspects(np.zeros(6, dtype=bool), wrong)
    assert (nothing.value, nothing.n) == (None, 0)
    with pytest.raises(ValueError, match="as many"):
        suspects(suspect, wrong[:3])


def test_units_of_error_are_given_for_a_hundred_counts() -> None:
    found = units_per_100_counts(BINS * 10)
    assert found.value == pytest.approx(100 * 7 / 5)
    assert found.interval is not None
    assert found.interval.low < 140 < found.interval.high


def test_the_lift_is_how_many_times_as_much_is_gained() -> None:
    ours, other = Curve((0.0, 10.0, 100.0), (0.0, 5.0, 10.0)), Curve((0.0, 100.0), (0.0, 10.0))
    assert lift(ours, other, 10) == 5
    assert lift(ours, other, 100) == 1
    assert lift(ours, Curve((0.0, 100.0), (0.0, 0.0)), 10) is None


def test_a_ratio_of_sums_has_an_interval_by_chain_unless_nothing_was_seen() -> None:
    groups = [str(i) for i in range(30)]
    under, over = np.full(30, 2.0), np.arange(30) / 10
    interval = ratio_interval(over, under, groups)
    assert interval is not None
    assert interval.low < over.sum() / under.sum() < interval.high
    assert ratio_interval(np.zeros(30), under, groups) is None
    assert ratio_interval(over[:9], under[:9], groups[:9]) is None
