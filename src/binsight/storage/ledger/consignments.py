"""Consignments in the journal: how each was judged, with its evidence, and who let it go."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from binsight.errors import BadInput, ChangedMeanwhile, GateFailed, MissingObject
from binsight.storage.ledger.database import Ledger
from binsight.storage.ledger.journal import Entry, Journal, append, entries_of, hold_end
from binsight.storage.ledger.tables import journal

JUDGED, RELEASED = "consignment.judged", "consignment.released"
RELEASE, HOLD = "RELEASE", "HOLD"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsignmentHistory:
    """How a consignment was judged last, and its release since, where there is one."""

    judged: Entry
    released: Entry | None

    @property
    def decision(self) -> str:
        """The last judgement: RELEASE, HOLD or CHECK."""
        return str(self.judged.body["decision"])


class Consignments:
    """The consignments of a ledger. Every method raises as the ledger's transactions do."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def judge(self, consignment: str, body: Mapping[str, Any], *, by: str) -> Entry:
        """Keep a judgement; `body` has its `decision` and all evidence. A release before it no longer counts."""
        with self._ledger.writing() as connection:
            return append(connection, kind=JUDGED, subject=consignment, body=body, by=by)

    def read(self, consignment: str) -> ConsignmentHistory:
        """The last judgement, and the release since. Raises `MissingObject` for one that was never judged."""
        with self._ledger.reading() as connection:
            return _last(consignment, entries_of(connection, consignment, (JUDGED, RELEASED)))

    def latest(self, *, most: int = 100) -> list[ConsignmentHistory]:
        """The consignments that were judged last, the newest first; `most` acts are looked at."""
        kinds = journal.c.kind.in_((JUDGED, RELEASED))
        query = sa.select(journal).where(kinds).order_by(journal.c.seq.desc()).limit(most)
        with self._ledger.reading() as connection:
            rows = connection.execute(query).mappings().all()
        entries = [Entry(**{**row, "body": json.loads(row["body"])}) for row in reversed(rows)]
        ids = dict.fromkeys(entry.subject for entry in reversed(entries) if entry.kind == JUDGED)
        return [_last(one, [entry for entry in entries if entry.subject == one]) for one in ids]

    def judgements(self) -> Iterator[Entry]:
        """All judgements of all consignments, in the order in which they were made."""
        return Journal(self._ledger).read(kind=JUDGED)

    def release(self, consignment: str, *, by: str, reason: str = "", override: bool = False) -> Entry:
        """Keep that a person lets the consignment go, on its last judgement.

        One that was judged RELEASE needs no reason, CHECK one, and HOLD one and `override`. Raises `BadInput` without
        the reason or the person's name, `GateFailed` for one on HOLD without `override`, `ChangedMeanwhile` for one that
        was released already, and `MissingObject` for one that was never judged.
        """
        if not by.strip():
            raise BadInput("a release needs the name of who releases; give --by NAME")
        with self._ledger.writing() as connection:
            hold_end(connection)  # of two who release at once, the second finds it done
            last = _last(consignment, entries_of(connection, consignment, (JUDGED, RELEASED)))
            _check(consignment, last, reason.strip(), override)
            body = {
                "judged": last.judged.seq,
                "judged_hash": last.judged.hash,
                "decision": last.decision,
                "override": last.decision == HOLD,
                "reason": reason.strip(),
            }
            return append(connection, kind=RELEASED, subject=consignment, body=body, by=by.strip())


def _last(consignment: str, entries: list[Entry]) -> ConsignmentHistory:
    judged = next((entry for entry in reversed(entries) if entry.kind == JUDGED), None)
    if judged is None:
        raise MissingObject(f"consignment {consignment} was never judged; check its id, or judge it first")
    released = next((entry for entry in entries if entry.kind == RELEASED and entry.seq > judged.seq), None)
    return ConsignmentHistory(judged=judged, released=released)


def _check(consignment: str, last: ConsignmentHistory, reason: str, override: bool) -> None:
    """Raise where the person may not let it go so."""
    if last.released is not None:
        raise ChangedMeanwhile(
            f"consignment {consignment} was released already, by {last.released.by} at {last.released.at} (entry "
            f"{last.released.seq}); judge it again if it has changed"
        )
    if last.decision == HOLD and not override:
        raise GateFailed(
            f"consignment {consignment} is on HOLD (entry {last.judged.seq}); look into its totes, and release it "
            "against the judgement with --override and a reason"
        )
    if last.decision != RELEASE and not reason:
        raise BadInput(
            f"consignment {consignment} was judged {last.decision}, so that its release needs a reason; say with "
            "--reason what was checked"
        )
