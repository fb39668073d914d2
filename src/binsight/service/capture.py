"""Capture: what came in and what was answered, kept by one thread so that an answer which says so can be relied on.

```
answer ─▶ sampled? ─▶ queue (bounded) ─▶ writer: metadata off, all that waits as one group ─▶ safe on the disk
   │         no             full, stopped or stuck: not kept                                        │
   └────────────────────── waits at most so long ◀───────────── its event id, for the header ◀──────┘
```
Serving never fails by it: what cannot be kept is counted, the reason is logged once, and a while later the next capture
tries again.
"""

import asyncio
import hashlib
import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from binsight.errors import BadPhoto, BinsightError, StorageFailure
from binsight.imaging.strip import photo_type, stripped
from binsight.service.metrics import Metrics
from binsight.service.served import Offered
from binsight.service.shares import is_within
from binsight.service.upkeep import Upkeep
from binsight.settings import Settings
from binsight.storage.captures import Capture, CompactCaptures, LineCaptures, open_captures
from binsight.storage.captures.opening import capture_place

log = logging.getLogger(__name__)

CAPTURE = "capture"
"""Whose share of the requests is kept, among those who draw one."""
QUEUE_CAPTURES, QUEUE_BYTES = 256, 64 * 1024 * 1024
"""What may wait for the writer."""
GROUP = 64
"""Captures that share a transaction, at most: each costs its share of one, and none waits long for the rest."""
TRY_AGAIN_AFTER_S = 5.0
"""How long nothing is kept after a failure."""

Store = CompactCaptures | LineCaptures


@dataclass(slots=True, eq=False)
class _Job:
    offered: Offered
    inference_id: str | None
    event_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    offered_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    kept: "Future[bool]" = field(default_factory=Future)


