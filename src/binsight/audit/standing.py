"""Where a certificate stands, as the acts on it in the journal tell: pure functions.

```
used ─▶ audited (draw, bands, drift) ─▶ counted ─▶ … ─▶ suspended ─▶ reinstated ─▶ audited ─▶ …
```
The last of *suspended* and *reinstated* says whether it is in force. Who reinstates a certificate takes it over: its age,
and what counts say of it, begin anew.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from binsight.decision.surveillance import MAX_AGE, DrawnCount, Reason, State, state_of
from binsight.storage.ledger.certificates import AUDITED, COUNTED, REINSTATED, SUSPENDED, USED
from binsight.storage.ledger.journal import Entry

DrawnLine = tuple[str, float]
"""The band of a verified line that was drawn, and what the certificate implies for it."""


@dataclass(slots=True, kw_only=True)
class Standing:
    """What is known of one certificate. `began` is when its time began to run, `counts` are those since then.

    `reasons` are those of its suspension, and empty while it is in force; `by` and `at` are of the last act that put it out
    of force or in again. `drift` is what was said of the last audit's photos.
    """

    sha256: str
    model: str = ""
    began: datetime | None = None
    is_dated: bool = False
    reasons: tuple[Reason, ...] = ()
    by: str = ""
    at: str = ""
    why: str = ""
    num_audits: int = 0
    num_drawn: int = 0
    counts: list[DrawnCount] = field(default_factory=list)
    drift: Mapping[str, Any] | None = None
    counted: dict[str, set[int]] = field(default_factory=dict)
    drawn: dict[str, dict[int, DrawnLine]] = field(default_factory=dict)

    @property
    def is_in_force(self) -> bool:
        return not self.reasons

    def state(self, now: datetime, *, max_age: timedelta = MAX_AGE) -> State:
        """What its counts and its age say now."""
        return state_of(self.began, self.counts, None, now, max_age=max_age)

    def take(self, entry: Entry) -> None:
        """Take the next act in."""
        body = entry.body
        if entry.kind == USED and self.began is None:
            self.model, self.is_dated = body["model"], bool(body["made_at"])
            self.began = moment(body["made_at"] or entry.at)
        elif entry.kind == AUDITED:
            self._take_audit(body)
        elif entry.kind == COUNTED:
            self._take_counts(body)
        elif entry.kind == SUSPENDED:
            self.reasons = tuple(Reason(why=one["why"], sentence=one["sentence"]) for one in body["reasons"])
            self.by, self.at, self.why = entry.by, entry.at, ""
        elif entry.kind == REINSTATED:
            self.reasons, self.counts, self.began = (), [], moment(entry.at)
            self.by, self.at, self.why = entry.by, entry.at, body["reason"]

    def _take_audit(self, body: Mapping[str, Any]) -> None:
        self.num_audits += 1
        self.drift = body["drift"]
        bounds = {name: band["bound"] for name, band in body["bands"].items()}
        self.drawn[body["audit"]] = {place: (band, bounds[band]) for place, band in body["drawn"] if band}
        self.num_drawn += len(self.drawn[body["audit"]])

    def _take_counts(self, body: Mapping[str, Any]) -> None:
        drawn, seen = self.drawn.get(body["audit"], {}), self.counted.setdefault(body["audit"], set())
        for place, counted, expected in body["counts"]:
            if place in drawn and place not in seen:
                band, bound = drawn[place]
                self.counts.append(DrawnCount(band=band, bound=bound, wrong=counted != expected))
            seen.add(place)


def standing_of(sha256: str, acts: Iterable[Entry]) -> Standing:
    """What the acts on a certificate come to."""
    standing = Standing(sha256=sha256)
    for entry in acts:
        standing.take(entry)
    return standing


def moment(text: str) -> datetime:
    """A moment as the journal and certificates write it; UTC where it says no zone."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def reasons_json(state: Iterable[Reason]) -> list[dict[str, str]]:
    return [{"why": one.why, "sentence": one.sentence} for one in state]
