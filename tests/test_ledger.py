"""The ledger: one contract for SQLite and PostgreSQL, both real."""

import multiprocessing
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from tests.ledger_support import Opener, ledger_at

from binsight.errors import BadInput, ChangedMeanwhile, MissingObject, StorageFailure
from binsight.storage.ledger import Ledger, Models, Pointed, database, migrate
from binsight.storage.ledger.tables import metadata


@pytest.fixture
def models(ledger_url: str, opened: Opener) -> Models:
    models = Models(opened(ledger_url))
    for version in ("a" * 12, "b" * 12, "c" * 12):
        models.add(version, name="bins", lineage={"git": "x"}, by="ann")
    return models


A, B, C = ("a" * 12, "b" * 12, "c" * 12)


def test_the_tables_are_those_that_the_migrations_make(ledger_url: str, opened: Opener) -> None:
    ledger = opened(ledger_url)
    with ledger.reading() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": "ledger_version", "compare_type": True}
        )
        assert compare_metadata(context, metadata) == []


def test_the_newest_tables_are_known_by_the_last_migration(ledger_url: str, opened: Opener) -> None:
    versions = Path(migrate.__file__).parent / "migrations" / "versions"
    assert max(file.name[:4] for file in versions.glob("0*.py")) == migrate.NEWEST
    with opened(ledger_url).reading() as connection:
        assert migrate.is_newest(connection)
        assert (
            connection.execute(sa.text(f"SELECT version_num FROM {migrate.VERSION_TABLE}")).scalar()
            == migrate.NEWEST
        )


def test_a_ledger_that_is_as_it_should_be_is_opened_without_waiting_for_who_writes(
    models: Models, ledger_url: str, opened: Opener
) -> None:
    with opened(ledger_url).writing() as connection:
        connection.execute(sa.text("UPDATE aliases SET revision = revision"))
        if connection.dialect.name == "postgresql":  # as somebody who migrates
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": database._MIGRATING})
        with ThreadPoolExecutor(1) as pool:
            pool.submit(_open, ledger_url).result(timeout=20)


def test_opening_again_keeps_what_is_there(models: Models, ledger_url: str, opened: Opener) -> None:
    again = Models(opened(ledger_url))
    assert [one.version for one in again.versions()] == [one.version for one in models.versions()]
    assert len(again.versions()) == 3


def test_a_ledger_of_a_newer_version_is_refused_in_a_sentence(ledger_url: str, opened: Opener) -> None:
    with opened(ledger_url).writing() as connection:
        connection.execute(sa.text("UPDATE ledger_version SET version_num = '9999'"))
    with pytest.raises(StorageFailure, match=r"was made by a newer Binsight .*9999.*; install that"):
        Ledger.open(ledger_url)


def _open(ledger_url: str) -> None:
    Ledger.open(ledger_url).close()


def test_many_processes_may_open_an_empty_ledger_at_once(ledger_url: str, opened: Opener) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        pool.map(_open, [ledger_url] * 4)
    assert Models(opened(ledger_url)).versions() == []


def test_threads_may_open_a_new_file_at_the_same_moment(tmp_path: Path, opened: Opener) -> None:
    # to turn a new file to WAL is the one thing that SQLite lets nobody wait for; it went wrong in a third of the rounds
    for each in range(20):
        ledger_url, start = f"sqlite:///{tmp_path}/ledger-{each}.db", threading.Barrier(3)

        def open_one(_: int, ledger_url: str = ledger_url, start: threading.Barrier = start) -> list[object]:
            start.wait()
            return list(Models(opened(ledger_url)).versions())

        with ThreadPoolExecutor(3) as threads:
            assert list(threads.map(open_one, range(3))) == [[], [], []]


def test_a_version_is_registered_once_whoever_comes_later(models: Models) -> None:
    again = models.add(A, name="other", lineage={}, by="bob")
    assert (again.name, again.registered_by, again.lineage) == ("bins", "ann", {"git": "x"})
    assert len(models.versions()) == 3


