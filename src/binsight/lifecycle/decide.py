"""Promote, keep or refuse: one pure function of what was found and of the terms.

```
a fact that forbids judging (leak, age, changed set, unknown training, spent budget, …) ─▶ refuse
both tests of exact answers pass, and nothing else is lost beyond its margin ────────────▶ promote
otherwise, no difference among it ───────────────────────────────────────────────────────▶ keep
```
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from binsight.lifecycle.checks import Check, checks
from binsight.lifecycle.comparison import Comparison, SetFacts, TrainingFacts, plain
from binsight.lifecycle.policy import PromotionPolicy

Word = Literal["promote", "keep", "refuse"]
CLOCK_ERROR = timedelta(minutes=10)
"""Clocks of two machines may differ by so much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionDecision:
    """What to do, why, and all that was checked on the way: none where it was refused."""

    word: Word
    reasons: tuple[str, ...]
    checks: tuple[Check, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Everything, in plain values."""
        decision: dict[str, Any] = plain(self)
        return decision


def decide(comparison: Comparison, policy: PromotionPolicy) -> PromotionDecision:
    """The decision on a comparison. Raises `ValueError` for one without figures that nothing stands against."""
    obstacles = tuple(refusals(comparison, policy))
    if obstacles:
        return PromotionDecision(word="refuse", reasons=obstacles)
    if comparison.figures is None:
        raise ValueError("nothing stands against this comparison, and yet it has no figures")
    checked = tuple(checks(comparison, comparison.figures, policy))
    failed = tuple(check.sentence for check in checked if check.passed is False)
    if failed:
        return PromotionDecision(word="keep", reasons=failed, checks=checked)
    passed = tuple(check.sentence for check in checked if check.decides)
    return PromotionDecision(word="promote", reasons=passed, checks=checked)


def refusals(comparison: Comparison, policy: PromotionPolicy) -> Iterator[str]:
    """Why no comparison on this set may be judged, whatever the figures say; nothing where it may."""
    if comparison.champion.version == comparison.challenger.version:
        yield f"the challenger is the champion itself ({comparison.champion.version}); name another version"
    yield from refusals_of_set(comparison.promotion_set, policy, comparison.compared_at)
    yield from _of_training(comparison.training)


def refusals_of_set(found: SetFacts, policy: PromotionPolicy, now: str) -> Iterator[str]:
    """Why a set may judge nobody at this moment; nothing where it may."""
    if not found.frozen_at:
        yield f"the promotion set {found.name} was never frozen; freeze it first: binsight models freeze"
    elif found.frozen_sha256 != found.sha256:
        yield (
            f"the promotion set {found.name} was frozen as {found.frozen_sha256[:12]}…, but is {found.sha256[:12]}… now; "
            "restore it, or freeze another under a name of its own"
        )
    if found.changed:
        yield f"photo {found.changed} of the promotion set is not the one that was frozen; restore the dataset"
    if found.frozen_at:
        yield from _of_age(found, policy, now)
    if found.num_photos < policy.min_photos or found.num_groups < policy.min_chains:
        yield (
            f"a promotion set must have {policy.min_photos:,} photos in {policy.min_chains:,} chains of bins or more, but "
            f"{found.name} has {found.num_photos:,} in {found.num_groups:,}; freeze a larger one"
        )
    if found.shared_with:
        yield (
            f"more than half of the photos of {found.name} are those of {found.shared_with}, whose looks they would "
            f"repeat; compare on {found.shared_with}, or freeze photos that were not looked at"
        )
    elif found.frozen_at and found.look is None:
        yield (
            f"the promotion set {found.name} has judged its {found.max_looks} challengers; one more would be promoted "
            "by chance too easily: freeze a new set"
        )


def _of_age(found: SetFacts, policy: PromotionPolicy, now: str) -> Iterator[str]:
    age = _moment(now) - _moment(found.frozen_at)
    if age < -CLOCK_ERROR:
        yield f"{found.name} was frozen at {found.frozen_at[:16]}, which is yet to come; set the clock right"
    if age > timedelta(days=policy.max_age_days):
        yield (
            f"the promotion set {found.name} must be at most {policy.max_age_days:g} days old, but was frozen "
            f"{age.days} days ago: bins and cameras change; freeze a new set"
        )


def _of_training(training: TrainingFacts) -> Iterator[str]:
    if training.missing:
        yield f"the challenger's training photos cannot be looked for in the promotion set: {training.missing}"
    if training.num_leaks:
        first = training.leaks[0]
        yield (
            f"{training.num_leaks:,} training photos of the challenger are in the promotion set too (first "
            f"{first.training}, {first.kind} as {first.promotion}); take them out of the training, and train again"
        )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
