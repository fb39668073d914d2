"""What follows from a task that ended: a bin drawn by lot speaks for its certificate, and other systems are told.

Only once nobody can take the count back any more: what was told of could not be taken back.
"""

from collections.abc import Callable
from datetime import datetime

from binsight.audit.spot_check import CountedLine, take_counts
from binsight.audit.spreadsheets import Value
from binsight.audit.tasks import FOUND
from binsight.storage.ledger import Certificates, Detail, Ledger, TaskRows
from binsight.storage.ledger.tasks import RANDOM, record_of
from binsight.webhooks import EventMessage

SETTLES = "binsight"
"""Who takes counts in, as the journal has it; who made them stands with them."""


def settle_due(ledger: Ledger, tell: Callable[[EventMessage], None], *, now: datetime | None = None) -> int:
    """Settle every task that is due; how many. A process that is killed within settles the task again: its count speaks
    once all the same, and others may be told twice. Raises as the ledger's transactions do."""
    rows, number = TaskRows(ledger), 0
    while due := rows.due(now=now):
        for task in due:
            tell(_settled(ledger, rows.detail(task)))
            rows.settled_one(task)
        number += len(due)
    return number


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


def count_of(detail: Detail) -> dict[str, Value]:
    """What goes into a stock system of a task that ended, by field: who counted last and when, and why it differs."""
    line, record = detail.line, record_of(detail.line)
    last = detail.standing[-1] if detail.standing else None
    decided = detail.decisions[-1] if detail.decisions else {}
    fields: dict[str, Value] = {
        "bin_id": line.bin_id,
        "site": record.get("site"),
        "aisle": record.get("aisle"),
        "sku": ", ".join(record.get("skus", ())),
        "photo": line.photo,
        "expected_qty": line.expected,
        "counted_qty": detail.task.quantity,
        "counter": last.user if last else decided.get("user"),
        "counted_at": datetime.fromisoformat(last.counted_at if last else decided["at"]),
        "reason": decided.get("reason"),
        "comment": decided.get("comment") or (last.comment if last else None),
    }
    return {field: value for field, value in fields.items() if value not in (None, "")}


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
        event="count.settled", sentence=f"bin {task.bin_id} holds {quantity}: {task.state}", data=data
    )
