"""Which bins people are sent to, in which order, and what that gains beside chance, classes and the best there is."""

import random
import time
from collections.abc import Sequence
from itertools import combinations, permutations

import pytest

from binsight.audit.batches import chosen
from binsight.audit.effort import Curve, by_chance, by_class, in_order
from binsight.audit.lines import AuditLine
from binsight.audit.places import place_of, walking_key
from binsight.audit.plan import ABC, OURS, RANDOM, Labour, plan_counts
from binsight.records import StockRecord

FLAT = Labour(count=10, item=0, aisle=0)


def line(
    bin_id: str,
    units_off: float = 1.0,
    *,
    expected: int = 5,
    aisle: str | None = None,
    word: str = "suspect",
    unit_value: float | None = None,
    item_class: str | None = None,
    site: str | None = None,
) -> AuditLine:
    record = StockRecord(
        bin_id=bin_id,
        expected=expected,
        row=2,
        aisle=aisle,
        site=site,
        unit_value=unit_value,
        item_class=item_class,
    )
    return AuditLine(
        record=record, word=word, reason="", estimate=None, p_record=None, p_right=0.5, units_off=units_off
    )


# Where bins are.


@pytest.mark.parametrize(
    ("bin_id", "aisle"),
    [
        ("A-03-17", "A-03"),
        ("P-7-A379C224", "P-7"),
        ("A17", "A"),
        ("A.4", "A"),
        ("lane 4/6", "lane 4"),
        ("123", ""),
        ("-5", ""),
        ("dock", "dock"),
    ],
)
def test_where_no_aisle_is_named_it_is_the_beginning_of_the_bin(bin_id: str, aisle: str) -> None:
    assert place_of(StockRecord(bin_id=bin_id, expected=1, row=2)) == ("", aisle)
    assert place_of(StockRecord(bin_id=bin_id, expected=1, row=2, aisle="7", site="X")) == ("X", "7")


def test_people_walk_past_bin_2_before_bin_10() -> None:
    ids = ["A-10", "A-2", "A-2b", "A", "B-1", "A-002", "A-" + "9" * 5000, "A-1-1"]
    assert sorted(ids, key=walking_key) == ["A", "A-1-1", "A-002", "A-2", "A-2b", "A-10", ids[6], "B-1"]


# Which bins.


def best_of_all(
    gains: Sequence[float], seconds: Sequence[float], aisles: Sequence[str], enter: float, budget: float
) -> float:
    """The most that any set of bins gains within the budget, by trying all of them."""
    places, best = range(len(gains)), 0.0
    for size in range(len(gains) + 1):
        for some in combinations(places, size):
            cost = sum(seconds[i] for i in some) + enter * len({aisles[i] for i in some})
            if cost <= budget:
                best = max(best, sum(gains[i] for i in some))
    return best


def test_no_choice_is_far_below_the_best_and_its_bound_never_below() -> None:
    """200 small warehouses with walks as long as three counts, solved by trying every set of bins."""
    rng = random.Random(4)
    shares = []
    for _ in range(200):
        num = rng.randint(3, 9)
        gains = [rng.expovariate(2) for _ in range(num)]
        seconds = [rng.uniform(20, 80) for _ in range(num)]
        aisles = [rng.choice("ABC") for _ in range(num)]
        budget, enter = rng.uniform(150, 500), rng.choice([0.0, 60.0, 150.0])
        best = best_of_all(gains, seconds, aisles, enter, budget)
        ours = chosen(gains, seconds, aisles, enter, budget)
        cost = sum(seconds[i] for i in ours.bins) + enter * len({aisles[i] for i in ours.bins})
        assert ours.seconds == pytest.approx(cost)
        assert cost <= budget
        assert ours.gain == pytest.approx(sum(gains[i] for i in ours.bins))
        assert ours.gain <= best + 1e-9 <= ours.at_most + 2e-9
        if best:
            shares.append(ours.gain / best)
    assert sum(shares) / len(shares) > 0.97
    assert min(shares) > 0.6


