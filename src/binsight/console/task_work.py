"""What programs do with tasks, behind their endpoints (rest.py)."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from binsight.audit.tasks import follows, policy_of
from binsight.storage.ledger import (
    BIN,
    COUNTER,
    Counts,
    Detail,
    Follows,
    Leases,
    Ledger,
    NewTask,
    People,
    Task,
    TaskRows,
)
from binsight.storage.ledger.search import FoundLine, Search
from binsight.storage.ledger.tasks import ASKED

_COUNTS = uuid.UUID("5f0e4c1e-7a0b-4f0c-9a51-6d2b5c6f1f3a")
"""Under this name people, tasks and idempotency keys make the tokens of leases."""
LEASE_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What came of giving bins out."""

    created: int
    there_already: int
    unknown: Sequence[str]


def task_of_line(found: FoundLine) -> NewTask:
    """A line that somebody wants counted, as a task."""
    return NewTask(
        place=found.line.place,
        origin=ASKED,
        site=found.site or "",
        aisle=found.aisle or "",
        bin_id=found.line.bin_id,
        from_photo=found.line.photo is not None,
    )


class TaskWork:
    """Tasks of a ledger. Every method raises as the ledger's transactions do."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        rows = TaskRows(ledger)
        self.find, self.detail = rows.find, rows.detail

    @classmethod
    def open(cls, url: str) -> "TaskWork":
        """Open the ledger. Raises as `Ledger.open`."""
        return cls(Ledger.open(url))

    def give_out(self, audit: str, bins: Iterable[str], *, site: str | None = None, by: str) -> Made:
        """Make tasks of an audit's bins, at all sites or at one, where they have none."""
        search, there, new, unknown = Search(self._ledger), 0, list[NewTask](), list[str]()
        for bin_id in dict.fromkeys(bins):
            of_audit = search.of_bin(bin_id, audit=audit, site=site)
            unknown += [bin_id] * (not of_audit)
            there += sum(one.task is not None for one in of_audit)
            new += [task_of_line(one) for one in of_audit if one.task is None]
        created = TaskRows(self._ledger).create(audit, new, by=by) if new else 0
        return Made(created=created, there_already=there + len(new) - created, unknown=unknown)

    def count(self, task_id: str, counted: int, *, by: str, key: str, comment: str) -> tuple[Task, bool]:
        """Keep a count that a person of another system made; the task after it, and whether it had been sent before.

        `key` names the count: sent again with the same, it counts once.
        """
        user = People(self._ledger).known(by, role=COUNTER)
        token = str(uuid.uuid5(_COUNTS, f"{by}\n{task_id}\n{key}"))
        Leases(self._ledger).take(task_id, token=token, user=user.id, where=BIN, seconds=LEASE_S)
        policy = policy_of(self._ledger)

        def rule(detail: Detail) -> Follows:
            return follows(detail, policy)

        kept = Counts(self._ledger).add(token, counted, user=user.id, name=user.name, rule=rule, comment=comment)
        return TaskRows(self._ledger).detail(task_id).task, kept.was_there