def test_every_move_is_kept(models: Models) -> None:
    first = models.move("champion", A, seen=None, by="ann", reason="the first")
    second = models.move("champion", B, seen=first, by="bob", reason="better")
    assert models.pointed() == {"champion": second}
    assert second == Pointed(alias="champion", version=B, revision=2)
    assert [(m.revision, m.from_version, m.to_version, m.moved_by, m.reason) for m in models.moves("champion")] == [
        (2, A, B, "bob", "better"),
        (1, None, A, "ann", "the first"),
    ]
    assert models.moves("shadow") == []


def test_pointing_where_an_alias_points_already_is_no_move(models: Models) -> None:
    first = models.move("champion", A, seen=None, by="ann", reason="")
    there = models.move("champion", B, seen=first, by="ann", reason="")
    assert models.move("champion", B, seen=there, by="bob", reason="again") == there
    assert models.pointed() == {"champion": there}
    assert [move.to_version for move in models.moves("champion")] == [B, A]
    for late in (first, Pointed(alias="champion", version=B, revision=1)):
        with pytest.raises(ChangedMeanwhile, match="moved by somebody else"):
            models.move("champion", late.version, seen=late, by="bob", reason="")


def test_an_alias_that_was_retired_points_nowhere_and_keeps_its_moves(models: Models) -> None:
    first = models.move("canary", A, seen=None, by="ann", reason="")
    models.retire(first, by="bob", reason="worse")
    assert models.pointed() == {}
    with pytest.raises(ChangedMeanwhile):
        models.retire(first, by="bob", reason="again")
    with pytest.raises(ChangedMeanwhile):
        models.move("canary", B, seen=first, by="ann", reason="")
    again = models.move("canary", B, seen=None, by="ann", reason="another")
    assert again == Pointed(alias="canary", version=B, revision=3)
    with pytest.raises(ChangedMeanwhile):
        models.move("canary", C, seen=None, by="bob", reason="")
    assert [(m.revision, m.from_version, m.to_version, m.moved_by) for m in models.moves("canary")] == [
        (3, None, B, "ann"),
        (2, A, None, "bob"),
        (1, None, A, "ann"),
    ]


