"""Counts that people made blind and that nobody can take back any more, with what is known of why each bin was counted."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from binsight.storage.api_key import stamp
from binsight.storage.ledger.certificates import AUDITED
from binsight.storage.ledger.database import Ledger
from binsight.storage.ledger.journal import Journal
from binsight.storage.ledger.tables import audit_lines, tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedCount:
    """What was found in a bin that has a photo. `origin` says why it was counted, `verdict` what the audit had said."""

    task: str
    audit: str
    place: int
    site: str
    bin_id: str
    origin: str
    verdict: str
    photo: str
    photo_sha256: str | None
    quantity: int


class TrustedCounts:
    """The trusted counts of a ledger. Every method raises as the ledger's transactions do; `now` is for tests."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def number(self, states: Sequence[str], *, now: datetime | None = None) -> int:
        """How many there are of tasks that ended in these states."""
        query = sa.select(sa.func.count()).select_from(_joined()).where(_trusted(states, now))
        with self._ledger.reading() as connection:
            return connection.execute(query).scalar() or 0

    def all(self, states: Sequence[str], *, now: datetime | None = None) -> list[TrustedCount]:
        """All of them, in the order of audits and places."""
        columns = (
            tasks.c.id.label("task"), tasks.c.audit, tasks.c.place, tasks.c.site, tasks.c.bin_id, tasks.c.origin,
            audit_lines.c.verdict, audit_lines.c.photo, audit_lines.c.photo_sha256, tasks.c.quantity,
        )  # fmt: skip
        query = sa.select(*columns).select_from(_joined()).where(_trusted(states, now))
        with self._ledger.reading() as connection:
            rows = connection.execute(query.order_by(tasks.c.audit, tasks.c.place)).mappings()
            return [TrustedCount(**row) for row in rows]

    def draws(self) -> Iterator[Mapping[str, Any]]:
        """What audits drew by lot: the bodies of their acts on certificates, each naming its `audit`."""
        for entry in Journal(self._ledger).read(kind=AUDITED):
            yield entry.body


def _joined() -> sa.Join:
    of = (tasks.c.audit == audit_lines.c.audit) & (tasks.c.place == audit_lines.c.place)
    return sa.join(tasks, audit_lines, of)


def _trusted(states: Sequence[str], now: datetime | None) -> "sa.ColumnElement[bool]":
    found = tasks.c.state.in_(states) & tasks.c.quantity.is_not(None) & audit_lines.c.photo.is_not(None)
    at = stamp(now or datetime.now(UTC))
    return found & (tasks.c.settle_at.is_(None) | (tasks.c.settle_at <= at))
