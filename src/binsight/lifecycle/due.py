"""Whether a retraining is due: one pure function of what is known and of the terms.

```
new counts ─┐            no new count, or one has just ended ─▶ not due
drift ──────┼─▶ due? ───▶ any of the three ─▶ due, for these reasons
a date ─────┘            the clock was set back ─▶ not due by date, which counts from now on
```
Which counts are new is told by numbers, and which labels of captures by each other's moments. Only the date needs the clock
here: one that jumps ahead makes one retraining due, since the date counts from there; one that jumps back starts the date
anew instead of waiting for the old moment to come again. And without a new count nothing is due, whatever the clock says.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from binsight.lifecycle.terms import Due

CLOCK_ERROR = timedelta(minutes=10)
"""Clocks of two machines may differ by so much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known: trusted counts now and at the last retraining, and since when the date counts (None: never did).

    `num_labelled` captures got a count since. `drift` is a sentence where the champion's certificate is suspended, or where
    services see drift that no retraining has answered, else empty. `has_retrained`: there was one before.
    """

    now: datetime
    num_counts: int
    num_counts_before: int
    since: datetime | None
    has_retrained: bool
    drift: str = ""
    num_labelled: int = 0

    @property
    def num_new(self) -> int:
        """Counts that no retraining has seen; none where the ledger holds fewer than before."""
        return max(0, self.num_counts - self.num_counts_before) + self.num_labelled


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether it is due, a sentence that says why or why not, and whether the date is to count from now on."""

    is_due: bool
    sentence: str
    starts_date: bool = False


def is_due(facts: Facts, terms: Due) -> Verdict:
    """The verdict on what is known."""
    was_set_back = facts.since is not None and facts.now < facts.since - CLOCK_ERROR
    starts_date = facts.since is None or was_set_back
    elapsed = timedelta(0) if starts_date or facts.since is None else facts.now - facts.since
    note = "; the clock was set back, and the date counts from now on" if was_set_back else ""
    if not facts.num_new:
        return Verdict(
            is_due=False,
            sentence=f"not due: no bin was counted since the last retraining{_though(facts)}{note}",
            starts_date=starts_date,
        )
    if facts.has_retrained and elapsed < timedelta(hours=terms.rest_hours):
        left = timedelta(hours=terms.rest_hours) - elapsed
        return Verdict(
            is_due=False,
            sentence=f"not due: the last one ended less than {terms.rest_hours:g} hours ago; "
            f"{left.total_seconds() / 3600:.1f} hours are left{note}",
            starts_date=starts_date,
        )
    reasons = _reasons(facts, terms, elapsed)
    if reasons:
        return Verdict(is_due=True, sentence="due: " + "; ".join(reasons) + note, starts_date=starts_date)
    return Verdict(
        is_due=False, sentence=f"not due: {_short_of(facts, terms, elapsed)}{note}", starts_date=starts_date
    )


def _reasons(facts: Facts, terms: Due, elapsed: timedelta) -> list[str]:
    reasons = []
    if terms.counts is not None and facts.num_new >= terms.counts:
        reasons.append(f"{facts.num_new:,} new counts, {terms.counts:,} make it due")
    if terms.drift and facts.drift:
        reasons.append(facts.drift)
    if terms.days is not None and elapsed >= timedelta(days=terms.days):
        reasons.append(f"{elapsed.days} days since the last one, {terms.days:g} make it due")
    return reasons


def _short_of(facts: Facts, terms: Due, elapsed: timedelta) -> str:
    """What there is, and what would make it due."""
    parts = [f"{facts.num_new:,} new counts"]
    if terms.counts is not None:
        parts[0] += f" of {terms.counts:,}"
    if terms.days is not None:
        parts.append(f"{elapsed.total_seconds() / 86400:.1f} days of {terms.days:g}")
    if terms.drift:
        parts.append("no drift")
    return ", ".join(parts)


def _though(facts: Facts) -> str:
    return f", though {facts.drift}; have bins counted: binsight audit --tasks" if facts.drift else ""
