"""Upkeep of captures: a thread that deletes what is not to be kept any longer, and knows how much there is."""

import logging
import time
from datetime import UTC, datetime

from binsight.errors import BinsightError, StorageFailure
from binsight.poller import Poller
from binsight.settings import Settings
from binsight.storage.captures import open_captures, open_truths, prune

log = logging.getLogger(__name__)

LOOK_EVERY_S = 60.0
MEASURE_EVERY_S = 3600.0
"""How often all captures are measured, where what was written since does not make it due sooner."""


class Upkeep:
    """Retention by the settings, beside the writer. `step` is one look; `start` looks until `stop`."""

    def __init__(self, chosen: Settings) -> None:
        self._chosen = chosen
        self._bytes = 0
        self._measured_at: float | None = None
        self._has_failed = False
        self._poller = Poller(self.step, name="capture upkeep", every_s=LOOK_EVERY_S)

    def start(self) -> None:
        """Look from now on."""
        self._poller.start(at_once=True)

    def stop(self) -> None:
        """Look no more; a look under way ends with the process."""
        self._poller.end()

    def note(self, num_bytes: int) -> None:
        """So much was written."""
        self._bytes += num_bytes

    def check(self) -> None:
        """Raises `StorageFailure` where there is as much as may be; the next look makes room if it can."""
        if self._bytes > self._chosen.capture_max_bytes:
            raise StorageFailure(
                f"captures hold {self._bytes:,} bytes, and BINSIGHT_CAPTURE_MAX_BYTES allows "
                f"{self._chosen.capture_max_bytes:,}; raise it, or wait until older hours may be deleted"
            )

    def step(self) -> None:
        """Delete what is due. Raises nothing of Binsight's own."""
        now = time.monotonic()
        is_over = self._bytes > self._chosen.capture_max_bytes
        if self._measured_at is not None and now - self._measured_at < MEASURE_EVERY_S and not is_over:
            return
        before = self._bytes
        try:
            captures = open_captures(self._chosen)
            try:
                pruned = prune(
                    captures,
                    open_truths(self._chosen),
                    now=datetime.now(UTC),
                    keep_days=self._chosen.capture_keep_days,
                    max_bytes=self._chosen.capture_max_bytes,
                )
            finally:
                captures.close()
        except BinsightError as error:
            if not self._has_failed:  # once, not every minute
                log.error("captures that are over their time stay for now: %s", error)
            self._has_failed = True
            return
        self._has_failed = False
        self._measured_at = now
        self._bytes = pruned.kept_bytes + max(0, self._bytes - before)  # what the writer wrote meanwhile
        if pruned.kept_since is not None:
            log.info("captures before %s are deleted", pruned.kept_since.isoformat(timespec="hours"))