def test_between_two_pieces_the_choice_is_the_best_there_is() -> None:
    gains, seconds = [5.0, 4.0, 3.0, 6.0, 1.0], [10.0, 10.0, 10.0, 10.0, 10.0]
    aisles, enter = ["A", "A", "B", "B", "B"], 20.0
    for budget in (40, 80, 90):  # A whole; and B's opening of two; and the last bin
        ours = chosen(gains, seconds, aisles, enter, budget)
        assert ours.seconds == budget
        assert ours.gain == ours.at_most == best_of_all(gains, seconds, aisles, enter, budget)


def test_a_bin_in_an_aisle_that_is_visited_anyway_comes_before_a_better_one_that_is_far() -> None:
    lines = [line("A-1", 1.0), line("A-2", 0.6), line("B-1", 0.9)]
    labour = Labour(count=10, item=0, aisle=60)
    near = plan_counts(lines, labour=labour, budget=100)
    assert [task.bin_id for task in near.tasks] == ["A-1", "A-2"]
    assert [task.walk for task in near.tasks] == [60, 0]
    assert near.seconds == 80
    far = plan_counts(lines, labour=Labour(count=10, item=0, aisle=0), budget=20)
    assert [task.bin_id for task in far.tasks] == ["A-1", "B-1"]


def test_one_bin_that_is_worth_all_others_is_taken_though_it_takes_long() -> None:
    lines = [line("A-1", 0.5, expected=0), line("A-2", 20.0, expected=100)]
    plan = plan_counts(lines, labour=Labour(count=1, item=1, aisle=0), budget=101)
    assert [task.bin_id for task in plan.tasks] == ["A-2"]
    assert plan.gain <= plan.at_most


def test_bins_that_take_less_labour_come_first_where_they_gain_as_much() -> None:
    lines = [line("A-1", expected=40), line("A-2", expected=2)]
    plan = plan_counts(lines, labour=Labour(count=30, item=3, aisle=60), budget=100)
    assert [(task.bin_id, task.seconds) for task in plan.tasks] == [("A-2", 36)]


def test_tasks_are_walked_aisle_by_aisle_and_site_by_site() -> None:
    ids = ["A-2", "B-1", "A-10", "A-1"]
    lines = [line(bin_id, 1 + i, site=site) for site in ("S2", "S1") for i, bin_id in enumerate(ids)]
    plan = plan_counts(lines)
    walked = ["A-1", "A-2", "A-10", "B-1"]
    assert [(task.site, task.bin_id) for task in plan.tasks] == [(s, b) for s in ("S1", "S2") for b in walked]
    assert [task.walk > 0 for task in plan.tasks] == [True, False, False, True] * 2, (
        "the same aisle of another site"
    )
    assert plan.seconds == plan.all_seconds == sum(task.seconds + task.walk for task in plan.tasks)


def test_by_value_a_dear_unit_comes_before_two_cheap_ones() -> None:
    lines = [line("A-1", 2.0, unit_value=1.0), line("A-2", 1.0, unit_value=50.0), line("A-3", 9.0)]
    by_value = plan_counts(lines, labour=FLAT, budget=10, by_value=True)
    assert [(task.bin_id, task.gain) for task in by_value.tasks] == [("A-2", 50)]
    assert by_value.num_without_value == 1
    assert [task.bin_id for task in plan_counts(lines, labour=FLAT, budget=10).tasks] == ["A-3"]


def test_verified_bins_are_not_counted_but_cost_those_who_know_no_photos() -> None:
    lines = [line("A-1", 0.5), line("A-2", 0.3, word="verified"), line("A-3", 0.1, word="stale")]
    plan = plan_counts(lines, labour=FLAT)
    assert [task.bin_id for task in plan.tasks] == ["A-1", "A-3"]
    assert plan.curves[OURS].seconds[-1] == 20
    assert plan.curves[RANDOM].seconds[-1] == plan.curves[ABC].seconds[-1] == plan.all_seconds == 30


