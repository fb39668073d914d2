"""Old audits out of the ledger, and back: which may go, what is kept of them, and the acts in the journal.

A line that became a task stays, with all that people did. The others are taken out by the groups that the journal has
digests of, each in a transaction: a group is there whole, or only as far as it stays, so that what is left can be
proven at any moment.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from binsight.errors import ChangedMeanwhile, GateFailed, MissingObject
from binsight.storage.api_key import stamp
from binsight.storage.ledger.archived import ARCHIVED, RESTORED, archived
from binsight.storage.ledger.audits import BEGUN, ENDED, LINES, AuditLineRow, FoundBy, lines_with_tasks, row_fields
from binsight.storage.ledger.database import Ledger
from binsight.storage.ledger.journal import Entry, Journal, append, digest_of_rows, entries_of, hold_end
from binsight.storage.ledger.leases import OPEN
from binsight.storage.ledger.tables import audit_lines, audits, journal, tasks

_WAITING = (*OPEN, "approve")
"""States in which something is still to come of a task."""
SILENT_S = 86_400
"""An audit that has kept nothing for so long runs no more: a thousand lines take minutes, where photos are slow hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What came of taking an audit's lines out: how many went, and how many stay since they became tasks."""

    num_removed: int
    num_kept: int


class Archives:
    """The archives of a ledger. Every method raises as the ledger's transactions do."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def old(self, before: str, *, now: datetime | None = None) -> list[str]:
        """The audits that ended, or were cut off, before this moment, all of whose tasks are over, the oldest first; never
        the newest that ended.

        One without an end whose last act is a day old was cut off: one that runs keeps lines all the time. One that was
        archived is among them while lines of it are left that should have gone.
        """
        is_end = (journal.c.kind == ENDED) & (journal.c.subject == audits.c.id)
        begun = sa.select(audits.c.id, journal.c.at).outerjoin(journal, is_end).order_by(audits.c.begun_at)
        a_day_ago = stamp((now or datetime.now(UTC)) - timedelta(seconds=SILENT_S))
        with self._ledger.reading() as connection:
            found = connection.execute(begun.where(audits.c.begun_at < before)).all()
            newest = connection.execute(_newest_ended()).scalar()
            return [
                row.id
                for row in found
                if (row.at < before if row.at else _last_act(connection, row.id) < min(before, a_day_ago))
                and row.id != newest
                and not _has_work(connection, row.id)
                and _has_removable(connection, row.id)
            ]

    def groups(self, audit_id: str) -> list[Entry]:
        """The journal's entries of an audit's lines, each of a group of them."""
        return list(Journal(self._ledger).read(kind=LINES, subject=audit_id))

    def lines(self, group: Entry) -> list[tuple[AuditLineRow, FoundBy]]:
        """The lines of a group with what they are found by, in their places.

        Raises `GateFailed` where they are not those that the journal has the digest of.
        """
        of = (audit_lines.c.audit == group.subject) & _in(group)
        with self._ledger.reading() as connection:
            rows = (
                connection.execute(sa.select(audit_lines).where(of).order_by(audit_lines.c.place)).mappings().all()
            )
        found = [(_picked(AuditLineRow, row), _picked(FoundBy, row)) for row in rows]
        if digest_of_rows(row_fields(line) for line, _ in found) != group.body["sha256"]:
            raise GateFailed(
                f"{_named(group)} are not those of entry {group.seq}, and nothing was archived; see binsight audit "
                "verify-log"
            )
        return found

    def of(self, audit_id: str) -> Entry | None:
        """The entry of the archive that has the audit's lines; None where the ledger has them."""
        with self._ledger.reading() as connection:
            return archived(connection, audit_id)

    def all(self) -> list[Entry]:
        """The archives that have audits' lines at this moment, in the order in which they were made."""
        found: dict[str, Entry] = {}
        acts = [entry for kind in (ARCHIVED, RESTORED) for entry in Journal(self._ledger).read(kind=kind)]
        for entry in sorted(acts, key=lambda one: one.seq):
            if entry.kind == ARCHIVED:
                found[entry.subject] = entry
            else:
                found.pop(entry.subject, None)
        return list(found.values())

    def archive(self, audit_id: str, *, place: str, name: str, sha256: str, num_lines: int, by: str) -> None:
        """Keep that the file `name` below `place` has all lines of an audit, which may be taken out from now on.

        Raises `ChangedMeanwhile` where somebody made a task of it meanwhile, or more lines were kept.
        """
        with self._ledger.writing() as connection:
            hold_end(connection)  # who makes a task of it, or keeps lines, waits, and is then refused
            if sum(map(size_of, entries_of(connection, audit_id, (LINES,)))) != num_lines:
                raise ChangedMeanwhile(
                    f"audit {audit_id} was not cut off: it kept lines meanwhile; let it end first"
                )
            if _has_work(connection, audit_id):
                raise ChangedMeanwhile(
                    f"audit {audit_id} was given new tasks meanwhile; archive it when they are over"
                )
            kept = list(map(row_fields, lines_with_tasks(connection, audit_id)))
            body = {
                "place": place,
                "name": name,
                "sha256": sha256,
                "num_lines": num_lines,
                "num_kept": len(kept),
                "kept_sha256": digest_of_rows(kept),
            }
            append(connection, kind=ARCHIVED, subject=audit_id, body=body, by=by)

    def remove(self, audit_id: str) -> Removal:
        """Take out an archived audit's lines that never became tasks. Raises `MissingObject` where none is archived."""
        entry, number = self.of(audit_id), 0
        if entry is None:
            raise MissingObject(f"audit {audit_id} is not archived; archive it first")
        for group in self.groups(audit_id):
            of = (audit_lines.c.audit == audit_id) & _in(group) & ~_has_task()
            with self._ledger.writing() as connection:
                number += connection.execute(sa.delete(audit_lines).where(of)).rowcount
        return Removal(num_removed=number, num_kept=entry.body["num_kept"])

    def restore(self, group: Entry, lines: Sequence[tuple[AuditLineRow, FoundBy]]) -> int:
        """Put the lines of a group back, as far as they are not there; how many.

        Raises `ChangedMeanwhile` where they are not those that the journal has the digest of.
        """
        if digest_of_rows(row_fields(line) for line, _ in lines) != group.body["sha256"]:
            raise ChangedMeanwhile(
                f"{_named(group)} are others in the archive than were kept; look for another copy of it"
            )
        of = (audit_lines.c.audit == group.subject) & _in(group)
        with self._ledger.writing() as connection:
            there = set(connection.execute(sa.select(audit_lines.c.place).where(of)).scalars())
            rows = [
                {"audit": group.subject, **row_fields(line), **asdict(by)}
                for line, by in lines
                if line.place not in there
            ]
            if rows:
                connection.execute(sa.insert(audit_lines), rows)
        return len(rows)

    def restored(self, audit_id: str, *, by: str) -> None:
        """Keep that an audit's lines are all back."""
        with self._ledger.writing() as connection:
            append(connection, kind=RESTORED, subject=audit_id, body={}, by=by)

    def tampered(self) -> str | None:
        """What of the lines left of archived audits does not agree with the journal; `Audits.broken` finds the rest."""
        for entry in self.all():
            with self._ledger.reading() as connection:
                kept = list(map(row_fields, lines_with_tasks(connection, entry.subject)))
            if (len(kept), digest_of_rows(kept)) != (entry.body["num_kept"], entry.body["kept_sha256"]):
                return f"what is left of audit {entry.subject} is not that of entry {entry.seq}"
        return None


