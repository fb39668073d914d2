"""Leases: a task is one person's for a while. Claimed in one step, so that no two get the same one.

Every lease is a row for good; the task points at the last one. It is the token of a lease by which a count is sent in,
and by which sending it twice counts once.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from binsight.errors import ChangedMeanwhile, MissingObject
from binsight.storage.api_key import stamp
from binsight.storage.ledger.database import Ledger
from binsight.storage.ledger.journal import append
from binsight.storage.ledger.tables import count_acts, counts, leases, skips, tasks
from binsight.storage.ledger.tasks import Task, in_states, task_of

PHOTO, BIN = "photo", "bin"
"""Where a count is made: from the bin's photo, or at the bin."""
OPEN = ("count", "recount")
"""States in which a task waits for somebody who counts."""
SKIPPED = "task.skipped"
MOST_SKIPS = 2
"""What so many people could not count from its photo is counted at the bin; what they could not count there waits for
somebody who decides."""
SEEN_S = 7 * 86_400
"""Who has seen what came of his count of a bin knows its record, and counts that bin no more for so long after."""
_NO_PHOTO = ("UNCLEAR_PHOTO", "WRONG_PHOTO")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A task that is a person's until a moment (UTC, ISO 8601)."""

    token: str
    task: Task
    where: str
    until: str


