"""Lanes: threads that each take photos from one bounded queue, decode them and run the network.

```
submit ─▶ queue (at most so long a wait) ─▶ lane: decode, decode, … ─▶ one run of the network ─▶ futures
                     full: Overloaded            late or given up: dropped before any work
```
The queue is kept short for the sake of those who are let in: who joins it waits for all of it. Two batches a lane keep
every lane at work (docs/decisions/0015).

A lane does the whole of a photo, so that nothing is handed over between decoding and the network; both leave the
interpreter's lock while they work. A batch is what is waiting anyway, shared among the lanes, and small: on a CPU it
gains nothing, and its first photo waits for its last.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field

from binsight.counting.cores import stand_back
from binsight.counting.counter import Seen
from binsight.errors import BinsightError, NotReady, Overloaded, TooLate
from binsight.records import CANARY, CHAMPION, CountEstimate
from binsight.service.served import MAX_BATCH, Counted, Served, Timing

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Job:
    name: str
    photo: bytes
    read_labels: bool
    for_canary: bool
    deadline: float
    future: "Future[Counted]" = field(default_factory=Future)
    submitted: float = field(default_factory=time.monotonic)


LANE_NICENESS = 5
"""How far lanes stand back behind the threads that answer: a third of their weight where both want the same core."""

Watch = Callable[[str, float], None]
"""Told what happened, by name, with a number: `batch` (photos), `queue`, `decode`, `inference` (seconds)."""

Note = Callable[[Served, Seen, CountEstimate], None]
"""Told of each photo that was counted, once its answer is on its way."""


class Lanes:
    """`num_lanes` threads in front of a bundle, which is warm. Safe to submit to from any thread.

    `served` may be assigned another bundle at any time, as warm: batches begun keep theirs, the next ones have the new one.
    So may `canary`, which counts what is submitted for it; None: there is none, and `served` counts it all.

    A request is refused where those ahead of it would keep it waiting for longer than `longest_wait` seconds, by what a
    photo has taken lately; where that is None, where two batches a lane are ahead. What it brings itself may be more than
    that, up to `queue_size` photos in all, which bounds the memory.
    """

    def __init__(
        self,
        served: Served,
        *,
        num_lanes: int,
        queue_size: int = 64,
        longest_wait: float | None = None,
        max_batch: int = MAX_BATCH,
        watch: Watch = lambda _name, _value: None,
        note: Note = lambda _served, _seen, _estimate: None,
    ) -> None:
        self.served = served
        self.canary: Served | None = None
        self.num_lanes, self.max_batch = num_lanes, max_batch
        self.queue_size, self.longest_wait = queue_size, longest_wait
        self._watch, self._note = watch, note
        self._waiting: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._is_ready = self._is_closed = False
        self._num_idle = 0
        self._seconds_a_photo = 0.05  # of the whole service; learnt from what it does
        self._threads = [
            threading.Thread(target=self._run, name=f"lane {number}", daemon=True) for number in range(num_lanes)
        ]

    @property
    def is_ready(self) -> bool:
        """Whether photos are taken: after `start`, until `close`."""
        return self._is_ready and not self._is_closed

    @property
    def num_waiting(self) -> int:
        """Photos that no lane has begun with."""
        return len(self._waiting)

    @property
    def oldest_wait(self) -> float:
        """Seconds that the photo at the head of the queue has waited."""
        with self._changed:
            return time.monotonic() - self._waiting[0].submitted if self._waiting else 0.0

    def has_idle(self) -> bool:
        """Whether a lane has nothing to do."""
        return self._num_idle > 0 and not self._waiting

    def start(self) -> None:
        """Take photos from now on."""
        for thread in self._threads:
            thread.start()
        self._is_ready = True

    def submit(
        self,
        photos: Sequence[tuple[str, bytes]],
        *,
        within: float,
        read_labels: bool = False,
        for_canary: bool = False,
    ) -> "list[Future[Counted]]":
        """Queue photos, all of them or none; their futures end within `within` seconds, in an estimate or an error.

        A future fails with `BadPhoto` as `Counter.see` does, or with `TooLate`. Cancel one to have it dropped. Raises
        `Overloaded` where the queue has no room, `NotReady` before `start` and after `close`.
        """
        deadline = time.monotonic() + within
        jobs = [_Job(name, photo, read_labels, for_canary, deadline) for name, photo in photos]
        with self._changed:
            self.check_room(len(jobs))
            self._waiting.extend(jobs)
            self._changed.notify(len(jobs))
        return [job.future for job in jobs]

    def check_room(self, num_photos: int = 1) -> None:
        """Raise what `submit` would for so many photos at this moment."""
        if not self.is_ready:
            raise NotReady("the service is not ready; ask again when /ping answers 200")
        num_ahead = len(self._waiting)
        if num_ahead >= self._most_ahead or num_ahead + num_photos > self.queue_size:
            room = min(self.queue_size, math.ceil(self._most_ahead))
            raise Overloaded(
                f"{num_ahead} photos are waiting, and there is room for {room}; try again later",
                retry_after=max(1, math.ceil(num_ahead * self._seconds_a_photo)),
            )

    @property
    def _most_ahead(self) -> float:
        """As many photos ahead of a request mean that it is refused; with none ahead, it never is."""
        if self.longest_wait is None:
            return 2 * self.max_batch * self.num_lanes
        return self.longest_wait / self._seconds_a_photo

    def refuse(self) -> None:
        """Take no more photos from now on; those that were taken are counted."""
        self._is_closed = True

    def close(self, *, within: float) -> None:
        """Take no more photos, and wait up to `within` seconds for those that were taken."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        end = time.monotonic() + within
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, end - time.monotonic()))

    def _run(self) -> None:
        stand_back(LANE_NICENESS)  # a refusal must not wait for a photo
        while jobs := self._next():
            started = time.monotonic()
            try:
                num_counted = self._count([job for job in jobs if self._begin(job)])
            except Exception as error:  # a lane must outlive whatever one batch does to it
                log.exception("a batch failed")
                _fail(jobs, error)
                continue
            if num_counted:
                now = (time.monotonic() - started) / num_counted / self.num_lanes
                self._seconds_a_photo += 0.1 * (now - self._seconds_a_photo)

    def _next(self) -> list[_Job]:
        """This lane's share of what is waiting; nothing once closed and empty."""
        with self._changed:
            self._num_idle += 1
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            self._num_idle -= 1
            share = math.ceil(len(self._waiting) / self.num_lanes)
            return [self._waiting.popleft() for _ in range(min(share, self.max_batch))]

    def _begin(self, job: _Job) -> bool:
        """Whether anyone still wants the answer, in time."""
        if not job.future.set_running_or_notify_cancel():
            return False
        if time.monotonic() > job.deadline:
            waited = time.monotonic() - job.submitted
            _fail([job], TooLate(f"{job.name} waited {waited:.1f} s and is too late; send less at a time"))
            return False
        return True

    def _count(self, jobs: list[_Job]) -> int:
        """How many of a batch were counted: each bundle's part in one run of its network."""
        served, canary = self.served, self.canary  # for the whole batch, whatever is swapped meanwhile
        if canary is None:
            return self._count_by(served, jobs)
        for_canary = [job for job in jobs if job.for_canary]
        num_counted = self._count_by(served, [job for job in jobs if not job.for_canary])
        try:
            return num_counted + self._count_by(canary, for_canary, role=CANARY)
        except Exception:  # a canary may fail; those who asked may not notice
            log.exception("the canary %s failed on a batch, which %s counts", canary.name, served.name)
            rest = [job for job in for_canary if not job.future.done()]
            return num_counted + self._count_by(served, rest, stands_in_for=canary)

    def _count_by(
        self, served: Served, jobs: list[_Job], *, role: str = CHAMPION, stands_in_for: Served | None = None
    ) -> int:
        begun = time.monotonic()
        seen: list[tuple[_Job, Seen, float, float]] = []
        for job in jobs:
            self._watch("queue", begun - job.submitted)
            started = time.monotonic()
            try:
                one = served.counter.see(job.name, job.photo, read_labels=job.read_labels)
            except BinsightError as error:
                _fail([job], error)
                continue
            seen.append((job, one, started, time.monotonic() - started))
            self._watch("decode", seen[-1][3])
        if not seen:
            return 0
        started = time.monotonic()
        estimates = served.counter.estimate([one for _, one, _, _ in seen])
        inference = time.monotonic() - started
        self._watch("inference", inference)
        self._watch("batch", len(seen))
        for (job, _, decode_from, decode), estimate in zip(seen, estimates, strict=True):
            timing = Timing(
                queue=begun - job.submitted,
                decode=decode,
                inference=inference,
                starts=(job.submitted, decode_from, started),
            )
            counted = Counted(
                estimate=estimate, served=served, timing=timing, role=role, stood_in_for=stands_in_for
            )
            job.future.set_result(counted)
        for (_, one, _, _), estimate in zip(seen, estimates, strict=True):
            self._note(served, one, estimate)
        return len(seen)


def _fail(jobs: Sequence[_Job], error: Exception) -> None:
    for job in jobs:
        with suppress(InvalidStateError):  # it has its answer already, or was given up
            job.future.set_exception(error)
