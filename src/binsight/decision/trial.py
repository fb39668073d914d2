"""Whether what was promoted stays: from what it does in service, beside what the model before it did. A pure function.

```
promoted ─▶ a time on trial ─┬─ fails, slow, drifts, certificate broken ─▶ roll back, with the reason
                             └─ nothing of that, long enough, on enough photos ─▶ it stays
```
A model is taken back for what is its own fault: photos that drift under both models drift whoever counts them, and going
back would mend nothing.
"""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Limits(BaseModel):
    """On what terms a promoted model is taken back, and when it has stood its trial."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    hours: float = Field(24, gt=0, description="Hours of service that the trial takes at least.")
    photos: int = Field(500, ge=1, description="Photos that it must count meanwhile.")
    failed_share: float = Field(0.02, ge=0, le=1, description="Share of its photos and requests that may fail …")
    least: int = Field(
        20, ge=1, description="… where there were so many; fewer say nothing, of failures or of time."
    )
    slower: float = Field(2.0, gt=1, description="Times the former model's 95th percentile that it may take.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What a model did in service: photos and those that failed by its fault, and the 95th percentile of its time.

    `p95_s` is None where nothing was counted. `drift` is a sentence where its photos drift, else empty.
    """

    num_photos: int
    num_failed: int
    p95_s: float | None
    drift: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnTrial:
    """All that is known at one look: the promoted model, the one before (None where that did not serve here), and requests
    since the trial began, with those that failed. `certificate` says why its certificate is broken, `refused` why it could
    not be taken into service at all; else they are empty."""

    seconds: float
    now: Service
    before: Service | None
    num_requests: int = 0
    num_failed_requests: int = 0
    certificate: str = ""
    refused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialVerdict:
    """`roll_back`, `stays`, or `goes_on`, with the reason."""

    word: Literal["roll_back", "stays", "goes_on"]
    reason: str


def judge(found: OnTrial, limits: Limits) -> TrialVerdict:
    """What to do with the promoted model now."""
    if fault := _fault(found, limits):
        return TrialVerdict(word="roll_back", reason=fault)
    hours, photos = found.seconds / 3600, found.now.num_photos
    so_far = f"{photos:,} photos in {hours:.1f} hours of service without a fault"
    if hours >= limits.hours and photos >= limits.photos:
        return TrialVerdict(word="stays", reason=so_far)
    return TrialVerdict(word="goes_on", reason=f"{so_far}; {limits.photos:,} in {limits.hours:g} hours are asked")


def _fault(found: OnTrial, limits: Limits) -> str:
    """What is wrong with it, as a sentence; empty where nothing is."""
    now, before = found.now, found.before
    if found.refused:
        return f"it cannot be taken into service: {found.refused}"
    tried = now.num_photos + now.num_failed
    if tried >= limits.least and now.num_failed > limits.failed_share * tried:
        return f"it failed on {now.num_failed:,} of {tried:,} photos, where {limits.failed_share:.1%} may fail"
    if found.num_requests >= limits.least and found.num_failed_requests > limits.failed_share * found.num_requests:
        return (
            f"{found.num_failed_requests:,} of {found.num_requests:,} requests failed since, where "
            f"{limits.failed_share:.1%} may fail"
        )
    if found.certificate:
        return f"its certificate is broken: {found.certificate}"
    if now.drift and not (before and before.drift):
        return f"photos drift by its measure: {now.drift}"
    if before and min(now.num_photos, before.num_photos) >= limits.least and _is_slower(now, before, limits):
        return (
            f"95% of its photos take up to {(now.p95_s or 0) * 1000:.0f} ms, those of the model before it took "
            f"{(before.p95_s or 0) * 1000:.0f} ms, where {limits.slower:g} times that is admitted"
        )
    return ""


def _is_slower(now: Service, before: Service, limits: Limits) -> bool:
    return now.p95_s is not None and before.p95_s is not None and now.p95_s > limits.slower * before.p95_s
