"""Consignments in the journal: how each was judged, with its evidence, and who let it go."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from binsight.errors import BadInput, ChangedMeanwhile, GateFailed, MissingObject
from binsight.storage.ledger.database import Ledger
from binsight.storage.ledger.journal import Entry, Journal, append, entries_of, hold_end
from binsight.storage.ledger.tables import journal

JUDGED, RELEASED = "consignment.judged", "consignment.released"
RELEASE, HOLD = "RELEASE", "HOLD"
_ON_HOLD, _WAITING, _RELEASED = range(3)
"""Groups in which consignments are listed: what somebody has to look into stands before what may go, and that before
what went."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsignmentHistory:
    """How a consignment was judged last, and its release since, where there is one."""

    judged: Entry
    released: Entry | None

    @property
    def decision(self) -> str:
        """The last judgement: RELEASE, HOLD or CHECK."""
        return str(self.judged.body["decision"])

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands in `Consignments.find`: its group, and there the entry of its judgement."""
        group = _RELEASED if self.released else _ON_HOLD if self.decision == HOLD else _WAITING
        return group, self.judged.seq


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

    def find(
        self, *, beginning: str = "", after: tuple[int, int] | None = None, most: int = 50
    ) -> list[ConsignmentHistory]:
        """Consignments whose ids begin so: those on HOLD, then others that wait, then released ones, of each the one
        judged last first; `after` is the `place` of the last one before."""
        with self._ledger.reading() as connection:
            ranked = _ranked(connection, beginning)
            query = sa.select(ranked.c.judged, ranked.c.released)
            if after is not None:
                group, seq = after
                follows = (ranked.c.group > group) | ((ranked.c.group == group) & (ranked.c.judged < seq))
                query = query.where(follows)
            found = connection.execute(query.order_by(ranked.c.group, ranked.c.judged.desc()).limit(most)).all()
            entries = _by_place(connection, [place for row in found for place in row if place is not None])
        return [ConsignmentHistory(judged=entries[row.judged], released=entries.get(row.released)) for row in found]

    def judgements(self) -> Iterator[Entry]:
        """All judgements of all consignments, in the order in which they were made."""
        return Journal(self._ledger).read(kind=JUDGED)

    def release(
        self, consignment: str, *, by: str, reason: str = "", override: bool = False, judged: str | None = None
    ) -> Entry:
        """Keep that a person lets the consignment go, on its last judgement; `judged` is the hash of the one that the
        person saw.

        One that was judged RELEASE needs no reason, CHECK one, and HOLD one and `override`. Raises `BadInput` without
        the reason or the person's name, `GateFailed` for one on HOLD without `override`, `ChangedMeanwhile` for one that
        was released already, or judged again since the person saw it, and `MissingObject` for one that was never judged.
        """
        if not by.strip():
            raise BadInput("a release needs the name of who releases; give --by NAME")
        with self._ledger.writing() as connection:
            hold_end(connection)  # of two who release at once, the second finds it done
            last = _last(consignment, entries_of(connection, consignment, (JUDGED, RELEASED)))
            _check(consignment, last, reason.strip(), override, judged)
            body = {
                "judged": last.judged.seq,
                "judged_hash": last.judged.hash,
                "decision": last.decision,
                "override": last.decision == HOLD,
                "reason": reason.strip(),
            }
            return append(connection, kind=RELEASED, subject=consignment, body=body, by=by.strip())


def _ranked(connection: sa.Connection, beginning: str) -> sa.Subquery:
    """The last judgement of each consignment, its release since, and its group."""
    acts, its = journal.c, journal.alias()
    last = (
        sa.select(
            sa.func.max(sa.case((acts.kind == JUDGED, acts.seq))).label("judged"),
            sa.func.max(sa.case((acts.kind == RELEASED, acts.seq))).label("released"),
        )
        .where(acts.kind.in_((JUDGED, RELEASED)) & acts.subject.startswith(beginning, autoescape=True))
        .group_by(acts.subject)
        .subquery()
    )
    since = sa.case((last.c.released > last.c.judged, last.c.released))
    # What SQLite reads JSON out of is text; PostgreSQL has a type for it.
    is_text = connection.dialect.name == "sqlite"
    body = sa.type_coerce(its.c.body, sa.JSON) if is_text else sa.cast(its.c.body, sa.JSON)
    on_hold = body["decision"].as_string() == HOLD
    group = sa.case((since.is_not(None), _RELEASED), (on_hold, _ON_HOLD), else_=_WAITING)
    columns = (last.c.judged, since.label("released"), group.label("group"))
    return sa.select(*columns).join(its, its.c.seq == last.c.judged).subquery()


def _by_place(connection: sa.Connection, places: Sequence[int]) -> dict[int, Entry]:
    """Entries by their places in the journal."""
    rows = connection.execute(sa.select(journal).where(journal.c.seq.in_(places))).mappings()
    return {row["seq"]: Entry(**{**row, "body": json.loads(row["body"])}) for row in rows}


def _last(consignment: str, entries: list[Entry]) -> ConsignmentHistory:
    judged = next((entry for entry in reversed(entries) if entry.kind == JUDGED), None)
    if judged is None:
        raise MissingObject(f"consignment {consignment} was never judged; check its id, or judge it first")
    released = next((entry for entry in entries if entry.kind == RELEASED and entry.seq > judged.seq), None)
    return ConsignmentHistory(judged=judged, released=released)


def _check(consignment: str, last: ConsignmentHistory, reason: str, override: bool, judged: str | None) -> None:
    """Raise where the person may not let it go so."""
    if last.released is not None:
        raise ChangedMeanwhile(
            f"consignment {consignment} was released already, by {last.released.by} at {last.released.at} (entry "
            f"{last.released.seq}); judge it again if it has changed"
        )
    if judged not in (None, last.judged.hash):
        raise ChangedMeanwhile(
            f"consignment {consignment} was judged again, {last.decision} by {last.judged.by} at {last.judged.at} (entry "
            f"{last.judged.seq}), after what was looked at; look at it again before it is released"
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
