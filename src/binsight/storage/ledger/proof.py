"""That nothing was changed: the journal's chain, and every row that an entry of it answers for."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from binsight.storage.ledger.archives import Archives
from binsight.storage.ledger.audits import Audits
from binsight.storage.ledger.counts import DECIDED, MADE, WITHDRAWN
from binsight.storage.ledger.database import Ledger
from binsight.storage.ledger.journal import Journal, Proof, digest, digest_of_rows
from binsight.storage.ledger.leases import SKIPPED
from binsight.storage.ledger.tables import counts, decisions, tasks
from binsight.storage.ledger.tasks import CREATED, SUPERSEDED, fixed


def prove(ledger: Ledger, *, head: str | None = None) -> Proof:
    """Prove the journal, all that its entries answer for, and that there is nothing else.

    People may work on meanwhile: entries and rows are read as they stood at one moment, when it began. `head` is a hash
    that was once the journal's last: it must still stand in it. Raises as the ledger's transactions do.
    """
    with ledger.standing_still() as still:
        proof = Journal(still).verify(head=head)
        broken = (
            proof.broken
            or Audits(still).broken()
            or Archives(still).tampered()
            or _tasks_broken(still)
            or _states_broken(still)
        )
    return Proof(num_entries=proof.num_entries, head=proof.head, broken=broken)


def _tasks_broken(ledger: Ledger) -> str | None:
    """What of the tasks' lasting columns does not agree with the entries that made them."""
    proven = 0
    for entry in Journal(ledger).read(kind=CREATED):
        first, last = entry.body["first"], entry.body["last"]
        of = (tasks.c.audit == entry.subject) & tasks.c.rank.between(first, last)
        with ledger.reading() as connection:
            rows = list(map(dict, connection.execute(sa.select(tasks).where(of).order_by(tasks.c.rank)).mappings()))
        if digest_of_rows(map(fixed, rows)) != entry.body["sha256"]:
            return f"tasks {first} to {last} of audit {entry.subject} are not those of entry {entry.seq}"
        proven += len(rows)
    with ledger.reading() as connection:
        number = connection.execute(sa.select(sa.func.count()).select_from(tasks)).scalar()
    return None if number == proven else f"there are {number} tasks, of which entries prove {proven}"


def _states_broken(ledger: Ledger) -> str | None:
    """What of counts, decisions and the tasks' states does not agree with the entries of those who made them."""
    journal, number = Journal(ledger), {counts: 0, decisions: 0}
    states: dict[str, Mapping[str, Any]] = {}
    for entry in journal.read():
        if entry.kind in (MADE, DECIDED):
            table, key = (counts, "token") if entry.kind == MADE else (decisions, "id")
            if _digest_of(ledger, table, key, entry.body[key]) != entry.body["sha256"]:
                return f"the {table.name[:-1]} {entry.body[key]} is not that of entry {entry.seq}"
            number[table] += 1
        if entry.kind in (MADE, DECIDED, WITHDRAWN, SKIPPED):
            states[entry.subject] = entry.body
        if entry.kind == SUPERSEDED:
            states.update(dict.fromkeys(entry.body["tasks"], entry.body))
    with ledger.reading() as connection:
        for table, proven in number.items():
            found = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar()
            if found != proven:
                return f"there are {found} {table.name}, of which entries prove {proven}"
        for row in connection.execute(sa.select(tasks.c.id, tasks.c.state, tasks.c.quantity)):
            said = states.get(row.id, {"state": "count"})
            if (row.state, row.quantity) != (said["state"], said.get("quantity")):
                return f"task {row.id} is {row.state}, but the journal has it {said['state']}"
    return None


def _digest_of(ledger: Ledger, table: sa.Table, key: str, value: str) -> str | None:
    with ledger.reading() as connection:
        row = connection.execute(sa.select(table).where(table.c[key] == value)).mappings().first()
    return None if row is None else digest("", dict(row))
