"""Stock files in and out, CSV and XLSX, through a column mapping.

Files are read and written row by row: memory does not grow with them. The bounds: a line of a CSV has fewer than a
million characters, a cell 131,072; an XLSX unpacks to at most a GiB a sheet, with 64 MiB of shared texts.
"""

import csv
from collections.abc import Generator, Iterable, Iterator, Sequence
from collections.abc import Mapping as Dict
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from binsight.audit.columns import Columns, find_columns, num_known
from binsight.audit.csv_files import csv_rows
from binsight.audit.mapping import FileColumns, Mapping
from binsight.audit.xlsx_files import Faults, xlsx_rows
from binsight.errors import BadInput, MissingExtra, MissingObject
from binsight.report.formulas import harmless
from binsight.storage.files import written_whole

Value = str | int | float | datetime | None

MAX_XLSX_ROWS = 1_048_576
MAX_XLSX_TEXT = 32_767
"""Of one cell: as Excel has them; openpyxl would cut off the rest without a word."""

RawRows = Generator[tuple[int, list[str], Faults], None, None]

_NO_FAULTS: Faults = {}
_ZIP = b"PK\x03\x04"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with a row: the column, where it is one, what is shown of its cell, the end of a sentence."""

    column: str | None
    shown: str
    said: str


@dataclass(slots=True, kw_only=True)
class Row:
    """One row of a stock file: its number (the header's is 1) and the text of each field that the mapping reads.

    `apart` is what tells this line from others of the same item in the same bin. A row with `faults` is not to be
    believed, though its bin, where it can be read, may be told.
    """

    number: int
    cells: dict[str, str]
    apart: str
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """An open stock file."""

    columns: Columns
    rows: Iterator[Row]


@contextmanager
def open_table(
    path: Path,
    mapping: Mapping,
    *,
    wanted: FileColumns | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
) -> Iterator[Table]:
    """Open a CSV (by whatever name) or XLSX file and find the mapping's columns in its first row: those of records, or
    others that are `wanted`.

    Raises `MissingObject` where it is not there, `BadInput` where it cannot be read as a whole: while it is opened, and
    while its rows are read.
    """
    if separator is not None and (len(separator) != 1 or separator in '"\r\n'):
        raise BadInput(
            f"the separator must be one character such as ; but is {separator!r}; for a tab give a real one"
        )
    wanted = wanted or mapping.records
    is_xlsx = _is_xlsx(path)
    if is_xlsx:
        _require_openpyxl(path)
        raw = xlsx_rows(path, sheet=sheet, decimal=mapping.decimal)
    else:
        raw = _csv_rows(path, wanted, separator=separator, encoding=encoding)
    raw = _readable(path, raw)
    _, header, _ = next(raw, (0, [], {}))
    if not any(cell.strip() for cell in header):
        raise BadInput(f"{path} must have a row of column names, but is empty; export it again")
    columns = find_columns(str(path), [cell.strip() for cell in header], wanted, name=mapping.name)
    try:
        yield Table(columns=columns, rows=_rows(raw, header, columns, pads=is_xlsx))
    finally:
        raw.close()


def no_line(path: Path, what: str) -> BadInput:
    """That a file has a header alone: nothing was checked, which is not to pass for nothing wrong."""
    return BadInput(f"{path} must have a line of {what}, but has none; export it again")


def _is_xlsx(path: Path) -> bool:
    """By the file's first bytes: names are often wrong."""
    try:
        with path.open("rb") as file:
            return file.read(4) == _ZIP
    except FileNotFoundError:
        raise MissingObject(f"{path} is not there; name a CSV or XLSX file of stock records") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}); name a CSV or XLSX file") from None


def _csv_rows(path: Path, wanted: FileColumns, *, separator: str | None, encoding: str | None) -> RawRows:
    def score(header: list[str]) -> int:
        return num_known(header, wanted)

    for number, cells in csv_rows(path, separator=separator, encoding=encoding, score=score):
        yield number, cells, _NO_FAULTS


def _readable(path: Path, rows: RawRows) -> RawRows:
    try:
        yield from rows
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read ({error.strerror or error}); copy it to this machine's disk"
        ) from None


def _rows(raw: RawRows, header: list[str], columns: Columns, *, pads: bool) -> Iterator[Row]:
    """Rows by field. `pads`: a row without its last cells is none of fewer cells, as in XLSX."""
    width, places = len(header), columns.places.items()
    read = {*columns.places.values(), *columns.apart}
    first = next(iter(columns.places.values()))  # of what every row must name
    for number, cells, cell_faults in raw:
        if not cell_faults and not (first < len(cells) and cells[first]) and not any(map(str.strip, cells)):
            continue
        if cells == header:
            yield Row(number=number, cells={}, apart="", faults=(Fault(column=None, shown="", said=_HEADER_AGAIN),))
            continue
        faults: tuple[Fault, ...] = ()
        if len(cells) != width:
            faults = _width_fault(cells, width, pads=pads)
            cells.extend([""] * (width - len(cells)))
        if cell_faults:
            faults += tuple(
                Fault(column=columns.headers[place], shown=shown, said=said)
                for place, (shown, said) in cell_faults.items()
                if place in read
            )
        yield Row(
            number=number,
            cells={field: cells[place].strip() for field, place in places},
            apart="\x1f".join([cells[place].strip() for place in columns.apart]) if columns.apart else "",
            faults=faults,
        )


