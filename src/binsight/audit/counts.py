"""People's counts from one system's columns into another's: what goes back into the stock system."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import ClassVar

from binsight.audit.cells import moment_of, moment_reader, quantity_reader
from binsight.audit.mapping import FileColumns, Headers
from binsight.audit.mapping import Mapping as ColumnMapping
from binsight.audit.spool import RowProblem
from binsight.audit.spreadsheets import Row, Value, open_table, write_rows

Tell = Callable[[RowProblem], None]


class CountColumns(FileColumns):
    """The columns that counts are read from: those in which a mapping's system takes them."""

    needed: ClassVar = ("bin_id", "counted_qty")

    bin_id: Headers = ()
    counted_qty: Headers = ()
    site: Headers = ()
    aisle: Headers = ()
    sku: Headers = ()
    photo: Headers = ()
    expected_qty: Headers = ()
    counter: Headers = ()
    counted_at: Headers = ()
    reason: Headers = ()
    comment: Headers = ()

    @classmethod
    def of(cls, mapping: ColumnMapping) -> "CountColumns":
        """Those of a mapping, whose `counts` say which field each column has."""
        return cls.model_validate({field: column for column, field in mapping.counts.items() if field})


def write_counts(
    path: Path,
    mapping: ColumnMapping,
    counts: Iterable[Mapping[str, Value]],
    *,
    placing: AbstractContextManager[None] | None = None,
) -> int:
    """Write counts, by field, as CSV or XLSX in the columns and with the decimal sign of the mapping's system; how many.

    What it has no column for is left out; no cell is a formula. `placing` and what it raises are as of `write_rows`.
    """
    number = 0

    def rows() -> Iterator[dict[str, Value]]:
        nonlocal number
        for number, row in enumerate(counts, 1):  # noqa: B007 - the last number is how many there are
            yield dict(row)

    write_rows(path, mapping.counts, rows(), decimal=mapping.decimal, placing=placing)
    return number


def read_counts(
    path: Path, mapping: ColumnMapping, tell: Tell, *, encoding: str | None = None, sheet: str | None = None
) -> Iterator[dict[str, Value]]:
    """The counts of a file, by field, one line after the other; `tell` hears of each line that is left out.

    Raises `MissingObject`, or `BadInput` where the file cannot be read as a whole.
    """
    quantity, moment = quantity_reader(mapping), moment_reader(mapping)
    with open_table(path, mapping, wanted=CountColumns.of(mapping), encoding=encoding, sheet=sheet) as table:
        for row in table.rows:
            bad = partial(_bad, tell, row, table.columns.places, table.columns.headers)
            for fault in row.faults:
                tell(_problem(row.number, fault.column, fault.shown, fault.said))
            if row.faults:
                continue
            if not row.cells["bin_id"]:
                bad("bin_id", "must name a bin, but is empty")
                continue
            if (read := _values(row, quantity, moment, bad)) is not None:
                yield read


def _values(
    row: Row,
    quantity: Callable[[str], int | str],
    moment: Callable[[str], int | str],
    bad: Callable[[str, str], None],
) -> dict[str, Value] | None:
    """The row's fields as what they are; None where one of them is none."""
    values: dict[str, Value] = {field: text for field, text in row.cells.items() if text}
    for field in ("counted_qty", "expected_qty"):
        if field == "counted_qty" or field in values:
            number = quantity(row.cells[field])
            if isinstance(number, str):
                bad(field, number)
                return None
            values[field] = number
    if "counted_at" in values:
        at = moment(row.cells["counted_at"])
        if isinstance(at, str):
            bad("counted_at", at)
            return None
        values["counted_at"] = moment_of(at)
    return values


def _bad(tell: Tell, row: Row, places: Mapping[str, int], headers: tuple[str, ...], field: str, said: str) -> None:
    tell(_problem(row.number, headers[places[field]], row.cells[field], said))


def _problem(number: int, column: str | None, shown: str, said: str) -> RowProblem:
    where = f"row {number}" if column is None else f"row {number}: {column}"
    return RowProblem(row=number, column=column, shown=shown[:60], sentence=f"{where} {said}; the line is left out")
