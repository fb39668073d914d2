"""Retrainings: what each began with, where it stands, and what came of it. One row each, for good."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from binsight.errors import MissingObject
from binsight.storage.api_key import stamp
from binsight.storage.ledger.database import Ledger, inserted
from binsight.storage.ledger.retraining_tables import retrainings

RUNNING, PROMOTED, CANARY, KEPT, REFUSED, FAILED, DROPPED = (
    "running", "promoted", "canary", "kept", "refused", "failed", "dropped",
)  # fmt: skip
"""It goes on, or can be gone on with; the challenger took the champion's place, or a share of the requests; the champion
stays because the challenger is not better, or because it could not be judged; it ended in an error, and can be gone on
with; it was given up for another that began with something else."""
DECIDED = (PROMOTED, CANARY, KEPT, REFUSED)
OPEN, PASSED, ROLLED_BACK, MOVED = "open", "passed", "rolled back", "moved"
"""What was promoted is watched, has stood the test, was taken back, or somebody moved the alias meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retraining:
    """One retraining. Moments are UTC in ISO 8601; `outcome` is what was decided and by which figures.

    `alias` at `revision` is the move that it made; `watch` is None where it made none. It took in `num_counts` of bins and
    `num_labelled` of captures, the last of which was added at `labelled_until`, and answers the episode of `drift` that was
    under way when it began.
    """

    id: str
    begun_at: str
    begun_by: str
    why: str
    place: str
    inputs_sha256: str
    num_counts: int
    champion: str
    state: str
    step: str
    changed_at: str
    sentence: str
    outcome: Mapping[str, Any]
    challenger: str | None = None
    watch: str | None = None
    alias: str | None = None
    revision: int | None = None
    drift: int | None = None
    num_labelled: int = 0
    labelled_until: str | None = None


class Retrainings:
    """The retrainings of a ledger. Every method raises as the ledger's transactions do; `now` is for tests."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def begin(
        self,
        id: str,  # noqa: A002 - the column's name
        *,
        by: str,
        why: str,
        place: str,
        inputs_sha256: str,
        num_counts: int,
        champion: str,
        drift: int | None = None,
        num_labelled: int = 0,
        labelled_until: str | None = None,
        now: datetime | None = None,
    ) -> None:
        """Keep that a retraining begins; one that has begun goes on."""
        at = stamp(now or datetime.now(UTC))
        row = {
            "id": id,
            "begun_at": at,
            "begun_by": by,
            "why": why,
            "place": place,
            "inputs_sha256": inputs_sha256,
            "num_counts": num_counts,
            "champion": champion,
            "state": RUNNING,
            "step": "",
            "changed_at": at,
            "sentence": "",
            "outcome": "{}",
            "drift": drift,
            "num_labelled": num_labelled,
            "labelled_until": labelled_until,
        }
        with self._ledger.writing() as connection:
            inserted(connection, sa.insert(retrainings).values(row))

    def change(self, id: str, *, now: datetime | None = None, **values: Any) -> None:  # noqa: A002
        """Keep where it stands: `state`, `step`, `sentence`, `outcome`, `challenger`, `watch`, `alias`, `revision`.

        Raises `MissingObject` where there is no such retraining.
        """
        if "outcome" in values:
            values["outcome"] = json.dumps(values["outcome"], sort_keys=True)
        values["changed_at"] = stamp(now or datetime.now(UTC))
        with self._ledger.writing() as connection:
            changing = sa.update(retrainings).where(retrainings.c.id == id).values(**values)
            if not connection.execute(changing).rowcount:
                raise MissingObject(
                    f"there is no retraining {id} in the ledger; is it the ledger that it began with?"
                )

    def end_watch(self, id: str, watch: str, sentence: str, *, now: datetime | None = None) -> bool:  # noqa: A002
        """Keep how a watch ended; False where another process has ended it."""
        values = {"watch": watch, "sentence": sentence, "changed_at": stamp(now or datetime.now(UTC))}
        still_open = (retrainings.c.id == id) & (retrainings.c.watch == OPEN)
        with self._ledger.writing() as connection:
            return connection.execute(sa.update(retrainings).where(still_open).values(values)).rowcount == 1

    def newest(self, most: int = 20, *, states: tuple[str, ...] = ()) -> list[Retraining]:
        """The last ones, all or those in some states, the newest first."""
        query = sa.select(retrainings).order_by(retrainings.c.begun_at.desc(), retrainings.c.id).limit(most)
        query = query.where(retrainings.c.state.in_(states)) if states else query
        with self._ledger.reading() as connection:
            return [_retraining(row) for row in connection.execute(query)]

    def watched(self) -> list[Retraining]:
        """Those whose promotion is being watched."""
        query = sa.select(retrainings).where(retrainings.c.watch == OPEN).order_by(retrainings.c.begun_at)
        with self._ledger.reading() as connection:
            return [_retraining(row) for row in connection.execute(query)]

    def get(self, id: str) -> Retraining | None:  # noqa: A002
        """One of them; None where the ledger does not have it."""
        with self._ledger.reading() as connection:
            row = connection.execute(sa.select(retrainings).where(retrainings.c.id == id)).first()
        return None if row is None else _retraining(row)


def _retraining(row: "sa.Row[Any]") -> Retraining:
    values = {field.name: getattr(row, field.name) for field in fields(Retraining)}
    return Retraining(**{**values, "outcome": json.loads(row.outcome)})
