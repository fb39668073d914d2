"""What tasks came to, on its way out of the ledger: taken in and told of by one process, posted to a stock system once.

A task's outcome is due from `settle_at` on, when nobody can take it back. Whoever takes it in has the task until a
moment, as who counts it had before: where that process is killed, another goes on after it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from binsight.errors import ChangedMeanwhile
from binsight.storage.api_key import stamp
from binsight.storage.ledger.database import Ledger
from binsight.storage.ledger.journal import append
from binsight.storage.ledger.tables import tasks

POSTED = "tasks.posted"
HELD_S = 120
"""So long a task that is due is one process's without a sign of life."""
_TOGETHER = 1000


class Outcomes:
    """The outcomes of a ledger's tasks. Every method raises as the ledger's transactions do; `now` is for tests."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def claim(self, *, most: int = 100, now: datetime | None = None) -> list[str]:
        """Tasks that are due and that no process has, those that wait longest first: they are the caller's now."""
        at = now or datetime.now(UTC)
        is_free = tasks.c.leased_until.is_(None) | (tasks.c.leased_until <= stamp(at))
        query = sa.select(tasks.c.id).where((tasks.c.settle_at <= stamp(at)) & is_free)
        query = query.order_by(tasks.c.settle_at).limit(most)
        with self._ledger.reading() as connection:  # who looks for nothing keeps nobody from writing
            if connection.execute(query).first() is None:
                return []
        with self._ledger.writing() as connection:
            found = list(connection.execute(query.with_for_update(skip_locked=True)).scalars())
            _hold(connection, found, at)
        return found

    def hold(self, ids: Sequence[str], *, now: datetime | None = None) -> None:
        """A sign of life: these tasks stay the caller's, as far as they are not settled yet."""
        if ids:
            with self._ledger.writing() as connection:
                _hold(connection, ids, now or datetime.now(UTC))

    def settled(self, task_id: str) -> None:
        """Note that a task's outcome is settled."""
        with self._ledger.writing() as connection:
            changed = sa.update(tasks).where(tasks.c.id == task_id)
            connection.execute(changed.values(settle_at=None, leased_until=None))

    def to_post(
        self, audit: str, states: Sequence[str], *, again: bool = False, now: datetime | None = None
    ) -> list[str]:
        """The tasks of an audit that ended in these states, in walking order, whose outcome nobody can take back; those
        that were posted only for `again`."""
        ended = (tasks.c.audit == audit) & tasks.c.state.in_(states) & tasks.c.quantity.is_not(None)
        ended &= tasks.c.settle_at.is_(None) | (tasks.c.settle_at <= stamp(now or datetime.now(UTC)))
        query = sa.select(tasks.c.id).where(ended).order_by(tasks.c.rank)
        query = query if again else query.where(tasks.c.posted_at.is_(None))
        with self._ledger.reading() as connection:
            return list(connection.execute(query).scalars())

    @contextmanager
    def posting(self, ids: Sequence[str], *, by: str, again: bool = False) -> Iterator[None]:
        """Note that these tasks' counts go out into a stock system's file, if the block ends well, which puts the file in
        its place: killed within, they go out again rather than never.

        Raises `ChangedMeanwhile`, before the block begins, where one of them went out already, unless it is `again`.
        """
        at = stamp(datetime.now(UTC))
        with self._ledger.writing() as connection:
            if not again and _num_unposted(connection, ids) < len(ids):
                raise ChangedMeanwhile("some of these counts went out into another file meanwhile; run it again")
            for some in _parts(ids):
                connection.execute(sa.update(tasks).where(tasks.c.id.in_(some)).values(posted_at=at))
            for some in _parts(ids):  # last, since to append takes the journal's lock
                append(connection, kind=POSTED, subject=str(len(some)), body={"tasks": some}, by=by)
            yield


def _hold(connection: sa.Connection, ids: Sequence[str], at: datetime) -> None:
    due = tasks.c.id.in_(ids) & tasks.c.settle_at.is_not(None)
    connection.execute(sa.update(tasks).where(due).values(leased_until=stamp(at + timedelta(seconds=HELD_S))))


def _num_unposted(connection: sa.Connection, ids: Sequence[str]) -> int:
    """How many of these were not posted, whose rows are kept for this transaction: in one order for all, so that no two
    wait for each other."""
    number = 0
    for some in _parts(sorted(ids)):
        query = sa.select(tasks.c.id).where(tasks.c.id.in_(some) & tasks.c.posted_at.is_(None))
        number += len(connection.execute(query.order_by(tasks.c.id).with_for_update()).all())
    return number


def _parts(ids: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _TOGETHER):
        yield list(ids[start : start + _TOGETHER])
