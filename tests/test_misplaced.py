"""Neighbours of which one is short and the other over: one finding, where both photos say so."""

import pytest

from binsight.audit.lines import AuditLine, Judging, judged, unseen
from binsight.audit.misplaced import Misplaced
from binsight.audit.plan import plan_counts
from binsight.decision.belief import RecordErrors
from binsight.records import CountEstimate, StockRecord

BY = Judging(certificate=None)


def seen(bin_id: str, expected: int, count: int, *, skus: tuple[str, ...] = (), sure: float = 0.99) -> AuditLine:
    """A line whose photo shows `count` items, quite surely."""
    probs = [(1 - sure) / 20] * 21
    probs[count] = sure
    estimate = CountEstimate(photo=f"{bin_id}.jpg", probs=tuple(probs))
    return judged(StockRecord(bin_id=bin_id, expected=expected, row=2, skus=skus), estimate, BY)


def without_photo(bin_id: str, expected: int) -> AuditLine:
    return unseen(StockRecord(bin_id=bin_id, expected=expected, row=2), "no photo", BY)


def test_neighbours_one_short_and_one_over_by_as_many_are_one_finding() -> None:
    lines = [seen("A-10", 4, 6), seen("A-9", 7, 5), seen("A-1", 3, 3)]
    found = plan_counts(lines).misplaced
    assert found == (Misplaced(site="", aisle="A", short="A-9", over="A-10", units=2),)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (seen("A-1", 4, 6), seen("A-2", 5, 7)),
        (seen("A-1", 4, 6), seen("A-2", 7, 6)),
        (seen("A-1", 4, 6), seen("B-1", 7, 5)),
        (seen("A-1", 4, 6, skus=("x",)), seen("A-2", 7, 5, skus=("y",))),
        (seen("A-1", 4, 6), seen("A-2", 7, 7)),
        (seen("A-1", 18, 20), seen("A-2", 7, 5)),
        (seen("A-1", 20, 5, sure=1 - 1e-9), seen("A-2", 4, 19, sure=1 - 1e-9)),
        (without_photo("A-1", 4), seen("A-2", 7, 5)),
    ],
    ids=[
        "both over",
        "not as many",
        "another aisle",
        "other items",
        "one right",
        "many",
        "many recorded",
        "no photo",
    ],
)
def test_other_neighbours_are_no_finding(one: AuditLine, other: AuditLine) -> None:
    assert plan_counts([one, other]).misplaced == ()


def test_neighbours_pair_where_they_share_an_item_or_none_is_known() -> None:
    for skus, others in ((("x", "y"), ("y", "z")), (("x",), ()), ((), ())):
        assert plan_counts([seen("A-1", 4, 6, skus=skus), seen("A-2", 7, 5, skus=others)]).misplaced


def test_a_bin_between_two_is_in_one_finding_only() -> None:
    lines = [seen("A-1", 4, 6), seen("A-2", 7, 5), seen("A-3", 4, 6)]
    assert [(m.short, m.over) for m in plan_counts(lines).misplaced] == [("A-2", "A-1")]


def test_a_bin_between_two_that_has_no_photo_keeps_them_from_being_neighbours() -> None:
    assert plan_counts([seen("A-1", 4, 6), without_photo("A-2", 3), seen("A-3", 7, 5)]).misplaced == ()


def test_what_is_likely_by_photo_and_by_how_records_err_is_paired() -> None:
    """The photo alone says two short rather than one, but errors of two are rarer."""
    probs = [0.0] * 21
    probs[3], probs[4], probs[5] = 0.51, 0.48, 0.01
    short = judged(StockRecord(bin_id="A-1", expected=5, row=2), CountEstimate(photo="a", probs=tuple(probs)), BY)
    assert [m.units for m in plan_counts([short, seen("A-2", 6, 7)]).misplaced] == [1]


def test_an_estimate_that_leans_both_ways_says_neither() -> None:
    """Its likeliest other count is above the record, its mean below."""
    probs = [0.3, 0.2, 0.1, 0.05, 0.01, 0.34] + [0.0] * 15
    unsure = judged(StockRecord(bin_id="A-1", expected=4, row=2), CountEstimate(photo="a", probs=tuple(probs)), BY)
    assert unsure.word == "suspect"
    other = seen("A-2", 7, 6)
    assert plan_counts([unsure, other], errors=RecordErrors(ratio=0.01)).misplaced == ()