def size_of(group: Entry) -> int:
    """How many lines a group has."""
    return int(group.body["last"]) - int(group.body["first"]) + 1


def _in(group: Entry) -> "sa.ColumnElement[bool]":
    return audit_lines.c.place.between(group.body["first"], group.body["last"])


def _named(group: Entry) -> str:
    return f"lines {group.body['first']} to {group.body['last']} of audit {group.subject}"


def _picked(kind: Any, row: "sa.RowMapping") -> Any:
    return kind(**{name: row[name] for name in kind.__slots__})


def _newest_ended() -> "sa.Select[tuple[str]]":
    ended = (journal.c.kind == ENDED) & (journal.c.subject == audits.c.id)
    return sa.select(audits.c.id).where(sa.exists().where(ended)).order_by(audits.c.begun_at.desc()).limit(1)


def _last_act(connection: sa.Connection, audit_id: str) -> str:
    """When an audit began, or kept its last lines."""
    of = journal.c.kind.in_((BEGUN, LINES)) & (journal.c.subject == audit_id)
    return str(connection.execute(sa.select(sa.func.max(journal.c.at)).where(of)).scalar())


def _has_work(connection: sa.Connection, audit_id: str) -> bool:
    """Whether a task of it is not over, or its outcome can still be taken back."""
    going_on = tasks.c.state.in_(_WAITING) | tasks.c.settle_at.is_not(None)
    query = sa.select(tasks.c.id).where((tasks.c.audit == audit_id) & going_on).limit(1)
    return connection.execute(query).first() is not None


def _has_removable(connection: sa.Connection, audit_id: str) -> bool:
    query = sa.select(audit_lines.c.place).where((audit_lines.c.audit == audit_id) & ~_has_task()).limit(1)
    return connection.execute(query).first() is not None


def _has_task() -> "sa.ColumnElement[bool]":
    return sa.exists().where((tasks.c.audit == audit_lines.c.audit) & (tasks.c.place == audit_lines.c.place))
