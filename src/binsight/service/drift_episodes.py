"""Drift that this service sees, told to the ledger: a retraining that is asked for when due reads it there.

```
DriftWatch.states ─▶ drifting: seen, now and every ten minutes │ usual: over, once ─▶ episodes of the ledger
```
Nothing waits for the ledger here. What could not be told is told at the next look, as it then is.
"""

import logging
import socket
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from binsight.errors import BinsightError, MissingExtra
from binsight.poller import Poller
from binsight.service.drift import DriftState
from binsight.service.suspensions import is_there

if TYPE_CHECKING:
    from binsight.storage.ledger import DriftEpisodes

log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
TELL_EVERY_S = 600.0
"""How often drift that goes on is told again: an episode of which nobody has told for a day is over."""
MOST_HOST = 200
"""Signs of a host's name that the ledger keeps."""


class Episodes:
    """A thread that tells the ledger at `url`. `step` is one look; `start` looks until `stop`.

    Where no ledger is, none is made. `host` is this machine, unless tests say otherwise.
    """

    def __init__(
        self,
        url: str,
        states: Callable[[], Iterable[DriftState]],
        *,
        host: str = "",
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url, self._states, self._now = url, states, now
        self._host = (host or socket.gethostname())[:MOST_HOST]
        self._told: dict[str, tuple[str, float]] = {}
        self._rows: DriftEpisodes | None = None
        self._has_failed = False
        self._poller = Poller(self.step, name="drift episodes", every_s=LOOK_EVERY_S)

    def start(self) -> None:
        """Look from now on."""
        self._poller.start()

    def stop(self) -> None:
        """Look no more. Drift that goes on is not over by that: whoever takes over sees it, or nobody does for a day."""
        self._poller.stop()
        if self._rows is not None:
            self._rows.close()

    def step(self) -> None:
        """Tell what is news. Raises nothing of Binsight's own."""
        states = list(self._states())
        self._told = {one.model: told for one in states if (told := self._told.get(one.model))}
        news = [state for state in states if self._is_news(state)]
        if not news or not is_there(self._url):
            return
        try:
            self._rows = self._rows or _opened(self._url)
            for state in news:
                self._tell(self._rows, state)
            self._has_failed = False
        except MissingExtra:
            self._poller.end()
        except BinsightError as error:
            if not self._has_failed:  # once, not every few seconds
                log.error("the ledger cannot be told of drift for now: %s", error)
            self._has_failed = True

    def _is_news(self, state: DriftState) -> bool:
        """Whether the state has settled, and was not told yet, or so long ago that it is to be told again.

        That photos are usual is told after a start too: it may have been another process here that saw them drift.
        """
        told, at = self._told.get(state.model, ("", 0.0))
        if state.state == "drifting" == told:
            return self._now() - at >= TELL_EVERY_S
        return state.state in ("drifting", "usual") and state.state != told

    def _tell(self, rows: "DriftEpisodes", state: DriftState) -> None:
        version = state.model.rpartition(":")[2]
        if state.state == "drifting":
            rows.seen(version, host=self._host, sentence=state.sentence)
        else:
            rows.over(version, host=self._host)
        self._told[state.model] = (state.state, self._now())


def _opened(url: str) -> "DriftEpisodes":
    from binsight.storage.ledger import DriftEpisodes, Ledger  # here, since a service without a ledger does without

    return DriftEpisodes(Ledger.open(url))
