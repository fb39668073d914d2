"""Promote, keep or refuse: one pure function, every term of which can turn the word."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from binsight.decision.paired import MeanDifference, Paired
from binsight.decision.resample import SCORE_NAMES, Interval
from binsight.decision.scores import Scores
from binsight.errors import BadInput
from binsight.lifecycle.comparison import (
    Comparison,
    Contender,
    Difference,
    Figures,
    Leak,
    Measured,
    SetFacts,
    Slice,
    TrainingFacts,
)
from binsight.lifecycle.decide import decide
from binsight.lifecycle.page import decision_page
from binsight.lifecycle.policy import PromotionPolicy
from binsight.lifecycle.record import record_of

POLICY = PromotionPolicy()
SCORES = Scores(
    num_photos=5000,
    exact=0.4,
    within_one=0.8,
    mae=0.9,
    rmse=1.3,
    mae_of_median=0.8,
    rmse_of_mean=1.2,
    rps=0.6,
    nll=1.6,
    ece=0.03,
)
MEASURED = Measured(scores=SCORES, coverage=0.25, broken_bands=(), ms_per_photo=10.0)


def contender(version: str) -> Contender:
    return Contender(
        version=version, name="bins", sha256=version * 5, num_bytes=1000, num_counts=21, trained_on="d" * 64
    )


def figures(**changed: Any) -> Figures:
    """Of a challenger that is better by three points and loses nothing."""
    better = Difference(value=-0.05, interval=Interval(low=-0.08, high=-0.02))
    values: dict[str, Any] = {
        "champion": MEASURED,
        "challenger": MEASURED,
        "exact": Paired(
            num_photos=5000,
            num_groups=2000,
            both=1400,
            only_ours=700,
            only_theirs=550,
            neither=2350,
            p=1e-5,
            p_by_chain=2e-5,
        ),
        "differences": dict.fromkeys(SCORE_NAMES, better),
        "slices": (part("count", "3-5", 0.03, 0.009), part("size", "over 224 pixels", 0.03, 0.01)),
        "alpha": 0.05,
        "times_slower": 1.1,
    }
    return Figures(**values | changed)


def part(by: str, name: str, value: float, error: float, num_photos: int = 2000) -> Slice:
    return Slice(
        by=by,
        name=name,
        exact=MeanDifference(num_photos=num_photos, num_groups=900, value=value, standard_error=error),
    )


def comparison(found: Figures | None = None, *, training: Any = None, **of_set: Any) -> Comparison:
    facts: dict[str, Any] = {
        "name": "dataset/test",
        "dataset_sha256": "d" * 64,
        "split": "test",
        "where": {},
        "sha256": "5" * 64,
        "num_photos": 5000,
        "num_groups": 2000,
        "frozen_sha256": "5" * 64,
        "frozen_at": "2026-11-01T00:00:00+00:00",
        "look": 1,
        "max_looks": 10,
    }
    return Comparison(
        compared_at="2026-11-26T12:00:00+00:00",
        code={"binsight": "0.1.0", "git": "abc"},
        champion=contender("a" * 12),
        challenger=contender("b" * 12),
        promotion_set=SetFacts(**facts | of_set),
        training=training or TrainingFacts(datasets=("d" * 64,), num_photos=9000),
        figures=found,
    )


def test_a_better_challenger_that_loses_nothing_is_promoted() -> None:
    decision = decide(comparison(figures()), POLICY)
    assert decision.word == "promote"
    assert decision.reasons == (
        "+3.0 points of exact answers: the challenger alone is right on 700 photos, the champion alone on 550 "
        "(p = 1e-05, within 0.005)",
        "the same with the photos of each chain of bins taken together: p = 2e-05, within 0.005",
    )


def test_no_difference_keeps_the_champion() -> None:
    same = replace(figures().exact, only_ours=600, only_theirs=600, p=0.51, p_by_chain=0.51)
    decision = decide(comparison(figures(exact=same)), POLICY)
    assert decision.word == "keep"
    assert "(p = 0.51, above 0.005)" in decision.reasons[0]


WORSE = Difference(value=0.03, interval=Interval(low=0.0, high=0.06))
UNSURE = Difference(value=-0.01, interval=None)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (
            {"exact": replace(figures().exact, p_by_chain=0.02)},
            "of each chain of bins taken together: p = 0.02, above",
        ),
        ({"differences": {**figures().differences, "rps": WORSE}}, "ranked probability score +0.030 items"),
        ({"differences": {**figures().differences, "nll": WORSE}}, "log score +0.030 nats"),
        ({"differences": {**figures().differences, "rps": UNSURE}}, "too few chains of bins"),
        ({"differences": {**figures().differences, "ece": WORSE}}, "calibration error +3.0 points"),
        ({"slices": (part("count", "0", -0.021, 0.001),)}, "count 0: -2.1 points of exact answers on 2,000"),
        ({"slices": (part("brightness", "darkest third", -0.05, 0.03),)}, "-5.0 points"),
        (
            {"challenger": replace(MEASURED, coverage=None)},
            "the champion has a certificate and the challenger none",
        ),
        (
            {"challenger": replace(MEASURED, broken_bands=("0-2",))},
            "broken by these photos for records of 0-2",
        ),
        ({"challenger": replace(MEASURED, coverage=0.19)}, "19.0% of the right records verified at 5%"),
        ({"times_slower": 1.6}, "1.60 times the champion's 10.0"),
    ],
)
def test_every_term_by_itself_keeps_the_champion(changed: dict[str, Any], reason: str) -> None:
    decision = decide(comparison(figures(**changed)), POLICY)
    assert decision.word == "keep"
    assert len(decision.reasons) == 1, decision.reasons
    assert reason in decision.reasons[0]


def test_a_larger_bundle_is_kept_out_beyond_its_ratio() -> None:
    found = comparison(figures())
    large = replace(found, challenger=replace(found.challenger, num_bytes=4001))
    assert decide(large, POLICY).reasons == ("0.0 MB, 4.00 times the champion's, where 4 times is admitted",)


@pytest.mark.parametrize(
    "one",
    [part("count", "10+", -0.2, 0.01, num_photos=399), part("count", "0", -0.039, 0.025), part("x", "y", -0.02, 0)],
)
def test_small_parts_are_reported_and_small_losses_admitted(one: Slice) -> None:
    decision = decide(comparison(figures(slices=(one,))), POLICY)
    assert decision.word == "promote"


@pytest.mark.parametrize(
    ("of_set", "reason"),
    [
        ({"frozen_at": ""}, "was never frozen"),
        ({"frozen_sha256": "6" * 64}, "was frozen as 666666666666…, but is 555555555555… now"),
        ({"changed": "00012"}, "photo 00012 of the promotion set is not the one that was frozen"),
        ({"frozen_at": "2026-05-01T00:00:00+00:00"}, "at most 180 days old, but was frozen 209 days ago"),
        ({"frozen_at": "2026-11-27T12:00:00+00:00"}, "which is yet to come; set the clock right"),
        ({"num_photos": 399}, "must have 400 photos in 50 chains of bins or more, but dataset/test has 399"),
        ({"num_groups": 49}, "in 49; freeze a larger one"),
        ({"shared_with": "older/test"}, "more than half of the photos of dataset/test are those of older/test"),
        ({"look": None}, "has judged its 10 challengers"),
    ],
)
def test_a_set_that_cannot_be_trusted_refuses_whatever_the_figures_say(of_set: dict[str, Any], reason: str) -> None:
    decision = decide(comparison(figures(), **of_set), POLICY)
    assert decision.word == "refuse"
    assert len(decision.reasons) == 1
    assert reason in decision.reasons[0]
    assert decision.checks == ()


def test_training_that_is_unknown_or_leaks_refuses() -> None:
    unknown = TrainingFacts(missing="it was trained on the dataset abc…; name its folder with --training")
    leaked = TrainingFacts(num_leaks=2, leaks=(Leak(kind="the same file", training="7", promotion="9"),) * 2)
    for training, reason in ((unknown, "it was trained on"), (leaked, "first 7, the same file as 9")):
        decision = decide(comparison(figures(), training=training), POLICY)
        assert decision.word == "refuse"
        assert reason in decision.reasons[0]


def test_a_champion_is_not_its_own_challenger() -> None:
    found = comparison(figures())
    itself = replace(found, challenger=found.champion)
    assert decide(itself, POLICY).word == "refuse"


def test_a_comparison_without_figures_or_an_obstacle_is_a_fault_of_ours() -> None:
    with pytest.raises(ValueError, match="it has no figures"):
        decide(comparison(), POLICY)


def test_the_record_is_json_and_the_page_tells_what_was_decided() -> None:
    for found, title in (
        (comparison(figures()), "Promote bins bbbbbbbbbbbb"),
        (comparison(figures(slices=(part("count", "0", -0.1, 0.01),))), "Keep bins aaaaaaaaaaaa"),
        (comparison(look=None), "Not judged: bins bbbbbbbbbbbb"),
    ):
        decision = decide(found, POLICY)
        record = json.loads(json.dumps(record_of(found, decision, POLICY), allow_nan=False))
        assert record["decision"]["word"] == decision.word
        assert record["comparison"]["promotion_set"]["sha256"] == "5" * 64
        html = decision_page(found, decision, POLICY).html()
        assert f"<h1>{title}</h1>" in html
        assert all(reason[1:20] in html for reason in decision.reasons)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"alpha": "0.2"}, "alpha: input should be less than or equal to 0.05, but it is 0.2"),
        ({"slice_errors": "1"}, "slice_errors: input should be greater than or equal to 1.6"),
        ({"alfa": "0.01"}, "there is no term alfa; the terms are alpha, max_looks"),
        ({"alpha": "x"}, "alpha: input should be a valid number"),
    ],
)
def test_terms_that_are_none_are_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        PromotionPolicy.of(given)


def test_terms_can_be_changed() -> None:
    strict: Callable[[], PromotionPolicy] = lambda: PromotionPolicy.of({"alpha": "1e-6", "max_age_days": "10"})  # noqa: E731
    assert decide(comparison(figures()), strict()).word == "refuse"
