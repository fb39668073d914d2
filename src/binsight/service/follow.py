"""Hot swap: what serves follows what an alias of the registry names, for the champion, the canary and the shadow alike.

```
alias moved ─▶ fetch, check ─▶ load aside ─▶ golden photos, every batch size ─▶ one assignment ─▶ new photos
                        └──────── fails: said, counted, and the bundle in service stays ────────┘
```
The bundle before is kept open, so that going back to it takes no loading; and neither does a canary that becomes the
champion. Each role is followed by a thread of its own: a shadow that loads for a minute holds no rollback up.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from binsight.counting.registry import Registry
from binsight.errors import BinsightError, MissingObject
from binsight.poller import Poller
from binsight.records import CANARY, CHAMPION, SHADOW
from binsight.service.lanes import Lanes
from binsight.service.metrics import Metrics
from binsight.service.served import Served
from binsight.service.shadow import Shadow
from binsight.storage.ledger import Pointed

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
"""How often the alias is looked up: a rollback is to take less than a second."""
TRY_AGAIN_AFTER_S = 30
"""A bundle that could not be taken into service may have failed for its store's sake."""


def first_served(registry: Registry, alias: str) -> Served:
    """The bundle that the alias names now, not yet warm. Raises `MissingObject` where it names none, and as `fetch`."""
    pointed = registry.pointed(alias)
    if pointed is None:
        raise MissingObject(f"{alias} points at no model yet; binsight models promote VERSION --alias {alias}")
    return Served.load(registry.fetch(pointed.version))


@dataclass(slots=True, kw_only=True)
class Seat:
    """A role, the alias that says who has it, who has it now, and how a bundle is put into it.

    `put` takes None only where the seat `may_be_empty`.
    """

    role: str
    alias: str
    now: Callable[[], Served | None]
    put: Callable[[Served | None], None]
    may_be_empty: bool = True
    before: Served | None = None


class Follower:
    """A thread that keeps a seat on the bundle that its alias names. `step` is one look; `start` looks until `stop`, and
    `wake` has it look at once.

    `seats` are all that there are, this one among them: what one of them has open is not loaded again.
    """

    def __init__(
        self, seat: Seat, seats: Sequence[Seat], registry: Registry, metrics: Metrics, *, max_batch: int
    ) -> None:
        self._seat, self._seats, self._registry, self._metrics = seat, seats, registry, metrics
        self._max_batch = max_batch
        self._failed: Pointed | None = None
        self._looks_to_skip = 0
        self._is_lost = False
        self.failure: str | None = None
        """Why the bundle that the alias names is not in service; None where it is."""
        self._poller = Poller(self.step, name=f"follow {seat.alias}", every_s=LOOK_EVERY_S)

    @property
    def role(self) -> str:
        """Whose seat it is."""
        return self._seat.role

    def start(self) -> None:
        """Look from now on."""
        self._poller.start()

    def wake(self) -> None:
        """Look now: this process knows that the alias was moved."""
        self._poller.wake()

    def stop(self) -> None:
        """Look no more."""
        self._poller.stop()

    def step(self) -> None:
        """Swap where the alias names another bundle than the one in service. Raises nothing of Binsight's own."""
        try:
            pointed = self._registry.pointed(self._seat.alias)
        except BinsightError as error:
            if not self._is_lost:  # once, not twice a second
                log.error("the registry cannot be asked, and the bundle in service stays: %s", error)
            self._is_lost = True
            return
        self._is_lost = False
        now = self._seat.now()
        if pointed is None:
            self._failed = self.failure = None
            if now is not None and self._seat.may_be_empty:
                self._empty(now)
        elif now is not None and pointed.version == now.version:
            self._failed = self.failure = None
        elif pointed == self._failed and self._looks_to_skip > 0:
            self._looks_to_skip -= 1
        else:
            self._swap(pointed, now)

    def _empty(self, now: Served) -> None:
        self._seat.put(None)
        self._seat.before = now
        log.info("%s is no longer the %s", now.name, self._seat.role)

    def _swap(self, pointed: Pointed, now: Served | None) -> None:
        role, stays = self._seat.role, now.name if now else "nothing"
        try:
            served = self._open_already(pointed.version)
            if served is None:
                served = Served.load(self._registry.fetch(pointed.version))
                served.warm(self._max_batch)
        except Exception as error:  # noqa: BLE001 - whatever a bundle does, the one in service stays
            self._failed, self._looks_to_skip = pointed, int(TRY_AGAIN_AFTER_S / LOOK_EVERY_S)
            self._metrics.swaps.labels(role, "failed").inc()
            self.failure = f"{pointed.version} cannot be the {role}, and {stays} stays: {error}"
            log.error("%s", self.failure)
            return
        self._seat.put(served)
        self._seat.before, self._failed, self.failure = now or self._seat.before, None, None
        self._metrics.swaps.labels(role, "done").inc()
        log.info("%s is the %s, in the place of %s", served.name, role, stays)

    def _open_already(self, version: str) -> Served | None:
        """A bundle that is or was in a seat: warm."""
        held = [served for seat in self._seats for served in (seat.now(), seat.before)]
        return next((served for served in held if served and served.version == version), None)


class Following:
    """A follower for each role that is wanted, and the registry that they ask."""

    def __init__(
        self,
        registry: Registry,
        lanes: Lanes,
        metrics: Metrics,
        *,
        champion: str,
        canary: bool,
        shadow: Shadow | None,
    ) -> None:
        """`champion` is the alias of what `lanes` serve now; `canary` and `shadow` say whether there may be such."""
        seats = [
            Seat(
                role=CHAMPION,
                alias=champion,
                now=lambda: lanes.served,
                put=partial(setattr, lanes, "served"),
                may_be_empty=False,
            )
        ]
        if canary:
            seats.append(
                Seat(role=CANARY, alias=CANARY, now=lambda: lanes.canary, put=partial(setattr, lanes, "canary"))
            )
        if shadow is not None:
            seats.append(
                Seat(role=SHADOW, alias=SHADOW, now=lambda: shadow.served, put=partial(setattr, shadow, "served"))
            )
        self.registry = registry
        self.followers = [Follower(seat, seats, registry, metrics, max_batch=lanes.max_batch) for seat in seats]

    @property
    def failure(self) -> str | None:
        """Why a bundle that an alias names is not in service; None where all are."""
        return next((follower.failure for follower in self.followers if follower.failure), None)

    def failure_of(self, role: str) -> str | None:
        """Why the bundle that this role's alias names is not in service; None where it is, or is on its way."""
        return next((follower.failure for follower in self.followers if follower.role == role), None)

    def start(self) -> None:
        """Look from now on."""
        for follower in self.followers:
            follower.start()

    def wake(self) -> None:
        """Look now, instead of at the next time."""
        for follower in self.followers:
            follower.wake()

    def stop(self) -> None:
        """Look no more, and give the ledger's connections back."""
        for follower in self.followers:
            follower.stop()
        self.registry.close()
