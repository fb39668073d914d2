"""How PostgreSQL looks up what the service and the console ask at ten million rows: plans, and milliseconds.

    python -m bench.ledger_size [--rows 10000000]

A ledger of so many captures, entries of the journal and lines of audits (of 100,000 lines each, one in ten of them a task)
is made in a server of its own. Then every question is asked through the same functions as always, the statements they
send are listened to, and each is explained: read by an index, or by reading a growing table from end to end. The goal
is that none does but those that are about a whole table, which are named as such. The yardstick is one row by its key.

Takes some 3 GB for each million rows, and about a minute.
"""

import argparse
import json
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import sqlalchemy as sa
from bench.ledger_rows import GROWING, fill
from tests.postgres_server import running_postgres

from binsight.storage.ledger import (
    ApiKeys,
    Audits,
    CaptureRows,
    Certificates,
    Consignments,
    Counts,
    Evidence,
    Journal,
    Leases,
    Ledger,
    Outcomes,
    TaskRows,
    TrustedCounts,
)
from binsight.storage.ledger.search import BY_BIN, BY_VALUE, Asked, Search
from binsight.storage.ledger.tables import audits

ROUNDS = 5
FEW = 1000
"""A table of so few rows may be read from end to end: looking into its index would not be faster."""
WHOLE = ("captures: bytes by the hour", "tasks: how many in each state", "counts: trusted ones")
"""Questions about a whole table, which no index can spare; none is asked by a page's every call or by a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """What answering took: growing tables that were read from end to end, and rows that were read and thrown away."""

    scanned: frozenset[str]
    thrown_away: int


def questions(ledger: Ledger) -> dict[str, Callable[[], object]]:
    """What is asked, by name, of an audit in the middle of all."""
    with ledger.reading() as connection:
        ids = list(connection.execute(sa.select(audits.c.id).order_by(audits.c.begun_at)).scalars())
    audit, newest = ids[len(ids) // 2], ids[-1]
    captures = CaptureRows(ledger, endpoint="binsight", variant="AllTraffic")
    search, tasks, leases, outcomes = Search(ledger), TaskRows(ledger), Leases(ledger), Outcomes(ledger)
    user = _value(ledger, "SELECT id FROM users LIMIT 1")
    task = _value(ledger, f"SELECT id FROM tasks WHERE audit = '{audit}' AND state = 'matched' LIMIT 1")
    token = _value(ledger, f"SELECT token FROM leases WHERE task = '{task}'")
    last_hour = _value(ledger, "SELECT max(captured_at) FROM captures")[:13]
    now = datetime.now(UTC)

    def asked(**more: Any) -> Callable[[], object]:
        return lambda: search.lines(Asked(audit=audit, **more), most=26)

    return {
        "yardstick: one line by its key": lambda: search.line(audit, 777),
        "service: keys": lambda: ApiKeys(ledger).not_revoked(),
        "captures: of the last hour": lambda: list(islice(captures.read(since=last_hour), 500)),
        "captures: forget what is old": lambda: captures.remove_before("2023"),
        "captures: bytes by the hour": captures.bytes_by_hour,
        "lines: suspects": asked(verdict="suspect"),
        "lines: by value": asked(verdict="suspect", by=BY_VALUE),
        "lines: by bin": asked(verdict="suspect", by=BY_BIN),
        "lines: bins by the beginning": asked(bins="P-77-"),
        "lines: of an aisle": asked(verdict="suspect", site="DC1", aisle="P-77"),
        "lines: of a site": asked(verdict="suspect", site="DC2"),
        "lines: photos of other bins": asked(exception="wrong_bin"),
        "lines: a bin in all audits": lambda: search.of_bin("P-77-A15400"),
        "lines: evidence of bins": lambda: Evidence(ledger).lines(audit, ["P-77-A15400", "P-78-A15601"]),
        "lines: a page of an audit": lambda: list(islice(Audits(ledger).lines(audit, first=50_000), 1000)),
        "audits: those that ended": search.ended,
        "audits: aisles of one": lambda: search.aisles(newest),
        "tasks: a page of what waits": lambda: tasks.find(states=("approve",), most=26),
        "tasks: of an audit": lambda: tasks.find(states=("approve",), audit=audit, most=26),
        "tasks: of an aisle": lambda: tasks.find(states=("count", "recount"), site="DC1", aisle="P-77", most=26),
        "tasks: how many in each state": tasks.tally,
        "tasks: how many of an audit": lambda: tasks.tally(audit),
        "tasks: one with all of it": lambda: tasks.detail(task),
        "tasks: what came of an audit": lambda: tasks.settled(audit, ("matched", "confirmed")),
        "tasks: to be settled": outcomes.claim,
        "tasks: to be posted": lambda: outcomes.to_post(audit, ("matched", "confirmed")),
        "tasks: bins that wait for other audits": lambda: tasks.create(newest, [], by="bench"),
        "leases: the next task": lambda: leases.claim(user, where="photo", seconds=1, now=now),
        "leases: the next of an aisle": lambda: leases.claim(
            user, where="bin", seconds=1, site="DC1", aisle="P-75", now=now + timedelta(hours=1)
        ),
        "leases: a sign of life": lambda: leases.renew(user, [token], seconds=1),
        "leases: give all back": lambda: leases.release(user),
        "leases: aisles with work": lambda: leases.aisles(user),
        "counts: the last of a person": lambda: Counts(ledger).last_of(user),
        "counts: trusted ones": lambda: TrustedCounts(ledger).number(("matched", "confirmed", "approved")),
        "journal: entries of a task": lambda: list(Journal(ledger).read(kind="count.made", subject=task)),
        "journal: all of a rare kind": lambda: list(Journal(ledger).read(kind="certificate.audited")),
        "journal: a page of a common kind": lambda: list(islice(Journal(ledger).read(kind="count.made"), 1000)),
        "consignments: the first page": Consignments(ledger).find,
        "certificates: acts on one": lambda: list(Certificates(ledger).acts("c" * 64)),
        "certificates: suspended?": lambda: Certificates(ledger).suspended("c" * 64),
        "certificates: of an audit": lambda: Certificates(ledger).of_audit(newest),
    }


def _value(ledger: Ledger, query: str) -> str:
    with ledger.reading() as connection:
        return str(connection.execute(sa.text(query)).scalar())


@contextmanager
def listened(ledger: Ledger) -> Iterator[list[tuple[str, Any]]]:
    """The statements, with their values, that are sent meanwhile."""
    sent: list[tuple[str, Any]] = []

    def hear(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        sent.append((statement, values))

    with ledger.reading() as connection:
        engine = connection.engine
    sa.event.listen(engine, "before_cursor_execute", hear)
    try:
        yield sent
    finally:
        sa.event.remove(engine, "before_cursor_execute", hear)


def explain(ledger: Ledger, statement: str, values: Any) -> Explained:
    """How the database answers this; nothing is changed by it."""
    with ledger.reading() as connection:
        row = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}", values).scalar()
        connection.rollback()
    found = json.loads(row) if isinstance(row, str) else row
    nodes = list(_nodes(found[0]["Plan"]))
    scans = [node for node in nodes if "Seq Scan" in node["Node Type"] and _num_read(node) > FEW]
    removed = (node.get("Rows Removed by Filter", 0) * node["Actual Loops"] for node in nodes)
    return Explained(scanned=frozenset(node["Relation Name"] for node in scans), thrown_away=int(sum(removed)))


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", ()):
        yield from _nodes(below)


def _num_read(node: dict[str, Any]) -> float:
    return float((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])


def ask(ledger: Ledger, question: Callable[[], object]) -> tuple[float, Explained]:
    """Milliseconds in the middle of some calls after a first, and what the first one's statements came to."""
    with listened(ledger) as sent:
        question()
    taken = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        question()
        taken.append(1000 * (time.perf_counter() - started))
    asked = [one for one in sent if re.match(r"\s*(SELECT|UPDATE|DELETE)", one[0]) and "pg_advisory" not in one[0]]
    plans = [explain(ledger, *one) for one in asked]
    scanned = frozenset[str]().union(*(plan.scanned for plan in plans))
    return statistics.median(taken), Explained(
        scanned=scanned, thrown_away=max((plan.thrown_away for plan in plans), default=0)
    )


