"""The shadow: a bundle that counts what the champion has counted, and that nobody hears.

```
champion's answer ─▶ offer ─▶ a few photos wait ─▶ a lane idles? ─▶ counted again ─▶ how far apart, as metrics
                                  full: dropped, and said so
```
It works on one thread of its own, of the lowest priority where the system has such, and begins a photo only while a
lane has nothing to do. Under load it therefore drops nearly everything, and the champion's callers wait for nothing.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from binsight.counting.cores import LOWEST, stand_back
from binsight.decision.decide import decide
from binsight.records import SHADOW
from binsight.service.roles import RoleMetrics
from binsight.service.served import Counted, Served, Timing

log = logging.getLogger(__name__)

MOST_PHOTOS, MOST_BYTES = 32, 32 * 1024 * 1024
"""What may wait."""
LOOK_EVERY_S = 0.01
"""How often it looks for a lane that idles: less than a photo takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToCompare:
    """A photo, what the champion made of it, and what its record says."""

    photo: bytes
    counted: Counted
    expected: int | None


class Shadow:
    """A thread that counts again while `is_idle` says so. `served` may be changed at any time; None: none is wanted."""

    def __init__(self, is_idle: Callable[[], bool], metrics: RoleMetrics) -> None:
        self.served: Served | None = None
        self._is_idle, self._metrics = is_idle, metrics
        self._waiting: deque[ToCompare] = deque()
        self._bytes_waiting = 0
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)

    def start(self) -> None:
        """Count from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the photo in work, and drop the others."""
        with self._changed:
            self._stopped.set()
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    def offer(self, offered: ToCompare) -> None:
        """Count this one again, if there is time. Returns at once."""
        if self.served is None:
            return
        with self._changed:
            num_bytes = self._bytes_waiting + len(offered.photo)
            if len(self._waiting) >= MOST_PHOTOS or num_bytes > MOST_BYTES:
                self._metrics.dropped.inc()
                return
            self._waiting.append(offered)
            self._bytes_waiting = num_bytes
            self._changed.notify()

    def _run(self) -> None:
        stand_back(LOWEST)
        while (offered := self._next()) is not None:
            if (served := self.served) is None:
                continue
            try:
                self._compare(served, offered)
            except Exception as error:  # noqa: BLE001 - whatever a shadow does, nobody may notice but by its metrics
                self._metrics.failed(SHADOW, served)
                log.warning("the shadow %s failed on a photo: %s", served.name, error)

    def _next(self) -> ToCompare | None:
        """The photo that has waited longest, once a lane idles; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopped.is_set())
        while not self._is_idle():
            if self._stopped.wait(LOOK_EVERY_S):
                break
        with self._changed:
            if self._stopped.is_set():
                return None
            offered = self._waiting.popleft()
            self._bytes_waiting -= len(offered.photo)
            return offered

    def _compare(self, served: Served, offered: ToCompare) -> None:
        started = time.monotonic()
        seen = served.counter.see("shadow", offered.photo)
        decoded = time.monotonic()
        (estimate,) = served.counter.estimate([seen])
        timing = Timing(
            queue=0.0,
            decode=decoded - started,
            inference=time.monotonic() - decoded,
            starts=(started, started, decoded),
        )
        counted = Counted(estimate=estimate, served=served, timing=timing, role=SHADOW)
        verdict = None
        if offered.expected is not None:
            verdict = decide(estimate, offered.expected, served.certificate).word
        self._metrics.counted(counted, verdict=verdict)
        self._metrics.compared(counted, offered.counted)
