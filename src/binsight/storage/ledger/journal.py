"""The journal: every act a row for good, each chained to the one before by its hash.

    hash(n) = SHA-256 of hash(n-1) and of row n as canonical JSON; hash(0) is empty

Whoever changes, removes or inserts a row breaks the chain from there on. To cut off its end leaves it whole: against
that, keep the last hash elsewhere and have it checked (`Journal.verify`). A row may carry the digest of many rows of
another table, which are proven with it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from binsight.storage.ledger.database import Ledger, alone
from binsight.storage.ledger.tables import journal

_PAGE = 1000
_BEFORE_ALL = -(2**62)
"""Entries count from 1; one that somebody put before them is to be found."""
_APPENDING = 0x6A6F7572
"""PostgreSQL's lock that one transaction alone may hold while it appends: "jour". SQLite has one writer anyway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One act: when (UTC, ISO 8601), by whom, of which kind, on what, and its particulars."""

    seq: int
    at: str
    by: str
    kind: str
    subject: str
    body: Mapping[str, Any]
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What became of checking: how many entries are proven, the last good hash, and where the chain breaks, if it does."""

    num_entries: int
    head: str
    broken: str | None


def append(connection: sa.Connection, *, kind: str, subject: str, body: Mapping[str, Any], by: str) -> Entry:
    """Add an entry within a writing transaction: it stands or falls with what it tells of."""
    hold_end(connection)
    last = connection.execute(
        sa.select(journal.c.seq, journal.c.hash).order_by(journal.c.seq.desc()).limit(1)
    ).first()
    seq, before = (1, "") if last is None else (last.seq + 1, last.hash)
    row: dict[str, Any] = {
        "seq": seq,
        "at": datetime.now(UTC).isoformat(timespec="microseconds"),
        "by": by,
        "kind": kind,
        "subject": subject,
        "body": _canonical(body),
    }
    row["hash"] = _chained(before, row)
    connection.execute(sa.insert(journal).values(row))
    return Entry(**{**row, "body": body})


def hold_end(connection: sa.Connection) -> None:
    """Have nobody else append until this writing transaction ends: for an act that rests on what was read before it."""
    alone(connection, _APPENDING)


def entries_of(connection: sa.Connection, subject: str, kinds: Sequence[str]) -> list[Entry]:
    """The entries of some kinds on one subject within a transaction, in the order in which they were made."""
    query = sa.select(journal).where(journal.c.kind.in_(kinds) & (journal.c.subject == subject))
    rows = connection.execute(query.order_by(journal.c.seq)).mappings()
    return [Entry(**{**row, "body": json.loads(row["body"])}) for row in rows]


class Journal:
    """The journal of a ledger, to read and to prove. Every method raises as the ledger's transactions do."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def read(self, *, kind: str | None = None, subject: str | None = None) -> Iterator[Entry]:
        """Entries in the order in which they were made, all or some."""
        for row in self._rows(kind, subject):
            yield Entry(**{**row, "body": json.loads(row["body"])})

    def verify(self, *, head: str | None = None) -> Proof:
        """Work the chain out again. `head` is a hash that was once its last: it must still stand in it."""
        before, number, is_head_seen = "", 0, head is None
        for row in self._rows():
            if row["seq"] != number + 1:
                return Proof(
                    num_entries=number,
                    head=before,
                    broken=f"entry {row['seq']} stands where entry {number + 1} should",
                )
            if _chained(before, row) != row["hash"]:
                return Proof(num_entries=number, head=before, broken=f"entry {row['seq']} was changed")
            before, number = row["hash"], row["seq"]
            is_head_seen = is_head_seen or before == head
        cut_off = None if is_head_seen else "the end was cut off: the hash that was kept stands nowhere in it"
        return Proof(num_entries=number, head=before, broken=cut_off)

    def _rows(self, kind: str | None = None, subject: str | None = None) -> Iterator[Mapping[str, Any]]:
        query = sa.select(journal).order_by(journal.c.seq).limit(_PAGE)
        for column, value in ((journal.c.kind, kind), (journal.c.subject, subject)):
            query = query if value is None else query.where(column == value)
        after = _BEFORE_ALL
        while True:
            with self._ledger.reading() as connection:
                page = connection.execute(query.where(journal.c.seq > after)).mappings().all()
            yield from map(dict, page)
            if len(page) < _PAGE:
                return
            after = page[-1]["seq"]


def digest(before: str, row: Mapping[str, Any]) -> str:
    """The digest of rows up to this one, given that of the rows before it."""
    return sha256(f"{before}\n{_canonical(row)}".encode()).hexdigest()


def digest_of_rows(rows: Iterable[Mapping[str, Any]]) -> str:
    """The digest of many rows, in their order."""
    found = ""
    for row in rows:
        found = digest(found, row)
    return found


def _chained(before: str, row: Mapping[str, Any]) -> str:
    return digest(before, {name: row[name] for name in ("seq", "at", "by", "kind", "subject", "body")})


_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
