"""How SQLite and PostgreSQL look up what is asked often: by the index that was made for it, as `bench/ledger_size.py` has
it at ten million rows. Tables are small here, and PostgreSQL is told not to read them from end to end because of that."""

import re
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from tests.ledger_support import Opener
from tests.tasks_support import a_line, a_user, an_audit

from binsight.storage.ledger import Counts, Leases, Ledger, TaskRows

Ask = Callable[[Ledger, str], object]
QUESTIONS: dict[str, tuple[str, Ask]] = {
    "the next task": (
        r"tasks_open|tasks_by_state \(state",  # SQLite takes either, and both have the open ones alone
        lambda ledger, user: Leases(ledger).claim(user, where="photo", seconds=60),
    ),
    "the next of an aisle": (
        "tasks_open_by_aisle",
        lambda ledger, user: Leases(ledger).claim(user, where="bin", seconds=60, site="DC1", aisle="A"),
    ),
    "a page of an aisle's open tasks": (
        "tasks_open_by_aisle",
        lambda ledger, _: TaskRows(ledger).find(states=("count", "recount"), site="DC1", aisle="A", most=26),
    ),
    "a person's last count": ("counts_by_time", lambda ledger, user: Counts(ledger).last_of(user)),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_it_is_read_off_the_index_that_was_made_for_it(ledger_url: str, opened: Opener, question: str) -> None:
    ledger = opened(ledger_url)
    an_audit(ledger, [a_line(place) for place in range(1, 4)])
    user = a_user(ledger, "ben").id
    index, ask = QUESTIONS[question]
    plans = " ".join(_plans(ledger, lambda: ask(ledger, user)))
    assert re.search(rf"\b({index})", plans), plans


def _plans(ledger: Ledger, ask: Callable[[], object]) -> list[str]:
    """How the database answers each SELECT that asking sends."""
    with ledger.reading() as connection:
        engine, is_sqlite = connection.engine, connection.dialect.name == "sqlite"
    sent: list[tuple[str, object]] = []

    def hear(_connection: object, _cursor: object, statement: str, values: object, *_: object) -> None:
        sent.append((statement, values))

    sa.event.listen(engine, "before_cursor_execute", hear)
    ask()
    sa.event.remove(engine, "before_cursor_execute", hear)
    word = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
    with ledger.reading() as connection:
        if not is_sqlite:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            connection.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
            connection.exec_driver_sql("SET LOCAL enable_sort = off")
        selects = [(text, values) for text, values in sent if text.startswith("SELECT tasks") or " counts" in text]
        return [
            str(row[-1])
            for text, values in selects
            if text.startswith("SELECT")
            for row in connection.exec_driver_sql(f"{word} {text}", values)
        ]
