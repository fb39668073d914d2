"""Bins that wait for somebody already: which of them keep their tasks when an audit gives out bins, and which give way.

A bin is to have one task at a time: whoever counted it may have seen its record, and would count it again for another
audit. Read whole before tasks are made, a bin for each that waits, since no index finds a bin's tasks.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import sqlalchemy as sa

from binsight.storage.ledger.tables import tasks

Bin = tuple[str, str]
"""A bin's site and id."""
_NOT_OVER = ("count", "recount", "approve")


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Bins with tasks of other audits that are not over: those that keep them, and by bin the tasks that give way."""

    kept: set[Bin] = field(default_factory=set)
    idle: dict[Bin, list[str]] = field(default_factory=dict)


def waiting_bins(connection: sa.Connection, audit: str, gives_way: "sa.ColumnElement[bool]") -> Waiting:
    """The bins that wait for other audits."""
    of = (tasks.c.audit != audit) & tasks.c.state.in_(_NOT_OVER)
    query = sa.select(tasks.c.id, tasks.c.site, tasks.c.bin_id, gives_way.label("gives_way")).where(of)
    found = Waiting()
    for row in connection.execute(query):
        if row.gives_way:
            found.idle.setdefault((row.site, row.bin_id), []).append(row.id)
        else:
            found.kept.add((row.site, row.bin_id))
    return found


def make_way(
    connection: sa.Connection, waiting: Waiting, bins: Iterable[Bin], gives_way: "sa.ColumnElement[bool]"
) -> list[str]:
    """Cancel what gives way of these bins, a thousand or fewer, as far as nobody took one meanwhile: the cancelled tasks.

    A bin of which a task was taken keeps it from now on.
    """
    old = {task: one for one in bins for task in waiting.idle.pop(one, ())}
    of = tasks.c.id.in_(old) & gives_way
    # Whoever counts one at this moment has its row, and waits for the journal, which is ours until the end.
    locked = sa.select(tasks.c.id).where(of).with_for_update(skip_locked=True)
    gone = list(connection.execute(locked).scalars())
    connection.execute(sa.update(tasks).where(tasks.c.id.in_(gone)).values(state="cancelled", lease=None))
    waiting.kept.update(old[task] for task in old.keys() - set(gone))
    return gone
