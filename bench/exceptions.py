"""How long the console's server takes for its pages at a million ledger rows, and how the database looks them up.

    python -m bench.exceptions [--rows 1000000] [--ledger URL]

A ledger of ten audits (by default 100,000 lines each, in SQLite) is made in a temporary folder; then each page is asked
for over the app itself, 20 times after a first, as an approver. The plan of the list's query is printed beside: it must
read an index. The yardstick of the same run is the sign-in page, which asks the ledger for a user and nothing else.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa
from starlette.testclient import TestClient

from binsight.console.access import SESSION
from binsight.console.app import make_console, open_console
from binsight.settings import Settings
from binsight.storage.ledger import AisleRow, AuditLineRow, Audits, FoundBy, Ledger, People, Sessions
from binsight.storage.ledger.search import BY_UNITS, BY_VALUE, Asked, lines_query

AUDITS, TOGETHER, BINS_OF_AN_AISLE, ROUNDS = 10, 10_000, 200, 20
WORDS = ("suspect", "not_assessable", "not_assessable", "not_assessable", "verified")


def lines(audit: int, number: int) -> Iterator[tuple[AuditLineRow, FoundBy]]:
    """Lines with verdicts and errors at random, the same in every run."""
    chance = random.Random(audit)
    for place in range(1, number + 1):
        aisle = f"P-{place // BINS_OF_AN_AISLE}"
        off, value = chance.random() ** 4, chance.uniform(1, 90)
        probs = [0.02] * 20 + [0.6]
        line = AuditLineRow(
            place=place,
            bin_id=f"{aisle}-A{place:07}",
            expected=place % 12,
            record=json.dumps({"row": place, "site": "DC1", "aisle": aisle, "unit_value": round(value, 2)}),
            photo=f"photos/{place}.jpg",
            photo_sha256=None,
            estimate=json.dumps({"probs": probs}),
            count=place % 9,
            verdict=chance.choice(WORDS),
            reason="the photo shows 2 to 5 items",
            exception="wrong_bin" if place % 1000 == 0 else None,
            p_record=chance.random(),
            p_right=1 - off,
            units_off=off,
        )
        yield line, FoundBy(site="DC1", aisle=aisle, value_off=off * value)


def fill(ledger: Ledger, rows: int) -> str:
    """Ten audits; the id of the last."""
    kept = Audits(ledger)
    for number in range(AUDITS):
        audit = kept.begin(model="bench:0", certificate_sha256=None, terms={"folder": "."}, by="bench")
        made = lines(number, rows // AUDITS)
        tally = dict.fromkeys((f"num_{word}" for word in (*WORDS, "stale")), 0)
        for _ in range(0, rows // AUDITS, TOGETHER):
            some = [line for line, _ in zip(made, range(TOGETHER), strict=False)]
            kept.add(audit, [line for line, _ in some], [found for _, found in some])
            for line, _ in some:
                tally[f"num_{line.verdict}"] += 1
        aisles = [
            AisleRow(site="DC1", aisle=f"P-{n}", num_records=200, num_verified=40, num_suspect=40, units_off=9.0)
            for n in range(rows // AUDITS // BINS_OF_AN_AISLE)
        ]
        total = {"num_records": rows // AUDITS, "exceptions": {}, "units_off": 1.0, "units_expected": 5}
        kept.end(audit, tally | total, aisles)
    return audit.id


def median_ms(client: TestClient, path: str) -> float:
    """Milliseconds until the app has answered."""
    taken = []
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        answer = client.get(path)
        taken.append(1000 * (time.perf_counter() - started))
        assert answer.status_code == 200, (path, answer.status_code, answer.text[:300])
    return statistics.median(taken[1:])


def plan(ledger: Ledger, asked: Asked) -> str:
    """How SQLite or PostgreSQL looks the list's first page up."""
    query = lines_query(asked, after=None, most=26)
    with ledger.reading() as connection:
        text = query.compile(connection.engine, compile_kwargs={"literal_binds": True})
        word = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
        rows = connection.execute(sa.text(f"{word} {text}".replace(":", r"\:"))).fetchall()
    return "; ".join(str(row[-1]).strip() for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--ledger")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        chosen = Settings(ledger=given.ledger or f"sqlite:///{Path(folder)}/ledger.db")
        ledger = Ledger.open(chosen.ledger)
        started = time.perf_counter()
        audit = fill(ledger, given.rows)
        print(f"{given.rows:,} rows written in {time.perf_counter() - started:.0f} s")
        user = People(ledger).add("dan", role="approver", password_hash="none", by="bench")
        token = Sessions(ledger, idle=timedelta(hours=1), longest=timedelta(hours=1)).begin(user)
        app = make_console(open_console(chosen, counter=lambda: None))
        with TestClient(app, cookies={SESSION: token}) as client:
            deep = f"&after=50000:{0.05!r}"
            pages = {
                "password page (yardstick)": "/password",
                "overview": "/",
                "exceptions": "/exceptions",
                "exceptions, deep": f"/exceptions?kind=suspect{deep}",
                "exceptions by value": "/exceptions?by=value",
                "exceptions of an aisle": "/exceptions?site=DC1&aisle=P-77",
                "exceptions of a site": "/exceptions?site=DC1",
                "exceptions by bin": "/exceptions?bins=P-77-",
                "photos of other bins": "/exceptions?kind=wrong_bin",
                "one record": f"/lines/{audit}/777",
            }
            for name, path in pages.items():
                print(f"{name:28} {median_ms(client, path):7.1f} ms")
        for by in (BY_UNITS, BY_VALUE):
            print(f"plan by {by}: {plan(ledger, Asked(audit=audit, verdict='suspect', by=by))}")
        print(f"plan by bin: {plan(ledger, Asked(audit=audit, verdict='suspect', bins='P-77-'))}")
        print(f"plan of an aisle: {plan(ledger, Asked(audit=audit, verdict='suspect', site='DC1', aisle='P-77'))}")
        ledger.close()


if __name__ == "__main__":
    main()
