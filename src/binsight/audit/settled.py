"""What follows from a task that ended: a bin drawn by lot speaks for its certificate, and other systems are told.

```
due ─▶ this process's, of all on the ledger ─▶ certificate ─▶ receivers, for minutes ─▶ settled
            killed: another's, which tells of it again under the same id
```
Only once nobody can take the count back any more: what was told of could not be taken back.
"""

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Protocol
from uuid import UUID, uuid5

from binsight.audit.spot_check import CountedLine, take_counts
from binsight.audit.tasks import FOUND
from binsight.errors import BinsightError
from binsight.storage.ledger import Certificates, Detail, Ledger, Outcomes, TaskRows
from binsight.storage.ledger.tasks import RANDOM
from binsight.webhooks import EventMessage

log = logging.getLogger(__name__)

SETTLES = "binsight"
"""Who takes counts in, as the journal has it; who made them stands with them."""
MOST_TOLD = 500
"""So many are told at a time; the others wait in the ledger, where they are safe."""
_TOGETHER = 100


class Tells(Protocol):
    """Who tells other systems."""

    def send(self, message: EventMessage, then: Callable[[bool], None]) -> None:
        """Deliver, by and by; `then` hears when it is done, and whether the message was tried everywhere."""


class Settling:
    """Settles tasks that are due, beside as many processes as have the same ledger. A look at a time.

    A task is settled once each receiver has taken its message, refused it, or not taken it in all tries. Until then it is
    due: whoever is killed leaves it to the next, who tells of it again; what a certificate heard it hears once.
    """

    def __init__(self, ledger: Ledger, tells: Tells) -> None:
        self._ledger, self._outcomes, self._tells = ledger, Outcomes(ledger), tells
        self._told: set[str] = set()
        self._lock = threading.Lock()

    def look(self, *, now: datetime | None = None) -> int:
        """Take in what is due, and begin to tell of it; how many. Raises as the ledger's transactions do."""
        number = 0
        while due := self._claimed(now):
            for task in due:
                message = _settled(self._ledger, TaskRows(self._ledger).detail(task))
                with self._lock:
                    self._told.add(task)
                self._tells.send(message, partial(self._end, task))
            number += len(due)
        return number

    def _claimed(self, now: datetime | None) -> list[str]:
        with self._lock:
            told = list(self._told)
        self._outcomes.hold(told, now=now)
        most = min(_TOGETHER, MOST_TOLD - len(told))
        return self._outcomes.claim(most=most, now=now) if most > 0 else []

    def _end(self, task: str, is_tried: bool) -> None:
        """Note what was told. Where that fails, the task is not held any more, and so is due again in a while."""
        try:
            if is_tried:
                self._outcomes.settled(task)
        except BinsightError as error:
            log.error("what task %s came to will be told again: %s", task, error)
        finally:
            with self._lock:
                self._told.discard(task)


def _settled(ledger: Ledger, detail: Detail) -> EventMessage:
    """Take in what was found, and what to tell of it."""
    assert detail.task.quantity is not None, "a task is due where something was found"
    if detail.origin == RANDOM:
        certificates = Certificates(ledger)
        watched = certificates.of_audit(detail.task.audit)
        if watched is not None:
            take_counts(certificates, watched, [_counted(detail, detail.task.quantity)], by=SETTLES)
    return _message(detail, detail.task.quantity)


def settled_lines(ledger: Ledger, audit: str) -> list[CountedLine]:
    """The lines of an audit whose tasks ended with a number."""
    return [
        CountedLine(place=line.place, verdict=line.verdict, expected=line.expected, counted=quantity)
        for line, quantity in TaskRows(ledger).settled(audit, FOUND)
    ]


def _counted(detail: Detail, quantity: int) -> CountedLine:
    line = detail.line
    return CountedLine(place=line.place, verdict=line.verdict, expected=line.expected, counted=quantity)


def _message(detail: Detail, quantity: int) -> EventMessage:
    task = detail.task
    data = {
        "task": task.id,
        "audit": task.audit,
        "bin_id": task.bin_id,
        "site": task.site,
        "expected": detail.line.expected,
        "counted": quantity,
        "state": task.state,
    }
    return EventMessage(
        event="count.settled",
        sentence=f"bin {task.bin_id} holds {quantity}: {task.state}",
        data=data,
        id=f"msg_{uuid5(UUID(task.id), f'{task.state} {quantity}').hex}",  # the same, whoever tells of it and how often
    )