def test_of_many_who_bring_a_retired_alias_back_one_succeeds(models: Models) -> None:
    models.retire(models.move("canary", A, seen=None, by="ann", reason=""), by="ann", reason="")
    results: list[str] = []

    def bring_back() -> None:
        try:
            results.append(models.move("canary", B, seen=None, by="bob", reason="").version)
        except ChangedMeanwhile:
            results.append("late")

    threads = [threading.Thread(target=bring_back) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [B, *["late"] * 5]
    assert models.pointed()["canary"].revision == 3


def test_a_ledger_from_before_aliases_could_be_retired_keeps_its_rows(ledger_url: str, opened: Opener) -> None:
    ledger_at(ledger_url, "0001")
    engine = sa.create_engine(ledger_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"INSERT INTO model_versions VALUES ('{A}', 'bins', 't', 'ann', '{{}}')")
        connection.exec_driver_sql(f"INSERT INTO aliases VALUES ('champion', '{A}', 1)")
        connection.exec_driver_sql(
            f"INSERT INTO alias_moves VALUES ('champion', 1, NULL, '{A}', 't', 'ann', 'first')"
        )
    engine.dispose()
    models = Models(opened(ledger_url))
    assert models.pointed() == {"champion": Pointed(alias="champion", version=A, revision=1)}
    assert [move.reason for move in models.moves("champion")] == ["first"]
    models.retire(models.pointed()["champion"], by="ann", reason="")
    assert models.pointed() == {}


@pytest.mark.parametrize("seen", [None, Pointed(alias="champion", version=A, revision=1)])
def test_who_decided_on_what_is_no_longer_so_moves_nothing(models: Models, seen: Pointed | None) -> None:
    first = models.move("champion", A, seen=None, by="ann", reason="")
    there = models.move("champion", B, seen=first, by="ann", reason="")
    with pytest.raises(ChangedMeanwhile, match="moved by somebody else"):
        models.move("champion", C, seen=seen, by="bob", reason="")
    assert models.pointed()["champion"] == there
    assert len(models.moves("champion")) == 2


def test_a_version_that_is_not_there_is_pointed_at_by_nothing(models: Models) -> None:
    with pytest.raises(MissingObject, match="there is no model d"):
        models.move("champion", "d" * 12, seen=None, by="ann", reason="")
    assert models.pointed() == {}


def test_of_many_who_move_at_once_one_succeeds_each_time(models: Models) -> None:
    seen = models.move("champion", A, seen=None, by="ann", reason="")
    results: list[str] = []

    def move(number: int) -> None:
        try:
            models.move("champion", (B, C)[number % 2], seen=seen, by=str(number), reason="")
            results.append(str(number))
        except ChangedMeanwhile:
            results.append("late")

    threads = [threading.Thread(target=move, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [result for result in results if result != "late"]
    assert len(results) == 8
    assert models.moves("champion")[0].moved_by == winner
    assert models.pointed()["champion"].revision == 2


def test_a_row_that_is_pointed_at_cannot_be_taken_away(models: Models, ledger_url: str, opened: Opener) -> None:
    models.move("champion", A, seen=None, by="ann", reason="")
    ledger = opened(ledger_url)
    with pytest.raises(StorageFailure), ledger.writing() as connection:
        connection.exec_driver_sql("DELETE FROM model_versions")
    assert len(models.versions()) == 3


KILLED = """
import itertools, sys
from binsight.storage.ledger import Ledger, Models
models = Models(Ledger.open(sys.argv[1]))
seen = models.pointed().get("champion")
for number in itertools.count():
    seen = models.move("champion", "ab"[number % 2] * 12, seen=seen, by="x", reason="")
    print(seen.revision, flush=True)
"""


def test_what_was_acknowledged_outlives_a_kill(models: Models, ledger_url: str) -> None:
    acknowledged = 0
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, ledger_url], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for _ in range(25):
                acknowledged = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            rest = process.stdout.read().split()
            acknowledged = max([acknowledged, *map(int, rest[:-1])])
        moves = models.moves("champion")
        assert moves[0].revision >= acknowledged
        assert [move.revision for move in moves] == list(range(moves[0].revision, 0, -1))
        assert models.pointed()["champion"].revision == moves[0].revision


@pytest.mark.parametrize(
    ("ledger_url", "error", "says"),
    [
        ("ledger.db", BadInput, "must read sqlite:"),
        ("mysql://host/name", BadInput, "neither"),
        ("sqlite:////proc/nowhere/ledger.db", StorageFailure, "choose another place"),
        ("postgresql+psycopg://me:secret@127.0.0.1:1/x", StorageFailure, "127.0.0.1:1/x failed"),
    ],
)
def test_a_ledger_that_cannot_be_is_explained(ledger_url: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as found:
        Ledger.open(ledger_url)
    assert "secret" not in str(found.value)


def test_a_file_that_is_no_ledger_is_explained(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"no database at all, but long enough to be looked at" * 20)
    with pytest.raises(StorageFailure, match="not a database"):
        Ledger.open(f"sqlite:///{tmp_path}/ledger.db")


def test_sqlite_writes_ahead_and_to_the_disk(tmp_path: Path, opened: Opener) -> None:
    ledger = opened(f"sqlite:///{tmp_path}/ledger.db")
    with ledger.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    assert sqlite3.connect(tmp_path / "ledger.db").execute("SELECT version_num FROM ledger_version").fetchall()


def test_two_ledgers_are_opened_at_once_by_two_threads(tmp_path: Path) -> None:
    faults: list[BaseException] = []

    def open_one(number: int) -> None:
        try:
            Ledger.open(f"sqlite:///{tmp_path}/{number}.db").close()
        except Exception as error:  # noqa: BLE001 - whatever it is
            faults.append(error)

    for start in range(0, 6, 2):
        threads = [threading.Thread(target=open_one, args=(number,)) for number in (start, start + 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert faults == []
