"""Promotion sets as they were frozen, the looks at them, and what was decided: rows that are only ever added."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from binsight.storage.ledger.database import Ledger, inserted
from binsight.storage.ledger.journal import append, hold_end
from binsight.storage.ledger.promotion_tables import promotion_decisions, promotion_looks, promotion_sets

DECIDED = "promotion.decided"
_PREFIX = 12
"""Hexadecimal digits kept of each photo's hash: among millions of photos, two alike are not to be expected."""
_MOST_SHARED = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenSet:
    """A promotion set as it was frozen. `shared_with` names an earlier one that has judged challengers on more than
    half of its photos."""

    name: str
    sha256: str
    num_photos: int
    frozen_at: str
    frozen_by: str
    shared_with: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRow:
    """One decision for good. `record` is all that was found."""

    id: str
    decided_at: str
    decided_by: str
    champion: str
    challenger: str
    set_sha256: str
    word: str
    record: Mapping[str, Any]


class Promotions:
    """The promotion tables of a ledger. Every method raises as the ledger's transactions do."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def freeze(
        self, name: str, *, sha256: str, dataset_sha256: str, split: str, photos: Sequence[str], by: str
    ) -> FrozenSet:
        """The set of this name as it was frozen; as it is given here where there is none yet.

        A set that was frozen under another name too has the earliest of its moments: a new name makes nothing younger.
        """
        row = {
            "name": name,
            "sha256": sha256,
            "dataset_sha256": dataset_sha256,
            "split": split,
            "num_photos": len(photos),
            "photos": json.dumps(sorted(photo[:_PREFIX] for photo in photos)),
            "frozen_at": _now(),
            "frozen_by": by,
        }
        with self._ledger.writing() as connection:
            hold_end(connection)
            by_name = sa.select(promotion_sets).where(promotion_sets.c.name == name)
            if connection.execute(by_name).first() is None:
                inserted(connection, sa.insert(promotion_sets).values(row))
            found = connection.execute(by_name).one()
            return _frozen(connection, found)

    def sets(self) -> list[FrozenSet]:
        """All frozen sets, the newest first."""
        with self._ledger.reading() as connection:
            query = sa.select(promotion_sets).order_by(promotion_sets.c.frozen_at.desc())
            return [_frozen(connection, row) for row in connection.execute(query)]

    def look(self, set_sha256: str, champion: str, challenger: str, *, most: int, by: str) -> int | None:
        """Spend one of at most so many looks at a set: its number, or None where all are spent.

        To look again at the same two versions tells nothing new and costs nothing.
        """
        of_set = promotion_looks.c.set_sha256 == set_sha256
        pair = (promotion_looks.c.champion == champion) & (promotion_looks.c.challenger == challenger)
        with self._ledger.writing() as connection:
            hold_end(connection)  # two looks at once are numbered one after the other
            before = connection.execute(sa.select(promotion_looks.c.number).where(of_set & pair)).scalar()
            if before is not None:
                return int(before)
            spent = connection.execute(sa.select(sa.func.count()).where(of_set)).scalar_one()
            if spent >= most:
                return None
            row = {
                "set_sha256": set_sha256,
                "number": spent + 1,
                "champion": champion,
                "challenger": challenger,
                "looked_at": _now(),
                "looked_by": by,
            }
            connection.execute(sa.insert(promotion_looks).values(row))
            return int(spent) + 1

    def looks(self, set_sha256: str) -> list[tuple[str, str]]:
        """Champion and challenger of every look at a set, in order."""
        table = promotion_looks
        query = sa.select(table.c.champion, table.c.challenger).where(table.c.set_sha256 == set_sha256)
        with self._ledger.reading() as connection:
            return [(row.champion, row.challenger) for row in connection.execute(query.order_by(table.c.number))]

    def num_looks(self, set_sha256: str) -> int:
        """How many looks at a set were spent."""
        query = sa.select(sa.func.count()).where(promotion_looks.c.set_sha256 == set_sha256)
        with self._ledger.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def record(
        self, *, champion: str, challenger: str, set_sha256: str, word: str, record: Mapping[str, Any], by: str
    ) -> DecisionRow:
        """Keep a decision, and the act of it in the journal, both or neither."""
        row: dict[str, Any] = {
            "id": str(uuid4()),
            "decided_at": _now(),
            "decided_by": by,
            "champion": champion,
            "challenger": challenger,
            "set_sha256": set_sha256,
            "word": word,
        }
        with self._ledger.writing() as connection:
            connection.execute(
                sa.insert(promotion_decisions).values({**row, "record": json.dumps(record, sort_keys=True)})
            )
            append(connection, kind=DECIDED, subject=challenger, body=row, by=by)
        return DecisionRow(**row, record=record)

    def decisions(self, version: str | None = None, *, most: int = 100) -> list[DecisionRow]:
        """The last decisions, the newest first; those on one version, be it the champion or the challenger."""
        table = promotion_decisions
        query = sa.select(table).order_by(table.c.decided_at.desc()).limit(most)
        if version is not None:
            query = query.where((table.c.champion == version) | (table.c.challenger == version))
        with self._ledger.reading() as connection:
            rows = connection.execute(query).mappings()
            return [DecisionRow(**{**row, "record": json.loads(row["record"])}) for row in rows]


def _frozen(connection: sa.Connection, row: "sa.Row[Any]") -> FrozenSet:
    same = sa.select(sa.func.min(promotion_sets.c.frozen_at)).where(promotion_sets.c.sha256 == row.sha256)
    return FrozenSet(
        name=row.name,
        sha256=row.sha256,
        num_photos=row.num_photos,
        frozen_at=connection.execute(same).scalar_one(),
        frozen_by=row.frozen_by,
        shared_with=_shared_with(connection, row),
    )


def _shared_with(connection: sa.Connection, row: "sa.Row[Any]") -> str:
    """An earlier set, of other photos as a whole, that has more than half of this one's and has judged somebody."""
    earlier = (promotion_sets.c.sha256 != row.sha256) & (promotion_sets.c.frozen_at < row.frozen_at)
    looked_at = promotion_sets.c.sha256.in_(sa.select(promotion_looks.c.set_sha256))
    photos = json.loads(row.photos)
    for other in connection.execute(sa.select(promotion_sets).where(earlier & looked_at)):
        if len(set(json.loads(other.photos)).intersection(photos)) > _MOST_SHARED * len(photos):
            return str(other.name)
    return ""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