class Capturer:
    """Keeps a share of the counted photos by the settings. `keep` is for the event loop, and takes no work on it."""

    def __init__(
        self, chosen: Settings, metrics: Metrics, *, opened: Callable[[Settings], Store] = open_captures
    ) -> None:
        """Opens nothing yet. Raises `BadInput` where the settings name no place that captures could be kept in."""
        self._place = capture_place(chosen)
        self._chosen, self._metrics, self._opened = chosen, metrics, opened
        self._upkeep = Upkeep(chosen)
        self._store: Store | None = None
        self._waiting: deque[_Job] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._is_closed = False
        self._writing_since: float | None = None
        self._stopped_until: float | None = None
        self._num_in_vain = 0
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)

    @property
    def works(self) -> bool:
        """Whether the last capture could be kept."""
        return self._stopped_until is None and not self._is_stuck

    @property
    def num_waiting(self) -> int:
        """Captures that the writer has not begun with."""
        return len(self._waiting)

    def start(self) -> None:
        """Keep captures from now on."""
        self._thread.start()
        self._upkeep.start()

    def close(self, *, within: float) -> None:
        """Take no more, and wait up to `within` seconds for what was taken."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._upkeep.stop()
        if self._thread.ident is not None:
            self._thread.join(within)

    async def keep(
        self, offered: Sequence[Offered], *, request_id: str, inference_id: str | None
    ) -> list[str | None]:
        """The event id of each that is safe on the disk, None for the others; after `capture_within_s` at the latest."""
        nothing: list[str | None] = [None] * len(offered)
        if not offered or not is_within(self._chosen.capture_share, CAPTURE, request_id):
            return nothing
        jobs = [_Job(one, inference_id) for one in offered]
        if (refused := self._submit(jobs)) is not None:
            self._count(refused, len(jobs))
            return nothing
        waited = [asyncio.wrap_future(job.kept) for job in jobs]
        await asyncio.wait(waited, timeout=self._chosen.capture_within_s)
        self._count("late", sum(not one.done() for one in waited))
        return [
            job.event_id if one.done() and one.result() else None for job, one in zip(jobs, waited, strict=True)
        ]

    @property
    def _is_stuck(self) -> bool:
        """Whether the writer hangs on its disk: then nobody else is made to wait for it."""
        since = self._writing_since
        return since is not None and time.monotonic() - since > self._chosen.capture_within_s

    def _submit(self, jobs: Sequence[_Job]) -> str | None:
        """Queue all of a request, or say why none of it."""
        num_bytes = sum(len(job.offered.photo) for job in jobs)
        with self._changed:
            if self._is_closed or self._is_stuck or time.monotonic() < (self._stopped_until or 0):
                return "stopped"
            is_full = len(self._waiting) + len(jobs) > QUEUE_CAPTURES
            if is_full or self._waiting_bytes + num_bytes > QUEUE_BYTES:
                return "busy"
            self._waiting.extend(jobs)
            self._waiting_bytes += num_bytes
            self._changed.notify()
        return None

    def _run(self) -> None:
        try:
            self._store = self._opened(self._chosen)  # before the first capture, which would come too late by it
        except Exception as error:  # noqa: BLE001 - whatever fails here, serving goes on
            self._fail((), error)
        while jobs := self._next():
            self._writing_since = time.monotonic()
            try:
                self._write(jobs)
            except Exception as error:  # noqa: BLE001 - whatever fails here, serving goes on
                self._fail(jobs, error)
            finally:
                self._writing_since = None
        if self._store:
            self._store.close()

    def _next(self) -> list[_Job]:
        """What waits, up to a group; nothing once closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            jobs = [self._waiting.popleft() for _ in range(min(len(self._waiting), GROUP))]
            self._waiting_bytes -= sum(len(job.offered.photo) for job in jobs)
            return jobs

    def _write(self, jobs: Sequence[_Job]) -> None:
        self._check_room()
        captures = [(job, capture) for job in jobs if (capture := self._capture(job)) is not None]
        kept = self._kept(captures) if captures else ()
        if self._stopped_until is not None:
            self._stopped_until = None
            log.info("captures are kept again")
        self._count("kept", len(kept))  # before they are told: who was told must find it counted
        for job, _ in kept:
            _tell(job, is_kept=True)

    def _kept(self, captures: "Sequence[tuple[_Job, Capture]]") -> "Sequence[tuple[_Job, Capture]]":
        """Those of a group that are safe on the disk: all of them, unless one that the store cannot take is among them.

        Raises where the store itself fails: what it says so of, and whatever comes of two captures in a row that were
        tried alone.
        """
        try:
            self._put(captures)
            self._num_in_vain = 0
            return captures
        except BinsightError:
            raise
        except Exception as error:
            tried = [(one, len(captures) > 1 and self._is_put(one)) for one in captures]
            kept = [one for one, is_put in tried if is_put]
            failed = [job for (job, _), is_put in tried if not is_put]
            self._num_in_vain = 0 if kept else self._num_in_vain + len(failed)
            if self._num_in_vain > 1:
                raise
            log.error("%d captures cannot be kept, the others are: %s", len(failed), error, exc_info=error)
            self._count("failed", len(failed))
            for job in failed:
                _tell(job, is_kept=False)
            return kept

    def _is_put(self, one: tuple[_Job, Capture]) -> bool:
        try:
            self._put([one])
        except BinsightError:
            raise
        except Exception:  # noqa: BLE001 - said of the group already
            return False
        return True

    def _put(self, captures: Sequence[tuple[_Job, Capture]]) -> None:
        self._store = self._store or self._opened(self._chosen)
        self._upkeep.note(self._store.write([capture for _, capture in captures]))

    def _check_room(self) -> None:
        """Raises `StorageFailure` before the disk is full: others live on it too, the ledger for one."""
        self._upkeep.check()
        free, least = self._place.free_bytes, self._chosen.capture_free_bytes
        if free is not None and free < least:
            raise StorageFailure(
                f"{self._place.url} has {free:,} bytes free, and at least {least:,} are to stay so; make room"
            )

    def _capture(self, job: _Job) -> Capture | None:
        photo = None
        if self._chosen.capture_what == "photo+answer":
            try:
                photo = stripped(job.offered.photo)
            except BadPhoto:  # decoders are more lenient than we may be with somebody's metadata
                self._count("not_cleaned", 1)
                _tell(job, is_kept=False)
                return None
        return Capture(
            event_id=job.event_id,
            captured_at=job.offered_at,
            answer=job.offered.answer,
            inference_id=job.inference_id,
            photo_sha256=None if photo is None else hashlib.sha256(photo).hexdigest(),
            photo_type=None if photo is None else photo_type(photo),
            photo=photo,
            share=self._chosen.capture_share,
        )

    def _fail(self, jobs: Sequence[_Job], error: Exception) -> None:
        if self._stopped_until is None:  # once, not for every photo
            is_ours = isinstance(error, BinsightError)
            log.error("captures are not kept, serving goes on: %s", error, exc_info=None if is_ours else error)
        self._stopped_until = time.monotonic() + TRY_AGAIN_AFTER_S
        self._count("failed", len(jobs))
        for job in jobs:
            _tell(job, is_kept=False)

    def _count(self, result: str, number: int) -> None:
        if number:
            self._metrics.captures.labels(result).inc(number)


def _tell(job: _Job, *, is_kept: bool) -> None:
    with suppress(InvalidStateError):  # its client left
        job.kept.set_result(is_kept)
