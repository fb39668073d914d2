"""Audits with tasks, and people who count them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from binsight.audit.lines import WORDS
from binsight.audit.settled import Settling
from binsight.audit.tasks import follows
from binsight.decision.recounts import Policy
from binsight.storage.ledger import (
    PHOTO,
    Audit,
    AuditLineRow,
    Audits,
    Counted,
    Counts,
    Detail,
    Follows,
    Lease,
    Leases,
    Ledger,
    NewTask,
    People,
    TaskRows,
    User,
)
from binsight.storage.ledger.tasks import PLANNED
from binsight.webhooks import EventMessage

EXPECTED = 3


def a_line(place: int, *, expected: int = EXPECTED, verdict: str = "suspect", **record: object) -> AuditLineRow:
    """A line of bin A-0001, A-0002, … in aisle A, with its photo counted as 5."""
    return AuditLineRow(
        place=place,
        bin_id=f"A-{place:04}",
        expected=expected,
        record=json.dumps({"row": place + 1, "site": "DC1", "aisle": "A", **record}),
        photo=f"photos/A-{place:04}.jpg",
        photo_sha256=None,
        estimate=json.dumps({"probs": [0.0, 0.0, 0.0, 0.1, 0.2, 0.7]}),
        count=5,
        verdict=verdict,
        reason="the photo shows 4 to 5 items",
        exception=None,
        p_record=0.1,
        p_right=0.4,
        units_off=1.1,
    )


def an_audit(ledger: Ledger, lines: Sequence[AuditLineRow], *, folder: str = ".", origin: str = PLANNED) -> Audit:
    """An audit of these lines with a task for each, in their order, but for bins that keep one of an audit before."""
    kept = Audits(ledger)
    audit = kept.begin(model="default:0123456789ab", certificate_sha256=None, terms={"folder": folder}, by="ann")
    kept.add(audit, lines)
    verdicts = {f"num_{word}": sum(line.verdict == word for line in lines) for word in WORDS}
    rest = {"num_records": len(lines), "exceptions": {}, "units_off": 1.0, "units_expected": 9}
    kept.end(audit, verdicts | rest)
    TaskRows(ledger).create(audit.id, [task_of_line(line, origin) for line in lines], by="ann")
    return audit


def task_of_line(line: AuditLineRow, origin: str = PLANNED) -> NewTask:
    """The task of a line."""
    record = json.loads(line.record)
    return NewTask(
        place=line.place,
        origin=origin,
        site=record["site"],
        aisle=record["aisle"],
        bin_id=line.bin_id,
        from_photo=True,
    )


def a_user(ledger: Ledger, name: str, role: str = "counter") -> User:
    """A user whose password opens nothing."""
    return People(ledger).add(name, role=role, password_hash="none", by="ann")


def by_policy(policy: Policy | None = None) -> "RuleOfTests":
    """What follows from counts, under the usual policy or another."""
    return RuleOfTests(policy or Policy())


class RuleOfTests:
    """A rule as the ledger wants it."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def __call__(self, detail: Detail) -> Follows:
        return follows(detail, self.policy)


def count(ledger: Ledger, token: str, counted: int, user: User, policy: Policy | None = None) -> Counted:
    """Send a count in."""
    return Counts(ledger).add(token, counted, user=user.id, name=user.name, rule=by_policy(policy))


def claim(ledger: Ledger, user: User, where: str = PHOTO, **given: object) -> Lease:
    """The next task for this user."""
    return Leases(ledger).claim(user.id, where=where, seconds=60, **given)[0]  # type: ignore[arg-type]


def state(ledger: Ledger, lease: Lease) -> tuple[str, int | None]:
    """What a task waits for or how it ended, and what was found."""
    task = TaskRows(ledger).detail(lease.task.id).task
    return task.state, task.quantity


def decide(ledger: Ledger, lease: Lease, word: str, user: User, quantity: int | None = None) -> None:
    """Decide on a task."""
    Counts(ledger).decide(lease.task.id, word, user=user.id, name=user.name, quantity=quantity, reason="MISSING")


@dataclass
class Told:
    """Takes what is told; without `delivers` as a process that is killed before it has delivered any."""

    messages: list[EventMessage] = field(default_factory=list)
    delivers: bool = True

    def send(self, message: EventMessage, then: Callable[[bool], None]) -> None:
        self.messages.append(message)
        if self.delivers:
            then(True)


def settle(ledger: Ledger, told: Told | None = None, *, minutes: float = 11) -> list[EventMessage]:
    """What is told by a process that begins now, so many minutes on: after ten a count cannot be taken back."""
    told = told or Told()
    Settling(ledger, told).look(now=datetime.now(UTC) + timedelta(minutes=minutes))
    return told.messages
