"""Counts, each a row for good: sent in once, withdrawn while its outcome was not seen, decided on by a third person."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from binsight.errors import BadInput, ChangedMeanwhile, NotAllowed
from binsight.storage.api_key import stamp
from binsight.storage.ledger.database import Ledger
from binsight.storage.ledger.journal import append, digest
from binsight.storage.ledger.leases import OPEN, Lease, give_back_bin, lease_of, new_lease
from binsight.storage.ledger.tables import count_acts, counts, decisions, tasks
from binsight.storage.ledger.tasks import Detail, detail_of

MADE, LATE, WITHDRAWN, SEEN, DECIDED = (
    "count.made", "count.late", "count.withdrawn", "count.seen", "task.decided",
)  # fmt: skip
MOST_COUNTED = 1_000_000
TAKE_BACK_S = 600
"""A count may be taken back for so long."""
_WITHDRAWN, _SEEN = "withdrawn", "seen"


@dataclass(frozen=True, slots=True, kw_only=True)
class Follows:
    """What follows from a task's counts: its state, what was found where it ended, whether its photo may be counted."""

    state: str
    quantity: int | None
    from_photo: bool


Rule = Callable[[Detail], Follows]
"""What follows from the counts that stand: decided above, applied in here within the count's own transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A count that is kept. `was_there`: it had been sent before."""

    task: str
    counted: int
    was_there: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Last:
    """A count as its maker may see it before its outcome. `seen`: that was seen, so that the count stands."""

    token: str
    counted: int
    counted_at: str
    bin_id: str
    seen: bool


