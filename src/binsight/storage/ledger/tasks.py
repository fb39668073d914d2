"""Tasks: bins that people should count. Made from an audit's lines, their states changed by acts alone.

A task as it is given to a person who counts (`Task`, `Lease`) says nothing of what the record or the model says: who
counts blind must not be sent it. `TaskRows.detail` has all of it, for those who decide.
"""

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import count, islice
from typing import Any

import sqlalchemy as sa

from binsight.errors import ChangedMeanwhile, MissingObject
from binsight.storage.api_key import stamp
from binsight.storage.ledger.archived import check_whole
from binsight.storage.ledger.audits import AuditLineRow
from binsight.storage.ledger.database import Ledger, inserted
from binsight.storage.ledger.journal import append, digest_of_rows, hold_end
from binsight.storage.ledger.tables import audit_lines, audits, count_acts, counts, decisions, skips, tasks, users
from binsight.storage.ledger.waiting import make_way, waiting_bins

PLANNED, RANDOM, ASKED = "planned", "random", "asked"
"""Why a bin is to be counted: by the plan, drawn at random, or because somebody asked for it."""
CREATED, SUPERSEDED = "tasks.created", "tasks.superseded"
FIXED = ("id", "audit", "place", "rank", "origin", "site", "aisle", "bin_id", "created_at", "created_by")
"""Columns that never change; the journal holds their digest."""
_TOGETHER = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """A line of an audit that is to be counted; the tasks of an audit are walked in the order in which they are given."""

    place: int
    origin: str
    site: str
    aisle: str
    bin_id: str
    from_photo: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task without anything that a person who counts blind must not see. `quantity` is what was found in the end."""

    id: str
    audit: str
    place: int
    rank: int
    site: str
    aisle: str
    bin_id: str
    state: str
    from_photo: bool
    quantity: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledLine:
    """What of an audit's line its count is compared with."""

    place: int
    verdict: str
    expected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CountRow:
    """One person's count, by user name. `where` is "photo" or "bin", `stage` what the task waited for, `marks` JSON."""

    token: str
    number: int
    stage: str
    user: str
    where: str
    counted: int
    counted_at: str
    seconds: float | None
    comment: str
    marks: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """A task with all that is known of it, for those who decide. People are named by their user names."""

    task: Task
    origin: str
    line: AuditLineRow
    counts: tuple[CountRow, ...]
    withdrawn: frozenset[str]
    skips: tuple[Mapping[str, Any], ...]
    decisions: tuple[Mapping[str, Any], ...]

    @property
    def standing(self) -> tuple[CountRow, ...]:
        """The counts that were not withdrawn."""
        return tuple(one for one in self.counts if one.token not in self.withdrawn)


class TaskRows:
    """The tasks of a ledger. Every method raises as the ledger's transactions do."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def create(self, audit: str, new: Iterable[NewTask], *, by: str) -> int:
        """Make tasks of an audit's lines, all or none; how many.

        A bin has one task: one of an earlier audit that nobody counted or has is cancelled for the new one. Where another
        is not over all the same, that one stays and none is made. But what is drawn by lot is counted whole: it is always
        made, and never cancelled for another.
        Raises `ChangedMeanwhile` where a line has one already, `MissingObject` where the audit is archived.
        """
        at, number = _now(), 0
        with self._ledger.writing() as connection:
            hold_end(connection)  # who archives the audit waits, and then sees the tasks
            check_whole(connection, audit)
            waiting = waiting_bins(connection, audit, gives_way := _gives_way_to(audit, at))
            query = sa.select(sa.func.max(tasks.c.rank)).where(tasks.c.audit == audit)
            ranks = count((connection.execute(query).scalar() or 0) + 1)

            def is_made(one: NewTask) -> bool:
                return one.origin == RANDOM or _bin(one) not in waiting.kept

            lines = filter(is_made, new)
            while together := list(islice(lines, _TOGETHER)):
                if gone := make_way(connection, waiting, map(_bin, together), gives_way):
                    body = {"tasks": gone, "state": "cancelled"}
                    append(connection, kind=SUPERSEDED, subject=audit, body=body, by=by)
                rows = [_new_row(one, audit, next(ranks), at, by) for one in filter(is_made, together)]
                if not rows:
                    continue
                if not inserted(connection, sa.insert(tasks), rows):
                    raise ChangedMeanwhile(
                        f"audit {audit} has tasks for some of these bins already; see what tasks there are"
                    )
                number += len(rows)
                proof = digest_of_rows(map(fixed, rows))
                body = {"first": rows[0]["rank"], "last": rows[-1]["rank"], "sha256": proof}
                append(connection, kind=CREATED, subject=audit, body=body, by=by)
        return number

    def find(
        self,
        *,
        states: Sequence[str] = (),
        audit: str | None = None,
        site: str | None = None,
        aisle: str | None = None,
        after: tuple[int, str] | None = None,
        most: int = 100,
    ) -> list[Task]:
        """Tasks in walking order, those that fit, after the one of this rank and id."""
        query = sa.select(*_COLUMNS).order_by(tasks.c.rank, tasks.c.id).limit(most)
        query = query.where(in_states(states)) if states else query
        for column, value in ((tasks.c.audit, audit), (tasks.c.site, site), (tasks.c.aisle, aisle)):
            query = query if value is None else query.where(column == value)
        if after is not None:
            query = query.where(sa.tuple_(tasks.c.rank, tasks.c.id) > sa.tuple_(*map(sa.literal, after)))
        with self._ledger.reading() as connection:
            return [task_of(row) for row in connection.execute(query)]

    def tally(self, audit: str | None = None) -> dict[str, int]:
        """How many tasks are in each state."""
        query = sa.select(tasks.c.state, sa.func.count()).group_by(tasks.c.state)
        query = query if audit is None else query.where(tasks.c.audit == audit)
        with self._ledger.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def settled(self, audit: str, states: Sequence[str]) -> list[tuple[SettledLine, int]]:
        """Of an audit's tasks that ended in these states, the lines and what was found."""
        of = (tasks.c.audit == audit_lines.c.audit) & (tasks.c.place == audit_lines.c.place)
        columns = [audit_lines.c[name] for name in SettledLine.__slots__]
        query = sa.select(*columns, tasks.c.quantity).join(tasks, of)
        query = query.where((tasks.c.audit == audit) & tasks.c.state.in_(states) & tasks.c.quantity.is_not(None))
        with self._ledger.reading() as connection:
            rows = connection.execute(query.order_by(tasks.c.place)).mappings()
            return [
                (SettledLine(**{name: row[name] for name in SettledLine.__slots__}), row["quantity"])
                for row in rows
            ]

    def detail(self, task_id: str) -> Detail:
        """All that is known of a task. Raises `MissingObject`."""
        with self._ledger.reading() as connection:
            return detail_of(connection, task_id)


