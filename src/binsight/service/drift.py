"""The last photos of each bundle in service, compared now and then with what its training saw.

```
lane ─▶ note: one row of figures ─▶ a ring a bundle ─▶ look (a thread of its own) ─▶ gauges, /v1/drift, alerts
```
A lane does no more than append a row. Rows hold no pixels and no names.
"""

import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from binsight.counting.counter import Seen
from binsight.decision.drift import Drift, measure_drift
from binsight.decision.features import features_of
from binsight.decision.reference import LEAST_PHOTOS, Reference
from binsight.records import CountEstimate
from binsight.service.metrics import Metrics
from binsight.service.served import Served

MOST_MODELS = 4
"""Bundles whose photos are kept: the champion, the one before, and what is being tried beside them."""
IDLE_S = 3600
"""A bundle that counts nothing for so long, while another one does, is out of service: its figures are let go."""
SETTLED_AFTER = 2
"""Looks in a row, each at new photos, that must agree before the state changes: a single odd one rings no bell."""

State = Literal["no_reference", "too_few_photos", "usual", "drifting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftState:
    """What is known of one bundle's photos. `state` is what the last looks agree on, `drift` the newest look."""

    model: str
    state: State
    num_photos: int
    reference: Reference | None
    drift: Drift | None = None
    looked_at: float | None = None
    """Seconds since 1970."""

    @property
    def sentence(self) -> str:
        """For a person."""
        if self.reference is None:
            return "the bundle has no reference to compare photos with; make one with: binsight reference"
        if self.drift is None:
            return f"{self.num_photos} photos were counted so far; drift is told from {LEAST_PHOTOS} on"
        if self.state == "drifting" and not self.drift.is_drifting:
            return f"{self.drift.sentence}, but lately were not; the next look will tell"
        if self.state == "usual" and self.drift.is_drifting:
            return f"{self.drift.sentence}; the next look will tell whether this lasts"
        return self.drift.sentence


@dataclass(slots=True)
class _Window:
    rows: deque[tuple[float, ...]]
    state: DriftState
    noted_at: float = 0.0
    num_noted: int = 0
    num_looked_at: int = 0
    verdicts: deque[bool] = field(default_factory=lambda: deque(maxlen=SETTLED_AFTER))


class DriftWatch:
    """The rings of all bundles, each of the last `window` photos. Safe to use from several threads."""

    def __init__(self, metrics: Metrics, *, window: int) -> None:
        self._metrics, self._window = metrics, window
        self._windows: dict[str, _Window] = {}
        self._changed = threading.Lock()

    def note(self, served: Served, seen: Seen, estimate: CountEstimate) -> None:
        """Keep the figures of one photo that a bundle has counted."""
        row = features_of(seen.quality, seen.num_bytes, estimate)
        with self._changed:
            window = self._window_of(served)
            window.rows.append(row)
            window.num_noted += 1
            window.noted_at = time.monotonic()

    def states(self) -> list[DriftState]:
        """What is known of each bundle, the one that counted last first."""
        with self._changed:
            windows = sorted(self._windows.values(), key=lambda window: -window.noted_at)
            return [replace(window.state, num_photos=len(window.rows)) for window in windows]

    def is_drifting(self, model: str) -> bool:
        """Whether the photos of the bundle NAME:VERSION drift."""
        window = self._windows.get(model)
        return window is not None and window.state.state == "drifting"

    def look(self) -> None:
        """Compare each ring of which a tenth is new with its reference, and tell the metrics.

        A tenth of at least 100 photos is ten: looks in a row share most of their photos, and yet none is repeated.
        """
        with self._changed:
            self._let_go()
            due = [window for window in self._windows.values() if _is_due(window)]
            rings = [np.array(window.rows) for window in due]
            for window in due:
                window.num_looked_at = window.num_noted
        for window, rows_BF in zip(due, rings, strict=True):
            assert window.state.reference is not None
            drift = measure_drift(window.state.reference, rows_BF)
            window.verdicts.append(drift.is_drifting)
            window.state = replace(window.state, state=_settled(window), drift=drift, looked_at=time.time())
            self._metrics.drift.tell(window.state.model, drift, is_drifting=window.state.state == "drifting")

    def _window_of(self, served: Served) -> _Window:
        window = self._windows.get(served.name)
        if window is None:
            state = DriftState(
                model=served.name,
                state="too_few_photos" if served.reference else "no_reference",
                num_photos=0,
                reference=served.reference,
            )
            window = self._windows[served.name] = _Window(deque(maxlen=self._window), state)
        return window

    def _let_go(self) -> None:
        """Forget the bundles that are out of service, and in any case all but the last few."""
        newest = sorted(self._windows, key=lambda model: -self._windows[model].noted_at)
        for place, model in enumerate(newest):
            idle = self._windows[newest[0]].noted_at - self._windows[model].noted_at
            if place >= MOST_MODELS or idle > IDLE_S:
                del self._windows[model]
                self._metrics.drift.forget(model)


def _is_due(window: _Window) -> bool:
    if window.state.reference is None or len(window.rows) < LEAST_PHOTOS:
        return False
    return window.num_noted - window.num_looked_at >= len(window.rows) / 10


def _settled(window: _Window) -> State:
    """The state that the last looks agree on; where they do not, the one before."""
    if len(window.verdicts) == SETTLED_AFTER and len(set(window.verdicts)) == 1:
        return "drifting" if window.verdicts[0] else "usual"
    return "drifting" if window.state.state == "drifting" else "usual"