class Counts:
    """The counts of a ledger. Every method raises as the ledger's transactions do; `now` is for tests."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def add(
        self,
        token: str,
        counted: int,
        *,
        user: str,
        name: str,
        rule: Rule,
        seconds: float | None = None,
        comment: str = "",
        marks: str = "[]",
        now: datetime | None = None,
    ) -> Counted:
        """Keep a count; the same one sent again is kept once. On return it is in the ledger for good.

        A lease that ended is still good as long as nobody else was given the task. Raises `ChangedMeanwhile` where
        somebody was, where another number was sent with this token before, or where that was taken back; `BadInput` for a
        number that cannot be, `MissingObject` for a task that was never this user's. A late count is kept in the journal.
        """
        if not 0 <= counted <= MOST_COUNTED:
            raise BadInput(f"a count must be 0 to {MOST_COUNTED:,}, but is {counted}; count again")
        moment = now or datetime.now(UTC)
        at = stamp(moment)
        with self._ledger.writing() as connection:
            lease = lease_of(connection, token, user)
            before = connection.execute(sa.select(counts.c.counted).where(counts.c.token == token)).scalar()
            if before is not None:
                return _again(connection, lease, before, counted)
            detail = detail_of(connection, lease.task.id)
            if not _is_good(connection, lease, detail, name):
                body = {"token": token, "counted": counted, "comment": comment}
                append(connection, kind=LATE, subject=lease.task.id, body=body, by=name)
                late = True
            else:
                row = {
                    "token": token,
                    "task": lease.task.id,
                    "number": len(detail.counts) + 1,
                    "stage": lease.task.state,
                    "user": user,
                    "where": lease.where,
                    "counted": counted,
                    "counted_at": at,
                    "seconds": seconds,
                    "comment": comment,
                    "marks": marks,
                }
                connection.execute(sa.insert(counts).values(row))
                body = {"sha256": digest("", row), "token": token}
                follows = rule(detail_of(connection, lease.task.id))
                final_at = stamp(moment + timedelta(seconds=TAKE_BACK_S))
                _follow(connection, lease.task.id, follows, MADE, body, name, final_at=final_at)
                late = False
        if late:
            raise ChangedMeanwhile(
                f"your time for bin {lease.task.bin_id} ended and somebody else has it; your count of {counted} is noted "
                "in the journal and changes nothing, go on with the next"
            )
        return Counted(task=lease.task.id, counted=counted, was_there=False)

    def withdraw(self, token: str, *, user: str, name: str, seconds: float, now: datetime | None = None) -> Lease:
        """Take the count back that was sent in last, and have the task again.

        Raises `ChangedMeanwhile` where its outcome was seen, or somebody else went on from it.
        """
        at = now or datetime.now(UTC)
        with self._ledger.writing() as connection:
            lease = lease_of(connection, token, user)
            detail = detail_of(connection, lease.task.id)
            is_given = tasks.c.lease.is_not(None) & (tasks.c.leased_until > stamp(at))
            query = sa.select(tasks.c.id).where((tasks.c.id == lease.task.id) & is_given)
            is_taken = connection.execute(query).first() is not None
            standing = detail.standing
            is_last = bool(standing) and standing[-1].token == token
            is_decided = is_last and any(one["at"] > standing[-1].counted_at for one in detail.decisions)
            if not is_last or is_taken or is_decided:
                raise ChangedMeanwhile("this count cannot be taken back: somebody went on from it")
            if _has_act(connection, token, _SEEN):
                raise ChangedMeanwhile("this count cannot be taken back: you have seen what came of it")
            if stamp(at - timedelta(seconds=TAKE_BACK_S)) >= standing[-1].counted_at:
                raise ChangedMeanwhile(
                    f"this count cannot be taken back: it is older than {TAKE_BACK_S // 60} minutes"
                )
            connection.execute(sa.insert(count_acts).values(token=token, kind=_WITHDRAWN, at=stamp(at)))
            stage = standing[-1].stage
            again = Follows(state=stage, quantity=None, from_photo=lease.where == "photo" or lease.task.from_photo)
            _follow(connection, lease.task.id, again, WITHDRAWN, {"token": token}, name)
            return new_lease(connection, lease.task, user=user, where=lease.where, seconds=seconds, at=at)

    def see(self, token: str, *, user: str, name: str) -> Detail:
        """What came of their count, for who made it: it stands from now on. Raises `ChangedMeanwhile` before it is in."""
        with self._ledger.writing() as connection:
            lease = lease_of(connection, token, user)
            detail = detail_of(connection, lease.task.id)
            if token not in {one.token for one in detail.standing}:
                raise ChangedMeanwhile("there is nothing to see before your count is in; count first")
            if not _has_act(connection, token, _SEEN):
                give_back_bin(connection, lease.task, user=user)
                connection.execute(
                    sa.insert(count_acts).values(token=token, kind=_SEEN, at=stamp(datetime.now(UTC)))
                )
                append(connection, kind=SEEN, subject=lease.task.id, body={"token": token}, by=name)
        return detail

    def decide(
        self,
        task_id: str,
        state: str,
        *,
        user: str,
        name: str,
        quantity: int | None = None,
        reason: str = "",
        comment: str = "",
        from_photo: bool | None = None,
    ) -> None:
        """End a task that waits for a decision, have it counted again (`recount`), or cancel one that is open.

        Raises `ChangedMeanwhile` where the task is not open to that, `NotAllowed` where the same person counted.
        """
        with self._ledger.writing() as connection:
            connection.execute(sa.select(tasks.c.id).where(tasks.c.id == task_id).with_for_update())
            detail = detail_of(connection, task_id)
            allowed = ("approve", *OPEN) if state == "cancelled" else ("approve",)
            if detail.task.state not in allowed:
                raise ChangedMeanwhile(
                    f"bin {detail.task.bin_id} does not wait for a decision: it is {detail.task.state}"
                )
            if any(one.user == name for one in detail.counts):
                raise NotAllowed(f"you counted bin {detail.task.bin_id} yourself; another person must decide")
            at = stamp(datetime.now(UTC))
            row = {
                "id": str(uuid.uuid4()),
                "task": task_id,
                "user": user,
                "at": at,
                "word": state,
                "quantity": quantity,
                "reason": reason,
                "comment": comment,
            }
            connection.execute(sa.insert(decisions).values(row))
            follows = Follows(
                state=state,
                quantity=quantity,
                from_photo=detail.task.from_photo if from_photo is None else from_photo,
            )
            _follow(
                connection,
                task_id,
                follows,
                DECIDED,
                {"id": row["id"], "sha256": digest("", row)},
                name,
                final_at=at,
            )

    def last_of(self, user: str) -> Last | None:
        """The count that this user made last and did not withdraw."""
        query = (
            sa.select(
                counts.c.token, counts.c.counted, counts.c.counted_at, tasks.c.bin_id, _acted(_SEEN).label("seen")
            )
            .join(tasks, tasks.c.id == counts.c.task)
            .where((counts.c.user == user) & ~_acted(_WITHDRAWN))
        )
        with self._ledger.reading() as connection:
            row = connection.execute(query.order_by(counts.c.counted_at.desc()).limit(1)).mappings().first()
        return None if row is None else Last(**{**row, "seen": bool(row["seen"])})


def _acted(kind: str) -> "sa.ColumnElement[bool]":
    return sa.exists().where((count_acts.c.token == counts.c.token) & (count_acts.c.kind == kind))


def _again(connection: sa.Connection, lease: Lease, before: int, counted: int) -> Counted:
    if _has_act(connection, lease.token, _WITHDRAWN):
        raise ChangedMeanwhile(f"you took your count of bin {lease.task.bin_id} back; count it again")
    if before != counted:
        raise ChangedMeanwhile(
            f"bin {lease.task.bin_id} was counted as {before} already; take that back before you send {counted}"
        )
    return Counted(task=lease.task.id, counted=counted, was_there=True)


def _is_good(connection: sa.Connection, lease: Lease, detail: Detail, name: str) -> bool:
    """Whether the task still waits for this count."""
    current = connection.execute(sa.select(tasks.c.lease).where(tasks.c.id == lease.task.id)).scalar()
    has_counted = any(one.user == name for one in detail.standing)
    return current == lease.token and detail.task.state in OPEN and not has_counted


def _follow(
    connection: sa.Connection,
    task: str,
    follows: Follows,
    kind: str,
    body: Mapping[str, Any],
    name: str,
    *,
    final_at: str | None = None,
) -> None:
    """Change the task's state, and say so in the journal: last, since to append takes the journal's lock.

    What was found, if anything, is to be settled from `final_at` on, when nobody can take it back any more.
    """
    values: dict[str, Any] = {
        "state": follows.state,
        "quantity": follows.quantity,
        "from_photo": follows.from_photo,
    }
    values["settle_at"] = None if follows.quantity is None else final_at
    changed = sa.update(tasks).where(tasks.c.id == task).values(**values, lease=None, leased_until=None)
    connection.execute(changed)
    body = {**body, "state": follows.state, "quantity": follows.quantity}
    append(connection, kind=kind, subject=task, body=body, by=name)


def _has_act(connection: sa.Connection, token: str, kind: str) -> bool:
    query = sa.select(count_acts.c.token).where((count_acts.c.token == token) & (count_acts.c.kind == kind))
    return connection.execute(query).first() is not None
