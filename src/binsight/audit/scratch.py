"""Scratch files on disk for what an audit must look up but not hold in memory, however large its files are.

A nameless database is a file that SQLite makes where SQLITE_TMPDIR or TMPDIR say, and deletes when it is closed, or when
the process ends however it ends. It is no ledger: what a crash leaves of it is nothing, so that it need not be safe.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from binsight.errors import StorageFailure

_PRAGMAS = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = FILE;"


def open_scratch(tables: str) -> sqlite3.Connection:
    """An empty scratch file with these tables, for one thread at a time; the caller closes it."""
    connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    try:
        connection.executescript(_PRAGMAS + tables)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def scratch_of(what: str) -> Iterator[None]:
    """Where scratch files are used: raises `StorageFailure` where the disk fails that they lie on."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StorageFailure(
            f"the scratch file of {what} failed ({error}); free space, or set TMPDIR to another disk"
        ) from None
