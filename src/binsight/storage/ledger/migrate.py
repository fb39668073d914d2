"""The tables brought to the newest form. Alembic is loaded only where that is due: a service opens several ledgers, and
replicas that begin together would wait for each other to find nothing to do."""

import threading
from pathlib import Path

import sqlalchemy as sa

from binsight.errors import MissingExtra, StorageFailure

NEWEST = "0011"
"""The last of `migrations/versions`; a test compares the two."""
VERSION_TABLE = "ledger_version"

_ALEMBICS = threading.Lock()
"""Alembic keeps what it migrates in a global: two threads that open two ledgers would migrate each other's."""


def is_newest(connection: sa.Connection) -> bool:
    """Whether the tables are as this version makes them."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return False
    found: str | None = connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608
    return found == NEWEST


def migrate(connection: sa.Connection) -> None:
    """Bring the tables to the newest form, in a transaction that nobody else migrates beside.

    Raises `StorageFailure` where a newer Binsight made them.
    """
    try:
        from alembic import command
        from alembic.config import Config
        from alembic.util.exc import CommandError
    except ImportError:
        raise MissingExtra("the ledger", extra="ledger") from None
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    try:
        with _ALEMBICS:
            command.upgrade(config, "head")
    except CommandError as error:  # tables of a revision that this version does not have
        raise StorageFailure(
            f"the ledger was made by a newer Binsight ({error}); install that, or name another ledger in BINSIGHT_LEDGER"
        ) from None
