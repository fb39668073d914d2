"""Audits and their lines: written once, in groups whose digests stand in the journal."""

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from binsight.errors import MissingObject
from binsight.storage.ledger.archived import archived, check_whole
from binsight.storage.ledger.database import Ledger
from binsight.storage.ledger.journal import Journal, append, digest, digest_of_rows
from binsight.storage.ledger.tables import audit_aisles, audit_lines, audits, tasks

_PAGE = 1000
BEGUN, LINES, ENDED = "audit.begun", "audit.lines", "audit.ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """One audit: by whom, with which model and certificate, and on what terms records were judged."""

    id: str
    begun_at: str
    begun_by: str
    model: str
    certificate_sha256: str | None
    terms: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLineRow:
    """One record and its verdict, as it is kept: `record` and `estimate` are JSON, `place` counts from 1."""

    place: int
    bin_id: str
    expected: int
    record: str
    photo: str | None
    photo_sha256: str | None
    estimate: str | None
    count: int | None
    verdict: str
    reason: str
    exception: str | None
    p_record: float | None
    p_right: float
    units_off: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundBy:
    """What a line is looked up by, taken out of its record: not in its digest, since nothing is decided by it."""

    site: str
    aisle: str
    value_off: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AisleRow:
    """The lines of one aisle in numbers."""

    site: str
    aisle: str
    num_records: int
    num_verified: int
    num_suspect: int
    units_off: float


class Audits:
    """The audits of a ledger. Every method raises as the ledger's transactions do."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def begin(self, *, model: str, certificate_sha256: str | None, terms: Mapping[str, Any], by: str) -> Audit:
        """Begin an audit; its lines follow."""
        audit = Audit(
            id=str(uuid.uuid4()),
            begun_at=datetime.now(UTC).isoformat(timespec="microseconds"),
            begun_by=by,
            model=model,
            certificate_sha256=certificate_sha256,
            terms=terms,
        )
        row = {**asdict(audit), "terms": json.dumps(terms, sort_keys=True)}
        with self._ledger.writing() as connection:
            connection.execute(sa.insert(audits).values(row))
            append(connection, kind=BEGUN, subject=audit.id, body={"sha256": digest("", row)}, by=by)
        return audit

    def add(self, audit: Audit, lines: Sequence[AuditLineRow], found_by: Sequence[FoundBy] = ()) -> None:
        """Keep lines, all of them or none, and their digest in the journal; `found_by` has one for each, or none.

        Raises `MissingObject` where the audit was taken for one that was cut off, and archived.
        """
        rows = list(map(row_fields, lines))
        places = [{name: getattr(one, name) for name in FoundBy.__slots__} for one in found_by] or [{}] * len(rows)
        body = {"first": lines[0].place, "last": lines[-1].place, "sha256": digest_of_rows(rows)}
        with self._ledger.writing() as connection:
            connection.execute(
                sa.insert(audit_lines),
                [{"audit": audit.id, **row, **place} for row, place in zip(rows, places, strict=True)],
            )
            append(connection, kind=LINES, subject=audit.id, body=body, by=audit.begun_by)
            check_whole(connection, audit.id)  # now that nobody else can archive it

    def end(self, audit: Audit, tally: Mapping[str, Any], aisles: Sequence[AisleRow] = ()) -> None:
        """Say that all lines are there, and what they came to. An audit without its end was cut off."""
        with self._ledger.writing() as connection:
            if aisles:
                connection.execute(sa.insert(audit_aisles), [{"audit": audit.id, **asdict(one)} for one in aisles])
            append(connection, kind=ENDED, subject=audit.id, body=tally, by=audit.begun_by)

    def read(self, audit_id: str) -> Audit:
        """An audit by its id. Raises `MissingObject`."""
        with self._ledger.reading() as connection:
            row = connection.execute(sa.select(audits).where(audits.c.id == audit_id)).mappings().first()
        if row is None:
            raise MissingObject(f"there is no audit {audit_id} in the ledger; check its id")
        return Audit(**{**row, "terms": json.loads(row["terms"])})

    def lines(self, audit_id: str, *, first: int = 1, last: int | None = None) -> Iterator[AuditLineRow]:
        """The lines of an audit in their places, some hundred at a time. Raises `MissingObject` where they are archived."""
        with self._ledger.reading() as connection:
            check_whole(connection, audit_id)
        yield from self._lines(audit_id, first=first, last=last)

    def _lines(self, audit_id: str, *, first: int = 1, last: int | None = None) -> Iterator[AuditLineRow]:
        """The lines that are in the ledger."""
        columns = [audit_lines.c[name] for name in AuditLineRow.__slots__]
        query = (
            sa.select(*columns).where(audit_lines.c.audit == audit_id).order_by(audit_lines.c.place).limit(_PAGE)
        )
        if last is not None:
            query = query.where(audit_lines.c.place <= last)
        while True:
            with self._ledger.reading() as connection:
                page = [
                    AuditLineRow(**row)
                    for row in connection.execute(query.where(audit_lines.c.place >= first)).mappings()
                ]
            yield from page
            if len(page) < _PAGE:
                return
            first = page[-1].place + 1

    def broken(self) -> str | None:
        """What of audits and lines does not agree with the journal, which holds, or stands in no entry of it."""
        journal, proven = Journal(self._ledger), dict[str, int]()
        for entry in journal.read(kind=BEGUN):
            begun = self._begun(entry.subject)
            if begun is None or digest("", begun) != entry.body["sha256"]:
                return f"audit {entry.subject} is not that of entry {entry.seq}"
            proven[entry.subject] = 0
        for entry in journal.read(kind=LINES):
            first, last = entry.body["first"], entry.body["last"]
            rows = list(map(row_fields, self._lines(entry.subject, first=first, last=last)))
            if digest_of_rows(rows) != entry.body["sha256"] and not self._stay(
                entry.subject, first, last, len(rows)
            ):
                return f"lines {first} to {last} of audit {entry.subject} are not those of entry {entry.seq}"
            proven[entry.subject] += len(rows)
        return self._put_in(proven)

    def _stay(self, audit_id: str, first: int, last: int, number: int) -> bool:
        """Whether these are the lines that stay of an archived audit: all have tasks, and `Archives` proves them."""
        of = (tasks.c.audit == audit_id) & tasks.c.place.between(first, last)
        with self._ledger.reading() as connection:
            if archived(connection, audit_id) is None:
                return False
            return connection.execute(sa.select(sa.func.count()).select_from(tasks).where(of)).scalar() == number

    def _put_in(self, proven: Mapping[str, int]) -> str | None:
        """An audit, or lines of one, that no entry tells of."""
        lines = sa.func.count(audit_lines.c.place)
        query = sa.select(audits.c.id, lines).outerjoin(audit_lines, audit_lines.c.audit == audits.c.id)
        with self._ledger.reading() as connection:
            for audit, number in connection.execute(query.group_by(audits.c.id)):
                if audit not in proven:
                    return f"audit {audit} stands in no entry"
                if number != proven[audit]:
                    return f"audit {audit} has {number} lines, of which entries prove {proven[audit]}"
        return None

    def _begun(self, audit_id: str) -> Mapping[str, Any] | None:
        with self._ledger.reading() as connection:
            row = connection.execute(sa.select(audits).where(audits.c.id == audit_id)).mappings().first()
        return None if row is None else dict(row)


def lines_with_tasks(connection: sa.Connection, audit_id: str) -> Iterator[AuditLineRow]:
    """The lines of an audit that became tasks, in their places."""
    columns = [audit_lines.c[name] for name in AuditLineRow.__slots__]
    of = (tasks.c.audit == audit_lines.c.audit) & (tasks.c.place == audit_lines.c.place)
    query = sa.select(*columns).join(tasks, of).where(tasks.c.audit == audit_id).order_by(audit_lines.c.place)
    for row in connection.execute(query).mappings():
        yield AuditLineRow(**row)


def row_fields(line: AuditLineRow) -> dict[str, Any]:
    """As `asdict`, which copies deeply and takes ten times as long."""
    return {name: getattr(line, name) for name in AuditLineRow.__slots__}
