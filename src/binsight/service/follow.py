"""Hot swap: the lanes follow what an alias of the registry names.

```
alias moved ─▶ fetch, check ─▶ load aside ─▶ golden photos, every batch size ─▶ one assignment ─▶ new photos
                        └──────── fails: said, counted, and the bundle in service stays ────────┘
```
The bundle before is kept open, so that going back to it takes no loading.
"""

import logging
import threading

from binsight.counting.registry import Registry
from binsight.errors import BinsightError, MissingObject
from binsight.service.lanes import Lanes, Served
from binsight.service.metrics import Metrics
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


class Follower:
    """A thread that keeps lanes on the bundle that an alias names. `step` is one look; `start` looks until `stop`."""

    def __init__(self, lanes: Lanes, registry: Registry, alias: str, metrics: Metrics) -> None:
        self._lanes, self._registry, self._alias, self._metrics = lanes, registry, alias, metrics
        self._before: Served | None = None
        self._failed: Pointed | None = None
        self._looks_to_skip = 0
        self._is_lost = False
        self.failure: str | None = None
        """Why the bundle that the alias names is not in service; None where it is."""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"follow {alias}", daemon=True)

    def start(self) -> None:
        """Look from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more, and give the ledger's connections back."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._registry.close()

    def step(self) -> None:
        """Swap where the alias names another bundle than the one in service. Raises nothing of Binsight's own."""
        try:
            pointed = self._registry.pointed(self._alias)
        except BinsightError as error:
            if not self._is_lost:  # once, not twice a second
                log.error("the registry cannot be asked, and the bundle in service stays: %s", error)
            self._is_lost = True
            return
        self._is_lost = False
        if pointed is None or pointed.version == self._lanes.served.version:
            self._failed = self.failure = None
        elif pointed == self._failed and self._looks_to_skip > 0:
            self._looks_to_skip -= 1
        else:
            self._swap(pointed)

    def _swap(self, pointed: Pointed) -> None:
        now = self._lanes.served
        try:
            served = self._before if self._before and self._before.version == pointed.version else None
            if served is None:
                served = Served.load(self._registry.fetch(pointed.version))
                served.warm(self._lanes.max_batch)
        except Exception as error:  # noqa: BLE001 - whatever a bundle does, the one in service stays
            self._failed, self._looks_to_skip = pointed, int(TRY_AGAIN_AFTER_S / LOOK_EVERY_S)
            self._metrics.swaps.labels("failed").inc()
            self.failure = f"{pointed.version} cannot be taken into service, and {now.name} stays: {error}"
            log.error("%s", self.failure)
            return
        self._lanes.served, self._before, self._failed, self.failure = served, now, None, None
        self._metrics.swaps.labels("done").inc()
        log.info("%s is in service, in the place of %s", served.name, now.name)

    def _run(self) -> None:
        while not self._stopped.wait(LOOK_EVERY_S):
            self.step()
