"""Empty ledgers for tests, in SQLite and in a real PostgreSQL."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from tests.postgres_server import running_postgres

from binsight.storage.ledger import Ledger, database


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A server's URL."""
    with running_postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/deep/ledger.db"
    server: str = request.getfixturevalue("postgres")
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    name = f"ledger_{time.monotonic_ns()}"
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return server.rpartition("/")[0] + f"/{name}"


Opener = Callable[[str], Ledger]


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Opens ledgers, and closes them in the end."""
    ledgers: list[Ledger] = []

    def open_one(ledger_url: str) -> Ledger:
        ledgers.append(Ledger.open(ledger_url))
        return ledgers[-1]

    yield open_one
    for ledger in ledgers:
        ledger.close()


def ledger_at(ledger_url: str, revision: str) -> None:
    """An empty ledger as an older Binsight made it."""
    if ledger_url.startswith("sqlite"):
        Path(ledger_url.partition("///")[2]).parent.mkdir(parents=True, exist_ok=True)
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    engine = sa.create_engine(ledger_url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()