class Leases:
    """The leases of a ledger. Every method raises as the ledger's transactions do; `now` is for tests."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def claim(
        self,
        user: str,
        *,
        where: str,
        seconds: float,
        most: int = 1,
        site: str | None = None,
        aisle: str | None = None,
        now: datetime | None = None,
    ) -> list[Lease]:
        """The tasks that this user has, and as many more as make `most`: those to do next, in walking order.

        Nobody gets a task that he counted before, or skipped there, nor a bin whose record he saw lately; from the photo,
        only those whose photo is to be counted.
        """
        at = now or datetime.now(UTC)
        until = stamp(at + timedelta(seconds=seconds))
        with self._ledger.writing() as connection:
            held = self._held(connection, user, where, at)
            held = [one for one in held if aisle is None or (one.task.site, one.task.aisle) == (site, aisle)]
            for task in _free(connection, user, where, site, aisle, at, most - len(held)):
                held.append(_lease(connection, task, user, where, at, until))
        return sorted(held, key=lambda one: (one.task.rank, one.task.id))[:most]

    def take(
        self, task_id: str, *, token: str, user: str, where: str, seconds: float, now: datetime | None = None
    ) -> None:
        """Give this very task to this user under a token of the caller's; with one that is there, nothing is done.

        Raises `MissingObject` for no such task, `ChangedMeanwhile` where it waits for nobody's count, or not for his, or
        somebody else has it.
        """
        at = now or datetime.now(UTC)
        with self._ledger.writing() as connection:
            row = connection.execute(sa.select(tasks).where(tasks.c.id == task_id).with_for_update()).first()
            if row is None:
                raise MissingObject(f"there is no task {task_id[:40]!r}; check its id")
            if connection.execute(sa.select(leases.c.token).where(leases.c.token == token)).first() is not None:
                return
            has_counted = sa.select(counts.c.token).where(_counted_by(user) & (counts.c.task == task_id))
            if row.state not in OPEN or connection.execute(has_counted).first() is not None:
                raise ChangedMeanwhile(
                    f"bin {row.bin_id} does not wait for this person's count: it is {row.state}; see the task"
                )
            if row.lease is not None and row.leased_until > stamp(at):
                raise ChangedMeanwhile(f"somebody counts bin {row.bin_id} at this moment; try again later")
            _lease(connection, task_of(row), user, where, at, stamp(at + timedelta(seconds=seconds)), token)

    def renew(self, user: str, tokens: Sequence[str], *, seconds: float, now: datetime | None = None) -> int:
        """A sign of life: these tasks stay this user's for so long again; how many that are.

        One that was given back, or whose time ended, is his again as long as nobody else was given it: a browser that goes
        from a page to the same page says that it leaves after it has got it anew.
        """
        mine = sa.select(leases.c.token).where((leases.c.user == user) & leases.c.token.in_(tokens))
        until = stamp((now or datetime.now(UTC)) + timedelta(seconds=seconds))
        with self._ledger.writing() as connection:
            renewed = sa.update(tasks).where(tasks.c.lease.in_(mine)).values(leased_until=until)
            return connection.execute(renewed).rowcount

    def release(self, user: str, tokens: Sequence[str] | None = None, *, now: datetime | None = None) -> int:
        """Give back these tasks of this user, or all that he has; how many that were. A count of his is still good until
        somebody else is given the task."""
        at = stamp(now or datetime.now(UTC))
        mine = sa.select(leases.c.token).where(leases.c.user == user)
        mine = mine if tokens is None else mine.where(leases.c.token.in_(tokens))
        with self._ledger.writing() as connection:
            his = tasks.c.lease.in_(mine) & (tasks.c.leased_until > at)
            return connection.execute(sa.update(tasks).where(his).values(leased_until=at)).rowcount

    def aisles(self, user: str, *, now: datetime | None = None) -> list[tuple[str, str, int]]:
        """Site and aisle of tasks that this user may count at the bin, and how many there are, in walking order.

        Without those that he counted, whatever became of them: whether one still waits would say whether his count was
        what the record says, and he could take it back.
        """
        by = (tasks.c.site, tasks.c.aisle)
        his = _may_count(user, BIN, now or datetime.now(UTC))
        query = sa.select(*by, sa.func.count()).where(in_states(OPEN) & his).group_by(*by)
        with self._ledger.reading() as connection:
            found = connection.execute(query.order_by(sa.func.min(tasks.c.rank)))
            return [(row[0], row[1], row[2]) for row in found]

    def skip(self, token: str, *, user: str, name: str, reason: str, now: datetime | None = None) -> None:
        """Pass a task on, for a reason; one whose photo is no use, or was none to `MOST_SKIPS` people, is to be counted at
        the bin from now on.

        Raises `ChangedMeanwhile` where the task is not this user's any more.
        """
        at = stamp(now or datetime.now(UTC))
        with self._ledger.writing() as connection:
            lease = lease_of(connection, token, user)
            if lease.token != _current(connection, lease.task.id):
                raise ChangedMeanwhile(f"bin {lease.task.bin_id} is not yours any more; go on with the next")
            row = {"token": token, "task": lease.task.id, "user": user, "at": at, "reason": reason}
            connection.execute(sa.insert(skips).values(row))
            changed: dict[str, object] = {"lease": None, "leased_until": None}
            is_enough = _num_skips(connection, lease.task.id, lease.where) >= MOST_SKIPS
            if lease.where == PHOTO and (is_enough or reason in _NO_PHOTO):
                changed["from_photo"] = False
            if lease.where == BIN and is_enough:
                changed["state"] = "approve"
            connection.execute(sa.update(tasks).where(tasks.c.id == lease.task.id).values(changed))
            body = {"reason": reason, "where": lease.where, "state": changed.get("state", lease.task.state)}
            append(connection, kind=SKIPPED, subject=lease.task.id, body=body, by=name)

    def photo_of(self, token: str, *, user: str) -> Task:
        """The task that this user's lease is, or was, of. Raises `MissingObject` for another's."""
        with self._ledger.reading() as connection:
            return lease_of(connection, token, user).task

    def _held(self, connection: sa.Connection, user: str, where: str, at: datetime) -> list[Lease]:
        query = (
            sa.select(tasks, leases.c.token, leases.c.where)
            .join(leases, leases.c.token == tasks.c.lease)
            .where((leases.c.user == user) & (leases.c.where == where) & (tasks.c.leased_until > stamp(at)))
        )
        return [
            Lease(token=row.token, task=task_of(row), where=row.where, until=row.leased_until)
            for row in connection.execute(query)
        ]


def lease_of(connection: sa.Connection, token: str, user: str) -> Lease:
    """The lease with this token, where it is this user's. The task's row is kept for this transaction."""
    found = connection.execute(sa.select(leases).where((leases.c.token == token) & (leases.c.user == user))).first()
    if found is None:
        raise MissingObject("this task was never given to you; begin with the next")
    row = connection.execute(sa.select(tasks).where(tasks.c.id == found.task).with_for_update()).one()
    return Lease(token=token, task=task_of(row), where=found.where, until=row.leased_until or "")


def give_back_bin(connection: sa.Connection, task: Task, *, user: str) -> None:
    """Take from a user what else he has of a task's bin, for other audits: he is about to see its record."""
    his = sa.exists().where((leases.c.token == tasks.c.lease) & (leases.c.user == user))
    same = (tasks.c.site == task.site) & (tasks.c.bin_id == task.bin_id) & (tasks.c.id != task.id)
    given_back = sa.update(tasks).where(in_states(OPEN) & same & his).values(lease=None, leased_until=None)
    connection.execute(given_back)


