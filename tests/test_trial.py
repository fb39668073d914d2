"""Whether a promoted model stays: decided by what it does in service."""

from dataclasses import replace

import pytest

from binsight.decision.trial import Limits, OnTrial, Service, judge

LIMITS = Limits(hours=24, photos=500, failed_share=0.02, least=20, slower=2.0)
WELL = Service(num_photos=600, num_failed=0, p95_s=0.05)
FOUND = OnTrial(seconds=3600, now=WELL, before=WELL, num_requests=600)


def test_a_model_without_fault_stays_after_its_time_and_its_photos() -> None:
    assert judge(FOUND, LIMITS).word == "goes_on"
    assert judge(replace(FOUND, seconds=24 * 3600), LIMITS).word == "stays"
    few = replace(FOUND, seconds=24 * 3600, now=replace(WELL, num_photos=499))
    assert judge(few, LIMITS).word == "goes_on"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"now": replace(WELL, num_photos=97, num_failed=3)}, "it failed on 3 of 100 photos, where 2.0% may fail"),
        ({"num_failed_requests": 13}, "13 of 600 requests failed since, where 2.0% may fail"),
        ({"certificate": "too many were wrong"}, "its certificate is broken: too many were wrong"),
        ({"now": replace(WELL, drift="photos are darker")}, "photos drift by its measure: photos are darker"),
        (
            {"now": replace(WELL, p95_s=0.101)},
            "95% of its photos take up to 101 ms, those of the model before it took 50 ms, where 2 times that is admitted",
        ),
    ],
)
def test_failures_time_drift_and_a_broken_certificate_take_it_back(changes: dict[str, object], reason: str) -> None:
    verdict = judge(replace(FOUND, **changes), LIMITS)  # type: ignore[arg-type]
    assert (verdict.word, verdict.reason) == ("roll_back", reason)
    late = replace(FOUND, seconds=48 * 3600, **changes)  # type: ignore[arg-type]
    assert judge(late, LIMITS).word == "roll_back"


def test_just_within_its_limits_it_goes_on() -> None:
    within = replace(
        FOUND,
        now=replace(WELL, num_photos=98, num_failed=2, p95_s=0.1),
        num_failed_requests=12,
    )
    assert judge(within, LIMITS).word == "goes_on"


def test_so_few_photos_or_requests_say_nothing() -> None:
    few = replace(WELL, num_photos=9, num_failed=10, p95_s=9.0)
    assert judge(replace(FOUND, now=few, num_requests=19, num_failed_requests=19), LIMITS).word == "goes_on"
    barely = replace(few, num_photos=10)
    assert judge(replace(FOUND, now=barely), LIMITS).word == "roll_back"


def test_photos_that_drift_under_both_models_are_no_fault_of_the_new_one() -> None:
    drifting = replace(WELL, drift="photos are darker")
    assert judge(replace(FOUND, now=drifting, before=drifting), LIMITS).word == "goes_on"
    assert judge(replace(FOUND, now=drifting, before=None), LIMITS).word == "roll_back"


def test_a_model_that_nobody_can_be_compared_with_is_not_too_slow() -> None:
    slow = replace(WELL, p95_s=9.0)
    assert judge(replace(FOUND, now=slow, before=None), LIMITS).word == "goes_on"
    assert judge(replace(FOUND, now=slow, before=replace(WELL, num_photos=3)), LIMITS).word == "goes_on"
    assert judge(replace(FOUND, now=slow, before=replace(WELL, p95_s=None)), LIMITS).word == "goes_on"
