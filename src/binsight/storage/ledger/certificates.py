"""What became of certificates: acts in the journal, each on a certificate by the hash of its file."""

import heapq
from collections.abc import Iterator, Mapping
from typing import Any

from binsight.storage.ledger.database import Ledger
from binsight.storage.ledger.journal import Entry, Journal, append, entries_of

USED, AUDITED, COUNTED, SUSPENDED, REINSTATED = (
    "certificate.used",
    "certificate.audited",
    "certificate.counted",
    "certificate.suspended",
    "certificate.reinstated",
)
"""First used by an audit; watched by one, with its draw; drawn bins were counted; out of force; in force again."""
KINDS = (USED, AUDITED, COUNTED, SUSPENDED, REINSTATED)


class Certificates:
    """The acts on the certificates of a ledger. Every method raises as the ledger's transactions do."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def add(self, kind: str, sha256: str, body: Mapping[str, Any], *, by: str) -> Entry:
        """Keep an act of one of `KINDS`."""
        with self._ledger.writing() as connection:
            return append(connection, kind=kind, subject=sha256, body=body, by=by)

    def acts(self, sha256: str) -> Iterator[Entry]:
        """All acts on one certificate, in their order."""
        journal = Journal(self._ledger)
        found = [journal.read(kind=kind, subject=sha256) for kind in KINDS]
        return heapq.merge(*found, key=lambda entry: entry.seq)

    def suspended(self, sha256: str) -> tuple[str, ...]:
        """Why a certificate is out of force, a word a reason; empty where it is in force."""
        with self._ledger.reading() as connection:
            last = entries_of(connection, sha256, (SUSPENDED, REINSTATED))[-1:]
        return tuple(one["why"] for entry in last if entry.kind == SUSPENDED for one in entry.body["reasons"])

    def close(self) -> None:
        """Give the ledger's connections back."""
        self._ledger.close()

    def used(self) -> list[str]:
        """The hashes of all certificates that audits used, in the order of their first use."""
        entries = Journal(self._ledger).read(kind=USED)
        return list(dict.fromkeys(entry.subject for entry in entries))

    def of_audit(self, audit: str) -> Entry | None:
        """The act by which an audit watched its certificate; None where it had none, or did not end."""
        entries = Journal(self._ledger).read(kind=AUDITED)
        return next((entry for entry in entries if entry.body["audit"] == audit), None)