_HEADER_AGAIN = "is the header again; remove it"


def _width_fault(cells: Sequence[str], width: int, *, pads: bool) -> tuple[Fault, ...]:
    """A row of a CSV must be as wide as its header; in an XLSX empty cells at a row's end are left out.

    Empty cells beyond the header do no harm: spreadsheets write them where a cell was once filled.
    """
    if len(cells) < width and pads:
        return ()
    if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
        return ()
    said = f"must have {width} cells as the header has, but has {len(cells)}"
    return (Fault(column=None, shown="", said=said),)


def write_rows(
    path: Path,
    shape: Dict[str, str],
    rows: Iterable[Dict[str, Value]],
    *,
    decimal: str = ".",
    separator: str = ",",
    encoding: str = "utf-8",
    placing: AbstractContextManager[None] | None = None,
) -> None:
    """Write rows, by field, as CSV or XLSX (by the name's ending) with the columns of `shape` (column → field).

    A `mapping.counts` or `mapping.record_shape()` is a shape; fields that it does not have are left out. No cell of it is
    a formula when it is opened: CSV gets an apostrophe before such texts, XLSX says that they are texts. The whole file is
    put in its place within `placing`.

    Raises `BadInput` where the name or the encoding does not do, `StorageFailure` where the disk fails.
    """
    table = ([row.get(field) for field in shape.values()] for row in rows)
    if path.suffix.lower() == ".xlsx":
        _require_openpyxl(path)
        with written_whole(path, placing=placing) as part:
            _write_xlsx(path, part, {"Sheet1": (list(shape), table)})
    elif path.suffix.lower() in (".csv", ".tsv", ".txt"):
        with written_whole(path, placing=placing) as part:
            _write_csv(path, part, list(shape), table, decimal=decimal, separator=separator, encoding=encoding)
    else:
        raise BadInput(f"{path} must end in .csv or .xlsx, but ends in {path.suffix or 'nothing'}; name it so")


def _write_csv(
    path: Path,
    part: Path,
    header: list[str],
    rows: Iterable[list[Value]],
    *,
    decimal: str,
    separator: str,
    encoding: str,
) -> None:
    try:
        with part.open("w", encoding=encoding, newline="") as file:
            writer = csv.writer(file, delimiter=separator)
            writer.writerow(map(harmless, header))
            for row in rows:
                writer.writerow([_csv_cell(value, decimal) for value in row])
    except UnicodeEncodeError as error:
        raise BadInput(
            f"{path} cannot be written as {encoding}, which has no {error.object[error.start]!r}; write it as utf-8"
        ) from None
    except LookupError:
        raise BadInput(f"{encoding} is no encoding that Python knows; for example utf-8 or cp1252") from None


def _csv_cell(value: Value, decimal: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return harmless(value.replace("\0", "\ufffd"))  # with it a file is no text
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value).replace(".", decimal)


Sheets = Dict[str, tuple[Sequence[str], Iterable[Sequence[Value]]]]
"""Header and rows of each sheet, by its name."""


def write_book(path: Path, sheets: Sheets) -> None:
    """Write sheets into one XLSX, of which no cell is a formula. Raises as `write_rows` does."""
    _require_openpyxl(path)
    with written_whole(path) as part:
        _write_xlsx(path, part, sheets)


def _write_xlsx(path: Path, part: Path, sheets: Sheets) -> None:
    import openpyxl
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    book = openpyxl.Workbook(write_only=True)

    def cell(sheet: Any, value: Value) -> Any:
        if isinstance(value, datetime):
            value = value.isoformat()  # a date of Excel's has no time zone
        if not isinstance(value, str):
            return value
        if len(value) > MAX_XLSX_TEXT:
            raise BadInput(
                f"{path} can have cells of {MAX_XLSX_TEXT:,} characters, but one has {len(value):,}; write CSV"
            )
        made = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("\ufffd", value))
        made.data_type = "s"  # also where the text begins as a formula does
        return made

    try:
        for title, (header, rows) in sheets.items():
            sheet = book.create_sheet(title)
            sheet.append([cell(sheet, name) for name in header])
            for number, row in enumerate(rows, start=2):
                if number > MAX_XLSX_ROWS:
                    raise BadInput(f"{path} can have {MAX_XLSX_ROWS:,} rows, but there are more; write CSV")
                sheet.append([cell(sheet, value) for value in row])
    finally:  # after an error too: openpyxl then removes its own temporary files
        book.save(part)


def _require_openpyxl(path: Path) -> None:
    from importlib.util import find_spec

    if find_spec("openpyxl") is None:
        raise MissingExtra(f"{path.name}, an XLSX file,", extra="audit")
