"""Captures that people added a count to, as counted bins of a retraining.

```
captures, in either layout ─┐
counts added since ─────────┴─▶ joined ─▶ a row each: photo, count, and with what probability it was kept
```
A service keeps a share of its requests by lot, so that a photo that it kept stands for one over that share. Which of them
people then count must not depend on what is in them: else they stand for more than they do.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from binsight.lifecycle.counted import CAPTURED, CountedBin
from binsight.settings import Settings
from binsight.storage.api_key import stamp
from binsight.storage.captures import Capture, Truth, joined, open_captures, open_truths


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """The rows of all captures that have a count and a photo, and when the count of each was added."""

    rows: Sequence[CountedBin] = ()
    counted_at: Sequence[datetime] = ()

    @property
    def number(self) -> int:
        """How many there are that can join."""
        return sum(not row.problem for row in self.rows)

    @property
    def until(self) -> str | None:
        """When the last was added; None where none was."""
        return stamp(max(self.counted_at)) if self.counted_at else None

    def number_since(self, until: str | None) -> int:
        """How many that can join were added after a moment that `until` gave; None is before all.

        By moments and not by how many there were: retention deletes old ones while new ones come.
        """
        pairs = zip(self.rows, self.counted_at, strict=True)
        return sum(not row.problem and (until is None or stamp(at) > until) for row, at in pairs)


def labels_of(chosen: Settings) -> Labels:
    """The labelled captures that the settings name, in the order of time. Raises as the ledger and the store do."""
    if not chosen.capture or not (truths := open_truths(chosen).read()):
        return Labels()
    kept = open_captures(chosen)
    try:
        pairs = [
            (capture, truth)
            for capture, truth in joined(kept.read(), truths)
            if truth is not None and capture.photo_at is not None
        ]
    finally:
        kept.close()
    times = Counter(truth.about for _, truth in pairs)
    return Labels(
        rows=tuple(_row(capture, truth, is_alone=times[truth.about] == 1) for capture, truth in pairs),
        counted_at=tuple(truth.counted_at for _, truth in pairs),
    )


def _row(capture: Capture, truth: Truth, *, is_alone: bool) -> CountedBin:
    assert capture.photo_at is not None
    problem = "" if is_alone else f"several captures have the inference id {truth.about}; label it by its event id"
    return CountedBin(
        task=capture.event_id,
        audit="",
        site="",
        bin_id=str(capture.fields.get("bin_label") or capture.inference_id or capture.event_id),
        origin=CAPTURED,
        photo=capture.photo_at,
        photo_sha256=capture.photo_sha256 or "",
        quantity=truth.count,
        probability=_probability(capture.share),
        problem=problem,
    )


def _probability(share: float | None) -> float:
    """With which a capture was kept; one of which nobody knows that stands for itself alone."""
    return share if share is not None and 0 < share <= 1 else 1.0
