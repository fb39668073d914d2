"""What a retraining promoted, watched in service, and taken back where it does worse than its terms allow.

```
ledger: who is on trial ─▶ figures of it and of the model before ─▶ decision/trial.py ─▶ one move of the alias, or none
```
Each replica judges by what it sees itself; the first that finds a fault takes the model back for all. A replica that starts
anew begins the trial anew: it may take longer than its terms say, never shorter.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from binsight.counting.registry import Registry
from binsight.decision.trial import Limits, OnTrial, Service, TrialVerdict, judge
from binsight.errors import BinsightError, ChangedMeanwhile
from binsight.poller import Poller
from binsight.records import CANARY, CHAMPION
from binsight.service.drift import DriftWatch
from binsight.service.follow import Following
from binsight.service.lanes import Lanes
from binsight.service.metrics import Metrics
from binsight.service.roles import RoleFigures
from binsight.service.served import Served
from binsight.storage.ledger import Certificates, Ledger, Pointed, Retraining, Retrainings
from binsight.storage.ledger.certificates import REINSTATED, SUSPENDED
from binsight.storage.ledger.retrainings import MOVED, PASSED, PROMOTED, ROLLED_BACK

log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
REFUSED_FOR_S = 120.0
"""A bundle that could not be taken into service for so long is taken back; sooner, its store may only have failed."""
BY = "binsight serve"


@dataclass(slots=True)
class _Trial:
    """What was so when this process first saw a model on trial, and since when it is refused."""

    began: float
    requests: tuple[float, float]
    now: RoleFigures
    refused_since: float | None = None


class Trials:
    """A thread that looks after models on trial. `step` is one look; `start` looks until `stop`.

    Once it has moved an alias, those who are `following` look at once, and the bad model answers no longer than it has to.
    """

    def __init__(
        self,
        registry: Registry,
        ledger: Ledger,
        lanes: Lanes,
        metrics: Metrics,
        drift: DriftWatch,
        following: Following,
        *,
        champion: str = CHAMPION,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry, self._rows, self._acts = registry, Retrainings(ledger), Certificates(ledger)
        self._lanes, self._metrics, self._drift, self._following = lanes, metrics, drift, following
        self._champion, self._ledger, self._now = champion, ledger, now
        self._trials: dict[str, _Trial] = {}
        self._is_lost = False
        self._poller = Poller(self.step, name="trials", every_s=LOOK_EVERY_S)

    def start(self) -> None:
        """Look from now on."""
        self._poller.start()

    def stop(self) -> None:
        """Look no more, and give the ledger's connections back."""
        self._poller.stop()
        self._ledger.close()

    def step(self) -> None:
        """One look at every model on trial. Raises nothing of Binsight's own."""
        try:
            rows = [row for row in self._rows.watched() if row.alias in (self._champion, CANARY)]
            for row in rows:
                self._look(row)
            self._trials = {row.id: trial for row in rows if (trial := self._trials.get(row.id))}
            self._is_lost = False
        except BinsightError as error:
            if not self._is_lost:  # once, not at every look
                log.error("models on trial cannot be looked after for now: %s", error)
            self._is_lost = True

    def _look(self, row: Retraining) -> None:
        assert row.alias is not None and row.challenger is not None
        pointed = self._registry.pointed(row.alias)
        if pointed is None or (pointed.version, pointed.revision) != (row.challenger, row.revision):
            self._rows.end_watch(row.id, MOVED, f"{row.alias} was moved meanwhile")
            return
        found = self._found(row, row.challenger)
        verdict = judge(found, Limits.model_validate(row.outcome.get("limits", {})))
        if verdict.word == "goes_on":
            return
        try:
            self._act(row, pointed, verdict)
        except ChangedMeanwhile:  # by another replica, or by a person; the next look finds it so
            log.info("%s of retraining %s was moved by somebody else", row.alias, row.id)

    def _found(self, row: Retraining, version: str) -> OnTrial:
        role = CANARY if row.alias == CANARY else CHAMPION
        figures = self._metrics.roles.figures(role, version)
        trial = self._trials.setdefault(row.id, _Trial(self._now(), self._metrics.num_requests(), figures))
        served = self._lanes.canary if role == CANARY else self._lanes.served
        is_in_service = served is not None and served.version == version
        if not is_in_service:  # the trial begins when it is
            refused = self._refused(trial, role)
            self._trials[row.id] = _Trial(self._now(), self._metrics.num_requests(), figures, trial.refused_since)
            return OnTrial(
                seconds=0, now=Service(num_photos=0, num_failed=0, p95_s=None), before=None, refused=refused
            )
        trial.refused_since = None
        requests, failed = self._metrics.num_requests()
        before = self._metrics.roles.figures(CHAMPION, row.champion)
        return OnTrial(
            seconds=self._now() - trial.began,
            now=_service(figures.since(trial.now), self._drift_of(version)),
            before=_service(before, self._drift_of(row.champion)) if before.counted else None,
            num_requests=int(requests - trial.requests[0]),
            num_failed_requests=int(failed - trial.requests[1]),
            certificate=self._broken(served),
        )

    def _refused(self, trial: _Trial, role: str) -> str:
        """Why the bundle is not in service, where that lasts; empty where it is only being fetched."""
        failure = self._following.failure_of(role)  # another role's says nothing of this one
        if failure is None:
            trial.refused_since = None
            return ""
        if trial.refused_since is None:
            trial.refused_since = self._now()
        return failure if self._now() - trial.refused_since >= REFUSED_FOR_S else ""

    def _drift_of(self, version: str) -> str:
        states = [state for state in self._drift.states() if state.model.endswith(f":{version}")]
        return states[0].sentence if states and states[0].state == "drifting" else ""

    def _broken(self, served: Served | None) -> str:
        """Why audits suspended the bundle's certificate; empty where they did not."""
        data = None if served is None else served.counter.bundle.certificate()
        if data is None:
            return ""
        acts = [act for act in self._acts.acts(sha256(data).hexdigest()) if act.kind in (SUSPENDED, REINSTATED)]
        if not acts or acts[-1].kind == REINSTATED:
            return ""
        reasons = [one["sentence"] for one in acts[-1].body["reasons"] if one["why"] != "aged"]
        return "; ".join(reasons)

    def _act(self, row: Retraining, pointed: Pointed, verdict: TrialVerdict) -> None:
        models, reason = self._registry.models, f"trial of retraining {row.id}: {verdict.reason}"
        if verdict.word == "roll_back":
            if row.alias == CANARY:
                models.retire(pointed, by=BY, reason=reason)
            else:
                models.move(pointed.alias, row.champion, seen=pointed, by=BY, reason=reason)
            self._following.wake()
            self._rows.end_watch(row.id, ROLLED_BACK, f"taken back: {verdict.reason}")
            log.error("%s is taken back: %s", pointed.version, verdict.reason)
            return
        if row.alias == CANARY:
            champion = self._registry.pointed(self._champion)
            if champion is None or champion.version != row.champion:
                self._rows.end_watch(
                    row.id, MOVED, f"{self._champion} was moved meanwhile; the canary stays as it is"
                )
                return
            moved = models.move(self._champion, pointed.version, seen=champion, by=BY, reason=reason)
            models.retire(pointed, by=BY, reason=f"{reason}; it is the champion now")
            self._following.wake()
            self._rows.change(row.id, state=PROMOTED, alias=moved.alias, revision=moved.revision)
        self._rows.end_watch(row.id, PASSED, f"stays: {verdict.reason}")
        log.info("%s has stood its trial: %s", pointed.version, verdict.reason)


def _service(figures: RoleFigures, drift: str) -> Service:
    return Service(
        num_photos=int(figures.counted),
        num_failed=int(figures.failed),
        p95_s=figures.quantile_s(0.95),
        drift=drift,
    )
