"""What the ledger has of some bins of an audit, for evidence of it, and which bundles of evidence were made."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from binsight.storage.ledger.archived import check_whole
from binsight.storage.ledger.audits import BEGUN, ENDED, LINES, AuditLineRow
from binsight.storage.ledger.database import Ledger
from binsight.storage.ledger.journal import Entry, Journal, append
from binsight.storage.ledger.tables import audit_lines

MADE = "evidence.made"


class Evidence:
    """Evidence from a ledger. Every method raises as the ledger's transactions do."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def lines(self, audit_id: str, bin_ids: Sequence[str]) -> list[AuditLineRow]:
        """The audit's lines of these bins, at whatever site. Raises `MissingObject` where one is missing and archived."""
        columns = [audit_lines.c[name] for name in AuditLineRow.__slots__]
        wanted = (audit_lines.c.audit == audit_id) & audit_lines.c.bin_id.in_(bin_ids)
        with self._ledger.reading() as connection:
            rows = connection.execute(sa.select(*columns).where(wanted).order_by(audit_lines.c.place)).mappings()
            found = [AuditLineRow(**row) for row in rows]
            if {line.bin_id for line in found} < set(bin_ids):
                check_whole(connection, audit_id)
        return found

    def entries(self, audit_id: str, places: Sequence[int]) -> Iterator[Entry]:
        """The journal's entries of an audit: its beginning, those whose digests prove the lines in `places`, its end."""
        journal = Journal(self._ledger)
        yield from journal.read(kind=BEGUN, subject=audit_id)
        for entry in journal.read(kind=LINES, subject=audit_id):
            if any(entry.body["first"] <= place <= entry.body["last"] for place in places):
                yield entry
        yield from journal.read(kind=ENDED, subject=audit_id)

    def made(self, audit_id: str, body: Mapping[str, Any], *, by: str) -> Entry:
        """Keep that evidence was made; `body` has the hash of its manifest."""
        with self._ledger.writing() as connection:
            return append(connection, kind=MADE, subject=audit_id, body=body, by=by)

    def entry_of(self, audit_id: str, manifest_sha256: str) -> Entry | None:
        """The entry of evidence with this manifest, if it was made from this ledger."""
        for entry in Journal(self._ledger).read(kind=MADE, subject=audit_id):
            if entry.body["manifest_sha256"] == manifest_sha256:
                return entry
        return None
