"""Audits looked up for pages: each answer is read off an index, so that it takes as long at a million lines."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from binsight.storage.ledger.audits import ENDED, AisleRow, Audit, AuditLineRow
from binsight.storage.ledger.database import Ledger
from binsight.storage.ledger.tables import audit_aisles, audit_lines, audits, journal, tasks

BY_UNITS, BY_VALUE, BY_BIN = "units", "value", "bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedAudit:
    """An audit that came to its end, with its tally."""

    audit: Audit
    ended_at: str
    tally: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which lines of an audit are wanted; None is any. `bins` is the beginning of the bins' ids."""

    audit: str
    verdict: str | None = None
    exception: str | None = None
    site: str | None = None
    aisle: str | None = None
    bins: str = ""
    by: str = BY_UNITS


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundLine:
    """A line, what it was found by, and its task where it has one."""

    audit: str
    line: AuditLineRow
    site: str | None
    aisle: str | None
    value_off: float | None
    task: str | None
    state: str | None


class Search:
    """Lookups in a ledger's audits. Every method raises as the ledger's transactions do."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def ended(self, *, most: int = 20) -> list[EndedAudit]:
        """The audits that came to an end last, the newest first."""
        query = (
            sa.select(audits, journal.c.at, journal.c.body)
            .join(journal, (journal.c.kind == ENDED) & (journal.c.subject == audits.c.id))
            .order_by(audits.c.begun_at.desc())
            .limit(most)
        )
        with self._ledger.reading() as connection:
            return [_ended(row) for row in connection.execute(query)]

    def aisles(self, audit: str) -> list[AisleRow]:
        """The aisles of an audit, by site and name."""
        columns = [audit_aisles.c[name] for name in AisleRow.__slots__]
        query = sa.select(*columns).where(audit_aisles.c.audit == audit)
        with self._ledger.reading() as connection:
            rows = connection.execute(query.order_by(audit_aisles.c.site, audit_aisles.c.aisle)).mappings()
            return [AisleRow(**row) for row in rows]

    def lines(
        self, asked: Asked, *, after: tuple[float | str, int] | None = None, most: int = 50
    ) -> list[FoundLine]:
        """Lines that fit, after the one with this sort key and place: the largest first, or bins in their order."""
        with self._ledger.reading() as connection:
            return [
                _found(row) for row in connection.execute(lines_query(asked, after=after, most=most)).mappings()
            ]

    def of_bin(
        self, bin_id: str, *, audit: str | None = None, site: str | None = None, most: int = 50
    ) -> list[FoundLine]:
        """The lines of one bin, in all audits or in one, at all sites or at one, the newest audit first."""
        query = _with_tasks().join(audits, audits.c.id == audit_lines.c.audit).where(audit_lines.c.bin_id == bin_id)
        query = query if audit is None else query.where(audit_lines.c.audit == audit)
        query = query if site is None else query.where(sa.func.coalesce(audit_lines.c.site, "") == site)
        with self._ledger.reading() as connection:
            rows = connection.execute(query.order_by(audits.c.begun_at.desc()).limit(most)).mappings()
            return [_found(row) for row in rows]

    def line(self, audit: str, place: int) -> FoundLine | None:
        """One line by its place."""
        query = _with_tasks().where((audit_lines.c.audit == audit) & (audit_lines.c.place == place))
        with self._ledger.reading() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else _found(row)


def lines_query(asked: Asked, *, after: tuple[float | str, int] | None, most: int) -> "sa.Select[Any]":
    """The query of `Search.lines`; its plan is what the bench looks at."""
    lines = audit_lines.c
    query = _with_tasks().where(lines.audit == asked.audit)
    for column, value in ((lines.verdict, asked.verdict), (lines.exception, asked.exception)):
        query = query if value is None else query.where(column == value)
    if asked.aisle is not None:
        query = query.where((lines.site == (asked.site or "")) & (lines.aisle == asked.aisle))
    elif asked.site:
        query = query.where(lines.site == asked.site)
    if asked.bins:  # a range and no LIKE, which no index serves in every collation
        query = query.where((lines.bin_id >= asked.bins) & (lines.bin_id < asked.bins + "\U0010ffff"))
    if asked.by == BY_BIN or asked.bins:
        if after is not None:
            query = query.where(sa.tuple_(lines.bin_id, lines.place) > sa.tuple_(*map(sa.literal, after)))
        return query.order_by(lines.bin_id, lines.place).limit(most)
    key = lines.value_off if asked.by == BY_VALUE else lines.units_off
    if asked.by == BY_VALUE:
        query = query.where(key.is_not(None))
    if after is not None:
        query = query.where(sa.tuple_(key, lines.place) < sa.tuple_(*map(sa.literal, after)))
    return query.order_by(key.desc(), lines.place.desc()).limit(most)


def _with_tasks() -> "sa.Select[Any]":
    its = (tasks.c.audit == audit_lines.c.audit) & (tasks.c.place == audit_lines.c.place)
    return sa.select(audit_lines, tasks.c.id.label("task"), tasks.c.state).outerjoin(tasks, its)


def _found(row: Any) -> FoundLine:
    return FoundLine(
        line=AuditLineRow(**{name: row[name] for name in AuditLineRow.__slots__}),
        **{name: row[name] for name in ("audit", "site", "aisle", "value_off", "task", "state")},
    )


def _ended(row: Any) -> EndedAudit:
    fields = {name: getattr(row, name) for name in Audit.__slots__}
    audit = Audit(**{**fields, "terms": json.loads(row.terms)})
    return EndedAudit(audit=audit, ended_at=row.at, tally=json.loads(row.body))
