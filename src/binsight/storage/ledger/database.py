"""The connection: opened by URL, brought to the newest tables, the same for SQLite and PostgreSQL."""

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from binsight.errors import BadInput, MissingExtra, StorageFailure

try:
    import sqlalchemy as sa
    from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError

    from binsight.storage.ledger.migrate import is_newest, migrate
except ImportError:
    raise MissingExtra("the ledger", extra="ledger") from None

BUSY_S = 30
"""SQLite has one writer at a time; the others wait so long for their turn."""
_WRITES = "binsight_writes"
_ONE_MOMENT = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
"""PostgreSQL's transactions that see one moment; SQLite's all do, from their first statement on."""
_MIGRATING = 0x62696E73
"""PostgreSQL's lock that one process alone may hold while it makes tables: "bins"."""


class Ledger:
    """An open ledger. Safe to use from several threads, and from as many processes as the database takes."""

    def __init__(self, engine: sa.Engine, url: str) -> None:
        self._engine, self.url = engine, url

    @classmethod
    def open(cls, url: str) -> "Ledger":
        """Connect, and make or renew the tables where it is due.

        `url` is as SQLAlchemy has it: `sqlite:////folder/ledger.db` or `postgresql+psycopg://host/name`; `~` stands for
        the home folder in the first. Raises `BadInput` for another kind of URL, `MissingExtra` without PostgreSQL's
        library, `StorageFailure` where the database cannot be reached or was made by a newer Binsight.
        """
        try:
            parsed = sa.make_url(url)
            if parsed.get_backend_name() not in ("sqlite", "postgresql"):
                raise BadInput(f"the ledger must be in SQLite or PostgreSQL, but {shown(url)} is neither")
            if parsed.get_backend_name() == "sqlite" and parsed.database:
                parsed = parsed.set(database=str(_made(Path(parsed.database).expanduser())))
            engine = _engine(parsed)
        except (ArgumentError, NoSuchModuleError) as error:
            raise BadInput(
                "the ledger's URL must read sqlite:////folder/ledger.db or postgresql+psycopg://host/name, but "
                f"{str(error)[:1].lower()}{str(error)[1:]}"
            ) from None
        except ImportError:
            raise MissingExtra(f"a ledger at {shown(url)}", extra="postgres") from None
        ledger = cls(engine, url)
        try:
            with ledger.reading() as connection:
                due = not is_newest(connection)
            if due:
                with ledger.writing() as connection:
                    alone(connection, _MIGRATING)
                    migrate(connection)
        except BaseException:
            ledger.close()
            raise
        return ledger

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that only reads. Raises `StorageFailure` where the database fails."""
        with self._explained(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that is kept whole if the block ends well, and else not at all. Raises as `reading`."""
        engine = self._engine.execution_options(**{_WRITES: True})
        with self._explained(), engine.begin() as connection:
            yield connection

    @contextmanager
    def standing_still(self) -> Iterator["Ledger"]:
        """This ledger as it stands at one moment, for the time of the block: to read rows that must agree with each other.

        All that is read comes from one transaction, which holds no writer up. Raises as `reading`.
        """
        options = {} if self._engine.dialect.name == "sqlite" else _ONE_MOMENT
        with self._explained(), self._engine.execution_options(**options).begin() as connection:
            yield _StandingStill(self._engine, self.url, connection)

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise StorageFailure(
                f"the ledger at {shown(self.url)} failed ({reason}); check the address, or start the database"
            ) from None


class _StandingStill(Ledger):
    """A ledger of which one transaction alone reads."""

    def __init__(self, engine: sa.Engine, url: str, connection: sa.Connection) -> None:
        super().__init__(engine, url)
        self._connection = connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """The one transaction. Raises as `Ledger.reading`."""
        with self._explained():
            yield self._connection


def inserted(connection: sa.Connection, into: sa.Insert, rows: Sequence[Mapping[str, Any]] | None = None) -> bool:
    """Insert within a transaction that goes on; False, and nothing is inserted, where a row has a key that is taken."""
    savepoint = connection.begin_nested()
    try:
        connection.execute(into, rows)
    except IntegrityError:
        savepoint.rollback()
        return False
    savepoint.commit()
    return True


def alone(connection: sa.Connection, lock: int) -> None:
    """Have nobody else come here with this lock until the writing transaction ends. SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": lock})


def shown(url: str) -> str:
    """The URL without a password."""
    scheme, separator, rest = url.partition("://")
    return scheme + separator + rest.rpartition("@")[2]


def _made(file: Path) -> Path:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageFailure(f"the ledger {file} cannot be made ({error.strerror}); choose another place") from None
    return file


def _engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() != "sqlite":
        return sa.create_engine(url, pool_pre_ping=True)  # a database that was restarted is connected to again
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_S})
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    """Readers beside the writer (WAL), and a row that is acknowledged is on the disk (FULL)."""
    connection.isolation_level = None  # the driver's own way would begin transactions late, and none for tables
    _turn_to_wal(connection)
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _turn_to_wal(connection: sqlite3.Connection) -> None:
    """A new file's first connections all turn it to WAL, and SQLite lets none of them wait for its turn: see its
    "journal_mode=WAL" under SQLITE_BUSY. Here they wait as any other writer does."""
    end = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)


def _begin_sqlite(connection: sa.Connection) -> None:
    """A writer takes the lock at once: of two that read first and write then, one would fail."""
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