def _gives_way_to(audit: str, at: str) -> "sa.ColumnElement[bool]":
    """Tasks that are cancelled where this audit has one for their bins: of earlier audits, counted and had by nobody, and
    not drawn by lot. Whether the next audit wants a bin hangs on whether its record is wrong: a draw without such bins
    would say that fewer are."""
    begun = sa.select(audits.c.begun_at).where(audits.c.id == audit).scalar_subquery()
    is_earlier = tasks.c.audit.in_(sa.select(audits.c.id).where(audits.c.begun_at <= begun))
    is_idle = tasks.c.lease.is_(None) | (tasks.c.leased_until <= at)
    return (tasks.c.state == "count") & (tasks.c.origin != RANDOM) & is_idle & is_earlier


def in_states(states: Sequence[str]) -> "sa.ColumnElement[bool]":
    """Tasks in one of these states, which are written into the statement: an index of open tasks alone is used only
    where the database can read off it that no other is asked for."""
    return tasks.c.state.in_(sa.bindparam(None, list(states), expanding=True, literal_execute=True))


def detail_of(connection: sa.Connection, task_id: str) -> Detail:
    """As `TaskRows.detail`, within a transaction."""
    row = connection.execute(sa.select(*_COLUMNS, tasks.c.origin).where(tasks.c.id == task_id)).first()
    if row is None:
        raise MissingObject(f"there is no task {task_id[:40]!r}; check its id")
    of = (audit_lines.c.audit == row.audit) & (audit_lines.c.place == row.place)
    columns = [audit_lines.c[name] for name in AuditLineRow.__slots__]
    line = connection.execute(sa.select(*columns).where(of)).mappings().one()
    withdrawn = (
        sa.select(count_acts.c.token)
        .join(counts, counts.c.token == count_acts.c.token)
        .where((counts.c.task == task_id) & (count_acts.c.kind == "withdrawn"))
    )
    return Detail(
        task=task_of(row),
        origin=row.origin,
        line=AuditLineRow(**line),
        counts=tuple(CountRow(**one) for one in _of_task(connection, counts, task_id, counts.c.number)),
        withdrawn=frozenset(connection.execute(withdrawn).scalars()),
        skips=tuple(_of_task(connection, skips, task_id, skips.c.at)),
        decisions=tuple(_of_task(connection, decisions, task_id, decisions.c.at)),
    )


def _of_task(
    connection: sa.Connection, table: sa.Table, task_id: str, order: "sa.Column[Any]"
) -> list[dict[str, Any]]:
    """Rows of a task, with the names of those who wrote them."""
    columns = [column for column in table.c if column.name not in ("task", "user")]
    query = (
        sa.select(*columns, users.c.name.label("user"))
        .join(users, users.c.id == table.c.user)
        .where(table.c.task == task_id)
        .order_by(order)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


_COLUMNS = tuple(tasks.c[name] for name in Task.__slots__)


def task_of(row: Any) -> Task:
    """The task in a row of a query that has its columns."""
    return Task(**{name: getattr(row, name) for name in Task.__slots__})


def fixed(row: Mapping[str, Any]) -> dict[str, Any]:
    """What of a task's row never changes."""
    return {name: row[name] for name in FIXED}


def _bin(new: NewTask) -> tuple[str, str]:
    return new.site, new.bin_id


def _new_row(new: NewTask, audit: str, rank: int, at: str, by: str) -> dict[str, Any]:
    made = {"id": str(uuid.uuid4()), "audit": audit, "rank": rank, "created_at": at, "created_by": by}
    return made | asdict(new) | {"state": "count"}


def _now() -> str:
    return stamp(datetime.now(UTC))


def record_of(line: AuditLineRow) -> Mapping[str, Any]:
    """What a line's record says beside bin and quantity: `site`, `skus`, `item_class`, `unit_value`, where known."""
    return dict(json.loads(line.record))
