"""When bins were moved: read from a file, and asked bin by bin, from a scratch file on disk."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path

from binsight.audit.cells import moment_of, moment_reader
from binsight.audit.mapping import Mapping
from binsight.audit.run import Movement
from binsight.audit.scratch import open_scratch, scratch_of
from binsight.audit.spreadsheets import Row, open_table
from binsight.errors import BadInput
from binsight.records import StockRecord

_PAGE = 1000


@contextmanager
def read_movements(path: Path, mapping: Mapping, *, encoding: str | None = None) -> Iterator[Movement]:
    """A function that gives a bin's first movement after one moment and until another, from a CSV or XLSX file.

    Raises `BadInput` for a row that cannot be read, and names it: with a movement left out, a stale record would pass for
    a fresh one. Movements without a site are of the bins of that name at every site.
    """
    tables = "CREATE TABLE movements (bin TEXT, at INTEGER, site TEXT);"
    with scratch_of("movements"), closing(open_scratch(tables)) as connection:
        _fill(connection, path, mapping, encoding)
        connection.execute("CREATE INDEX by_bin ON movements (bin, at)")
        at = moment_reader(mapping)

        def movement(record: StockRecord, after: datetime, until: datetime) -> datetime | None:
            ends = at(after.isoformat()), at(until.isoformat())
            query = "SELECT min(at) FROM movements WHERE bin = ? AND at > ? AND at <= ? AND site IN ('', ?)"
            (found,) = connection.execute(query, (record.bin_id, *ends, record.site or "")).fetchone()
            return None if found is None else moment_of(found)

        yield movement


def _fill(connection: sqlite3.Connection, path: Path, mapping: Mapping, encoding: str | None) -> None:
    read = moment_reader(mapping)

    def values(row: Row) -> tuple[str, int, str]:
        fault = next((fault.said for fault in row.faults), None)
        bin_id, at = row.cells.get("bin_id", ""), read(row.cells.get("moved_at", ""))
        if fault is None and not bin_id:
            fault = "must name a bin, but names none"
        if fault is not None or isinstance(at, str):
            raise BadInput(f"{path}, row {row.number}: {fault or at}; correct it, or leave movements out")
        return bin_id, at, row.cells.get("site", "")

    with open_table(path, mapping, wanted=mapping.movements, encoding=encoding) as table:
        while page := [values(row) for row in islice(table.rows, _PAGE)]:
            connection.executemany("INSERT INTO movements VALUES (?, ?, ?)", page)
