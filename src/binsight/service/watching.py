"""A thread that looks at the service every few seconds, and tells the alerts what began and what ended.

```
queue, errors, followed bundle, drift ─▶ Watchman.step ─▶ what changed since the last look ─▶ Alerts
```
"""

import logging
import time
from collections import deque
from collections.abc import Callable

from binsight.poller import Poller
from binsight.service.alerts import Alert, Alerts, Event
from binsight.service.drift import DriftWatch
from binsight.service.lanes import Lanes
from binsight.service.metrics import Metrics

log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
DRIFT_EVERY_S = 30.0
"""A comparison takes a core a tenth of a second."""

REFUSED_FROM = 0.05
"""Share of requests turned away with 503 …"""
REFUSED_WITHIN_S = 30.0
"""… of those in so long, where there were `LEAST_REQUESTS` …"""
SATURATED_FOR_S = 60.0
"""… at every look for so long. Not how many wait: the queue is short, and lanes take from it what they can carry, so that
it is seldom full when one looks, however many are turned away."""

ERRORS_HIGH_FROM = 0.05
"""Share of requests answered with a status of 500 or more, those of a full queue or a starting service aside …"""
ERRORS_WITHIN_S = 300.0
"""… of the requests in so long …"""
LEAST_REQUESTS = 20
"""… where there were as many."""

QUIET_S = 600.0
"""What has just been told is not told again for so long, however often it comes and goes."""


class _Lately:
    """What counts that only grow have gained in the last so many seconds."""

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self._seen: deque[tuple[float, tuple[float, ...]]] = deque()

    def gained(self, now: float, *counts: float) -> list[float]:
        """Since the first look within the time; nothing at the first of all."""
        self._seen.append((now, counts))
        while self._seen[0][0] < now - self._within_s:
            self._seen.popleft()
        return [count - before for count, before in zip(counts, self._seen[0][1], strict=True)]


class Watchman:
    """`step` is one look at what the service does; `start` looks until `stop`.

    `failed` says why the bundle that is followed could not be taken into service, None where it was.
    """

    def __init__(
        self,
        lanes: Lanes,
        drift: DriftWatch,
        metrics: Metrics,
        alerts: Alerts,
        *,
        failed: Callable[[], str | None] = lambda: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lanes, self._drift, self._metrics, self._alerts = lanes, drift, metrics, alerts
        self._failed, self._now = failed, now
        self._is_on: dict[str, bool] = {}
        self._told_at: dict[tuple[str, Event], float] = {}
        self._full_since: float | None = None
        self._refused, self._failures = _Lately(REFUSED_WITHIN_S), _Lately(ERRORS_WITHIN_S)
        self._drift_at = -DRIFT_EVERY_S
        self._said_failed: str | None = None
        self._poller = Poller(self.step, name="watchman", every_s=LOOK_EVERY_S)

    def start(self) -> None:
        """Look from now on."""
        self._poller.start()

    def stop(self) -> None:
        """Look no more."""
        self._poller.stop()

    def step(self) -> None:
        """One look."""
        self._look_at_queue()
        self._look_at_errors()
        self._look_at_bundle()
        if self._now() - self._drift_at >= DRIFT_EVERY_S:
            self._drift_at = self._now()
            self._look_at_drift()

    def _look_at_queue(self) -> None:
        total, _ = self._metrics.num_requests()
        requests, refused = self._refused.gained(self._now(), total, self._metrics.num_refused())
        if requests < LEAST_REQUESTS or refused < REFUSED_FROM * requests:
            self._full_since = None
        elif self._full_since is None:
            self._full_since = self._now()
        is_on = self._full_since is not None and self._now() - self._full_since >= SATURATED_FOR_S
        sentence = (
            f"{refused:.0f} of the last {requests:.0f} requests found no room, as for a minute; add replicas or send less"
            if is_on
            else "the queue has room again"
        )
        self._tell(
            "queue",
            is_on,
            "queue.saturated",
            "queue.relieved",
            sentence,
            requests=requests,
            refused=refused,
            waiting=self._lanes.num_waiting,
        )

    def _look_at_errors(self) -> None:
        requests, failed = self._failures.gained(self._now(), *self._metrics.num_requests())
        is_on = requests >= LEAST_REQUESTS and failed >= ERRORS_HIGH_FROM * requests
        sentence = (
            f"{failed:.0f} of the last {requests:.0f} requests failed for reasons that are the service's own; see its log"
            if is_on
            else f"{failed:.0f} of the last {requests:.0f} requests failed"
        )
        self._tell("errors", is_on, "errors.high", "errors.usual", sentence, requests=requests, failed=failed)

    def _look_at_bundle(self) -> None:
        failed = self._failed()
        if failed is not None and failed != self._said_failed:
            self._alerts.send(Alert(event="bundle.failed", sentence=failed))
        self._said_failed = failed

    def _look_at_drift(self) -> None:
        self._drift.look()
        states = self._drift.states()
        for what in set(self._is_on) - {"queue", "errors"} - {_drift_of(state.model) for state in states}:
            self._tell(
                what, False, "drift.began", "drift.ended", f"the {what} is over: the bundle is out of service"
            )
        for state in states:
            names = [feature.name for feature in state.drift.drifting] if state.drift else []
            self._tell(
                _drift_of(state.model),
                state.state == "drifting",
                "drift.began",
                "drift.ended",
                state.sentence,
                model=state.model,
                features=names,
                num_photos=state.num_photos,
            )

    def _tell(self, what: str, is_on: bool, began: Event, ended: Event, sentence: str, **data: object) -> None:
        """Send an alert where `what` has changed, but never the same twice in `QUIET_S`: the next change is told then."""
        if is_on == self._is_on.get(what, False):
            return
        event = began if is_on else ended
        if self._now() - self._told_at.get((what, event), -QUIET_S) < QUIET_S:
            return
        self._is_on[what], self._told_at[what, event] = is_on, self._now()
        self._alerts.send(Alert(event=event, sentence=sentence, data=data))


def _drift_of(model: str) -> str:
    return f"drift of {model}"