def sizes(ledger: Ledger) -> str:
    """Bytes a row of each growing table, with its indices."""
    said = []
    for name in GROWING:
        total = _value(ledger, f"SELECT pg_total_relation_size('{name}')")
        rows = int(_value(ledger, f"SELECT count(*) FROM {name}"))
        said.append(f"{name} {int(total) // rows:,}" if rows else "")
    return ", ".join(filter(None, said))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    given = parser.parse_args()
    with running_postgres() as url:
        ledger = Ledger.open(url)
        started = time.perf_counter()
        fill(ledger, given.rows)
        size = _value(ledger, "SELECT pg_database_size(current_database())")
        print(
            f"{given.rows:,} of each, {int(size) / 1e9:.1f} GB, in {time.perf_counter() - started:.0f} s",
            flush=True,
        )
        print(f"bytes a row, with its indices: {sizes(ledger)}", flush=True)
        bad = []
        for name, question in questions(ledger).items():
            milliseconds, plan = ask(ledger, question)
            scanned = ", ".join(sorted(plan.scanned)) or "-"
            print(
                f"{name:36} {milliseconds:9.1f} ms  {plan.thrown_away:>10,} thrown away  scans {scanned}",
                flush=True,
            )
            if (plan.scanned or plan.thrown_away > given.rows // 100) and name not in WHOLE:
                bad.append(name)
        ledger.close()
    print(f"not by an index: {', '.join(bad) or 'none'}")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