def test_no_lines_and_no_budget_make_an_empty_plan() -> None:
    for plan in (plan_counts([]), plan_counts([line("A-1")], budget=0)):
        assert list(plan.tasks) == []
        assert (plan.gain, plan.seconds) == (0, 0)
        assert plan.curves[OURS].at(1) >= 0


@pytest.mark.parametrize("budget", [-1.0, float("nan")])
def test_a_budget_that_is_none_is_refused(budget: float) -> None:
    with pytest.raises(ValueError, match="`budget >= 0` must hold"):
        plan_counts([], budget=budget)


@pytest.mark.parametrize(
    "values", [{"count": 0.0}, {"item": -1.0}, {"aisle": float("inf")}, {"count": float("nan")}]
)
def test_labour_that_is_none_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(values))}` must hold"):
        Labour(**values)


def test_many_lines_are_planned_in_seconds_from_a_stream() -> None:
    rng = random.Random(1)
    started = time.perf_counter()
    plan = plan_counts((line(f"A{i % 300}-{i}", rng.random()) for i in range(20_000)), budget=20_000)
    assert time.perf_counter() - started < 20, "under 1 s where nothing else runs"
    assert 0.99 * plan.at_most < plan.gain <= plan.at_most


# What others gain in the same time.


def test_the_random_curve_is_the_mean_of_all_orders() -> None:
    gains, seconds, aisles, enter = [3.0, 1.0, 0.5, 2.0, 4.0], [10.0, 20.0, 30.0, 40.0, 50.0], "AABCA", 100.0
    orders = list(permutations(range(5)))
    curve = by_chance(gains, seconds, aisles, enter)
    for k in range(6):
        starts = [order[:k] for order in orders]
        cost = [sum(seconds[i] for i in s) + enter * len({aisles[i] for i in s}) for s in starts]
        assert curve.seconds[k] == pytest.approx(sum(cost) / len(cost))
        assert curve.gain[k] == pytest.approx(sum(gains[i] for s in starts for i in s) / len(starts))


def test_a_curve_is_straight_between_its_points_and_flat_after_its_end() -> None:
    curve = Curve((0.0, 10.0, 30.0), (0.0, 5.0, 9.0))
    assert [curve.at(s) for s in (0, 5, 10, 20, 30, 99)] == [0, 2.5, 5, 7, 9, 9]


def test_a_long_curve_keeps_its_ends_and_few_points() -> None:
    curve = in_order(range(5000), [1.0] * 5000, [2.0] * 5000, ["A"] * 5000, 7.0, num_points=50)
    assert len(curve.seconds) == 51
    assert (curve.seconds[0], curve.seconds[-1], curve.gain[-1]) == (0, 10_007, 5000)


def test_abc_counts_class_a_first_and_without_classes_what_is_worth_most() -> None:
    assert by_class(["b", "A", None, "A"], [1, 1, 99, 2], [1, 1, 99, 5]) == [3, 1, 0, 2]
    assert by_class([None] * 3, [2.0, 9.0, None], [5, 1, 50]) == [0, 1, 2]
    assert by_class([None] * 3, [None] * 3, [5, 1, 50]) == [2, 0, 1]


def test_ours_is_never_behind_what_chance_and_classes_are_expected_to_gain() -> None:
    rng = random.Random(2)
    lines = [
        line(f"{rng.choice('ABCDEF')}-{i}", rng.expovariate(1), expected=rng.randint(0, 20)) for i in range(300)
    ]
    curves = plan_counts(lines).curves
    for seconds in curves[RANDOM].seconds:
        for other in (RANDOM, ABC):
            assert curves[OURS].at(seconds) >= curves[other].at(seconds) - 1e-9
