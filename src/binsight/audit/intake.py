"""From a stock file to records: lines checked, added up by bin, and every problem kept with its row and column."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from binsight.audit.cells import moment_of, moment_reader, name_fault, quantity_reader, value_reader
from binsight.audit.columns import Columns
from binsight.audit.mapping import Mapping
from binsight.audit.spool import Line, RowProblem, Spool, Whole, bad_line
from binsight.audit.spreadsheets import Row, no_line, open_table
from binsight.audit.totals import MAX_LINES, add_up
from binsight.records import StockRecord

ValueT = TypeVar("ValueT", int, float)
_NAMES = ("bin_id", "site", "aisle")
"""Fields by which the ledger finds a record."""


class Records:
    """The records of a stock file, and its problems; both lie on disk and can be gone through any number of times.

    Close it, or use it in a `with`: what lies on disk is deleted then.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def __iter__(self) -> Iterator[StockRecord]:
        """A record a bin, in the order of the bins' first lines in the file."""
        return map(_record, self._spool.bins())

    def __len__(self) -> int:
        return self._spool.num_bins()

    @property
    def problems(self) -> "Problems":
        """What was wrong, by row."""
        return Problems(self._spool)

    def close(self) -> None:
        """Delete what lies on disk."""
        self._spool.close()

    def __enter__(self) -> "Records":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Problems:
    """The problems of a stock file in the order of their rows; `len` says how many."""

    _spool: Spool

    def __iter__(self) -> Iterator[RowProblem]:
        return self._spool.problems()

    def __len__(self) -> int:
        return self._spool.num_problems


def read_records(
    path: Path,
    mapping: Mapping,
    *,
    separator: str | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
) -> Records:
    """Read a whole stock file, CSV or XLSX, and add up the lines of each bin.

    A bin with a line that cannot be read is left out, since its total would be wrong; so is one that names an item
    twice. A photo that several bins name, or several photos that one bin names, are problems too, and those records go
    on without one. The rest goes on.

    Raises `MissingObject`, or `BadInput` where the file cannot be read as a whole or has no line; `StorageFailure` where
    the disk for what waits fails.
    """
    spool = Spool()
    try:
        with open_table(path, mapping, separator=separator, encoding=encoding, sheet=sheet) as table:
            read = _LineReader(mapping, table.columns, spool)
            for row in table.rows:
                read(row)
            _add_up(spool, table.columns)
        if not spool.num_bins() and not spool.num_problems:
            raise no_line(path, "a bin")
    except BaseException:
        spool.close()
        raise
    return Records(spool)


class _LineReader:
    """Checks one row after another, and puts lines and problems into the spool."""

    def __init__(self, mapping: Mapping, columns: Columns, spool: Spool) -> None:
        self._columns, self._spool = columns, spool
        self._quantity = quantity_reader(mapping)
        self._value = value_reader(mapping)
        self._moment = moment_reader(mapping)

    def __call__(self, row: Row) -> None:
        cells = row.cells
        bin_id = cells.get("bin_id", "")
        for fault in row.faults:
            self._bad(row.number, fault.column, fault.shown, fault.said)
        if not bin_id:  # whose line it is, nobody knows
            if not row.faults:
                self._bad(row.number, self._columns.name("bin_id"), "", "must name a bin, but is empty")
            return
        line = None if row.faults else self._line(row, bin_id)
        self._spool.add_line(line or bad_line(row.number, cells.get("site", ""), bin_id))

    def _line(self, row: Row, bin_id: str) -> Line | None:
        """The row as a line; None where a cell of it is bad, which is noted."""
        cell = row.cells.get
        num_problems = self._spool.num_problems
        for name in _NAMES:
            if fault := name_fault(cell(name, "")):
                self._bad(row.number, self._columns.name(name), cell(name, ""), fault)
        quantity = self._quantity(row.cells["expected_qty"])
        if isinstance(quantity, str):
            self._bad(row.number, self._columns.name("expected_qty"), row.cells["expected_qty"], quantity)
            quantity = 0
        line = Line(
            row.number,
            cell("site", ""),
            bin_id,
            cell("sku", ""),
            row.apart,
            quantity,
            cell("photo", ""),
            cell("aisle", ""),
            self._read(row, "record_as_of", self._moment),
            self._read(row, "photo_taken_at", self._moment),
            self._read(row, "unit_value", self._value),
            cell("item_class", ""),
            False,
        )
        return line if self._spool.num_problems == num_problems else None

    def _read(self, row: Row, field: str, read: Callable[[str], ValueT | str]) -> ValueT | None:
        """A cell's value; None where it is empty, or where it is bad, which is noted."""
        text = row.cells.get(field)
        if not text:
            return None
        value = read(text)
        if isinstance(value, str):
            self._bad(row.number, self._columns.name(field), text, value)
            return None
        return value

    def _bad(self, number: int, column: str | None, shown: str, said: str) -> None:
        where = f"row {number}" if column is None else f"row {number}: {column}"
        self._spool.add_problem(RowProblem(row=number, column=column, shown=shown[:60], sentence=f"{where} {said}"))


def _add_up(spool: Spool, columns: Columns) -> None:
    """The lines of each bin to one record of it, or to a problem."""
    for _, lines in groupby(spool.lines_by_bin(), key=attrgetter("bin", "site")):
        whole, problems = add_up(list(islice(lines, MAX_LINES + 1)), columns)
        for problem in problems:
            spool.add_problem(problem)
        if whole is not None:
            spool.add_bin(whole)
    spool.drop_lines()
    if "photo" in columns.places:
        for photo, sharing in groupby(spool.bins_by_shared_photo(), key=lambda found: found[0]):
            _tell_shared(spool, columns.name("photo"), photo, [(row, bin_id) for _, row, bin_id in sharing])
        spool.forget_shared_photos()


def _tell_shared(spool: Spool, column: str, photo: str, bins: list[tuple[int, str]]) -> None:
    for place, (row, bin_id) in enumerate(bins):
        other_row, other = bins[1 if place == 0 else 0]
        sentence = (
            f"row {row}: {column} {photo[:60]} of bin {bin_id[:60]} is bin {other[:60]}'s as well (row {other_row}); "
            "the bin goes on without a photo"
        )
        spool.add_problem(RowProblem(row=row, column=column, shown=photo[:60], sentence=sentence))


def _record(whole: Whole) -> StockRecord:
    return StockRecord(
        bin_id=whole.bin,
        expected=whole.expected,
        row=whole.row,
        photo=whole.photo,
        skus=() if whole.skus == "[]" else tuple(json.loads(whole.skus)),
        site=whole.site or None,
        aisle=whole.aisle or None,
        as_of=None if whole.as_of is None else moment_of(whole.as_of),
        photo_taken_at=None if whole.taken_at is None else moment_of(whole.taken_at),
        unit_value=whole.value,
        item_class=whole.item_class or None,
    )