def new_lease(
    connection: sa.Connection, task: Task, *, user: str, where: str, seconds: float, at: datetime
) -> Lease:
    """Give a task to a user, whoever had it."""
    return _lease(connection, task, user, where, at, stamp(at + timedelta(seconds=seconds)))


def _lease(
    connection: sa.Connection, task: Task, user: str, where: str, at: datetime, until: str, token: str = ""
) -> Lease:
    token = token or str(uuid.uuid4())
    row = {"token": token, "task": task.id, "user": user, "where": where, "leased_at": stamp(at)}
    connection.execute(sa.insert(leases).values(row))
    pointed = sa.update(tasks).where(tasks.c.id == task.id).values(lease=token, leased_until=until)
    connection.execute(pointed)
    return Lease(token=token, task=task, where=where, until=until)


def _free(
    connection: sa.Connection, user: str, where: str, site: str | None, aisle: str | None, at: datetime, most: int
) -> list[Task]:
    """Tasks that nobody has and that this user may count."""
    if most <= 0:
        return []
    is_free = tasks.c.lease.is_(None) | (tasks.c.leased_until <= stamp(at))
    query = sa.select(tasks).where(in_states(OPEN) & is_free & _may_count(user, where, at))
    if where == PHOTO:
        query = query.where(tasks.c.from_photo)
    for column, value in ((tasks.c.site, site), (tasks.c.aisle, aisle)):
        query = query if value is None else query.where(column == value)
    query = query.order_by(tasks.c.rank, tasks.c.id).limit(most).with_for_update(skip_locked=True)
    found = [task_of(row) for row in connection.execute(query)]
    # Looked at again under the lock: PostgreSQL judged the counts by what stood before it.
    own = sa.select(counts.c.task).where(_counted_by(user) & counts.c.task.in_([task.id for task in found]))
    counted = set(connection.execute(own).scalars())
    return [task for task in found if task.id not in counted]


def _may_count(user: str, where: str, at: datetime) -> "sa.ColumnElement[bool]":
    """Tasks that the user neither counted nor passed on there, of bins whose record he did not see lately.

    What he could not count from its photo he may be able to count at the bin; not the other way round.
    """
    counted = sa.exists().where(_counted_by(user) & (counts.c.task == tasks.c.id))
    passed_on = (skips.c.task == tasks.c.id) & (skips.c.user == user)
    if where == BIN:
        passed_on &= (leases.c.token == skips.c.token) & (leases.c.where == BIN)
    return ~counted & ~sa.exists().where(passed_on) & ~_has_seen(user, at)


def _has_seen(user: str, at: datetime) -> "sa.ColumnElement[bool]":
    """Bins of which the user saw what came of a count that he made lately, whatever audit it was for."""
    other = tasks.alias("other")
    seen = (
        sa.select(_bin_of(other))
        .join(counts, counts.c.task == other.c.id)
        .join(count_acts, (count_acts.c.token == counts.c.token) & (count_acts.c.kind == "seen"))
        .where((counts.c.user == user) & (counts.c.counted_at > stamp(at - timedelta(seconds=SEEN_S))))
    )
    return _bin_of(tasks).in_(seen)


def _bin_of(some: sa.FromClause) -> "sa.ColumnElement[str]":
    """A bin's site and id in one column: of two, SQLite reads a whole list to say that they are not in it."""
    return some.c.site + "\n" + some.c.bin_id


def _counted_by(user: str) -> "sa.ColumnElement[bool]":
    """The user's counts, but for those that were withdrawn: they were made blind, and the next will be."""
    withdrawn = sa.exists().where((count_acts.c.token == counts.c.token) & (count_acts.c.kind == "withdrawn"))
    return (counts.c.user == user) & ~withdrawn


def _num_skips(connection: sa.Connection, task: str, where: str) -> int:
    """How many people passed a task on there."""
    there = (
        sa.select(sa.func.count(sa.distinct(skips.c.user)))
        .join(leases, leases.c.token == skips.c.token)
        .where((skips.c.task == task) & (leases.c.where == where))
    )
    return int(connection.execute(there).scalar() or 0)


def _current(connection: sa.Connection, task: str) -> str | None:
    found: str | None = connection.execute(sa.select(tasks.c.lease).where(tasks.c.id == task)).scalar()
    return found
