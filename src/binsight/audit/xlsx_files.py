"""XLSX files of any stock system, row by row, in bounded memory.

openpyxl's own reading of rows believes the size that a sheet states and lets go of nothing; here its parser of single
rows is used, on a stream that is cleared as it is read. It is not part of its public interface: pyproject.toml holds
openpyxl to one minor version.
"""

import datetime as dt
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Any
from xml.etree.ElementTree import Element, ParseError, SubElement, iterparse

from binsight.errors import BadInput

MAX_SHEET_BYTES = 1 << 30
"""A sheet's XML, unpacked: a million rows with ten columns are about half of it."""
MAX_STRINGS_BYTES = 64 << 20
"""The table of shared texts, unpacked, which is held in memory."""
MAX_OTHER_BYTES = 16 << 20
"""Any other part, unpacked."""
MAX_RATIO = 100
"""Unpacked to packed bytes: Apache POI's bound too. Sheets have 10 to 30, bombs up to 1,000."""
MAX_COLUMNS = 16_384
"""As many as Excel has."""
MAX_TEXT_BYTES = 1 << 20
"""Of one text within the XML; Excel has cells of at most 32,767 characters."""

_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, ParseError, EOFError, NotImplementedError),
    *(ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError),
)
"""What openpyxl and zipfile raise for files that are damaged or none: they check little themselves."""

NO_VALUE = "no value"
"""The kind of a formula's cell that was saved without its value."""

Faults = dict[int, tuple[str, str]]
"""By the column's place: what is shown of a cell, and the end of a sentence about it."""


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except BadInput:
        raise
    except (OSError, *_DAMAGED) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk's, not one of openpyxl's own
            raise
        raise BadInput(f"{path} is damaged, or is no XLSX file ({error}); save it again, or as CSV") from None


def xlsx_rows(
    path: Path, *, sheet: str | None, decimal: str
) -> Generator[tuple[int, list[str], Faults], None, None]:
    """Row number, cells as text, and faults of every row that is not blank, on one sheet (the first).

    A formula is read as the value that was saved with it. Numbers get `decimal` as their sign.

    Raises `BadInput` where the file is too large, damaged or no XLSX, or has no such sheet.
    """
    import openpyxl

    with _damage_named(path), path.open("rb") as file:  # by its path openpyxl wants it to end in .xlsx
        _check_size(path)
        book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
        try:
            for number, cells in _sheet_rows(path, book, _sheet(path, book, sheet)):
                texts, faults = _texts(number, cells, decimal)
                if texts:
                    yield number, texts, faults
        finally:
            book.close()


def _check_size(path: Path) -> None:
    """Refuse what would unpack to more than is read, by the directory of the archive; `zipfile` reads no more than that."""
    with zipfile.ZipFile(path) as archive:
        for part in archive.infolist():
            most = MAX_OTHER_BYTES
            if part.filename.startswith("xl/worksheets/"):
                most = MAX_SHEET_BYTES
            elif part.filename.endswith("sharedStrings.xml"):
                most = MAX_STRINGS_BYTES
            elif not part.filename.endswith((".xml", ".rels")):
                continue  # pictures and the like: never opened
            if part.file_size > most:
                raise BadInput(
                    f"{path} must have at most {most >> 20:,} MiB in {part.filename}, but has {part.file_size >> 20:,}; "
                    "save it as CSV"
                )
            if part.file_size > 1 << 20 and part.file_size > MAX_RATIO * part.compress_size:
                raise BadInput(
                    f"{path} must unpack to at most {MAX_RATIO} times its size, but {part.filename} unpacks to "
                    f"{part.file_size // max(part.compress_size, 1):,} times; save it as CSV"
                )


def _sheet(path: Path, book: Any, name: str | None) -> Any:
    if not book.worksheets:
        raise BadInput(f"{path} must have a sheet, but has none; save it again")
    names = [sheet.title for sheet in book.worksheets]
    if name is not None and name not in names:
        raise BadInput(f"{path} has no sheet {name}, but {', '.join(names)[:300]}; name one of these")
    return book.worksheets[0 if name is None else names.index(name)]


class _Bounded:
    """A stream that ends with an error where one text in it goes on and on."""

    def __init__(self, path: Path, source: IO[bytes]) -> None:
        self.path, self.source, self.length = path, source, 0

    def read(self, size: int = -1) -> bytes:
        piece = self.source.read(size)
        last = piece.rfind(b"<")
        self.length = len(piece) - last if last >= 0 else self.length + len(piece)
        if self.length > MAX_TEXT_BYTES:
            raise BadInput(
                f"{self.path} must have cells of at most 32,767 characters, but has longer; save it as CSV"
            )
        return piece


def _sheet_rows(path: Path, book: Any, sheet: Any) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Row number and openpyxl's cells of each row; each is let go of before the next."""
    from openpyxl.worksheet._reader import CELL_TAG, DATA_TAG, ROW_TAG

    with sheet._get_source() as source:
        parser = _parser(sheet, book)
        data: Element | None = None
        last = num_cells = 0
        # Expat itself bounds what entities may unpack to, and nothing is fetched.
        for event, element in iterparse(_Bounded(path, source), events=("start", "end")):  # noqa: S314
            if event == "start":
                if element.tag == DATA_TAG:
                    data = element
                elif element.tag == CELL_TAG:
                    num_cells += 1
                    if num_cells > MAX_COLUMNS:
                        raise BadInput(
                            f"{path} must have at most {MAX_COLUMNS:,} columns, but has more; save it as CSV"
                        )
            elif element.tag == ROW_TAG and data is not None:
                number, cells = parser.parse_row(element)
                if not last < number < 1 << 31:
                    raise ValueError(f"row {number} after row {last}")
                yield number, cells
                last, num_cells = number, 0
                data.clear()
                parser.row_dimensions.clear()
            elif element.tag == DATA_TAG:
                return


def _parser(sheet: Any, book: Any) -> Any:
    """openpyxl's parser of rows: cells with the value that was saved with a formula, and a mark where there is none."""
    from openpyxl.worksheet._reader import FORMULA_TAG, INLINE_STRING, VALUE_TAG, WorkSheetParser
    from openpyxl.xml.constants import SHEET_MAIN_NS

    text_tag, run_tag = f"{{{SHEET_MAIN_NS}}}t", f"{{{SHEET_MAIN_NS}}}r"
    parser: Any = WorkSheetParser(
        BytesIO(),  # rows are handed to it one by one
        sheet._shared_strings,
        data_only=True,
        epoch=book.epoch,
        date_formats=book._date_formats,
        timedelta_formats=book._timedelta_formats,
    )
    parse_cell = parser.parse_cell

    def marked(element: Element) -> dict[str, Any]:
        inline = element.find(INLINE_STRING)
        if inline is not None:  # as a plain text: openpyxl makes objects of all that an inline one may have
            element.set("t", "str")
            SubElement(element, VALUE_TAG).text = "".join(
                (part.text if part.tag == text_tag else part.findtext(text_tag)) or ""
                for part in inline
                if part.tag in (text_tag, run_tag)
            )
        cell: dict[str, Any] = parse_cell(element)
        if cell["value"] is None and element.find(FORMULA_TAG) is not None and element.find(VALUE_TAG) is None:
            cell["data_type"] = NO_VALUE
        return cell

    parser.parse_cell = marked
    return parser


def _texts(number: int, cells: list[dict[str, Any]], decimal: str) -> tuple[list[str], Faults]:
    """The texts of a row, as long as its last cell that says something."""
    texts: list[str] = []
    faults: Faults = {}
    for cell in cells:
        place, kind = cell["column"] - 1, cell["data_type"]
        text = _text(cell["value"], decimal)
        if not text and kind != NO_VALUE:
            continue
        if place >= MAX_COLUMNS:
            raise ValueError(f"a cell in column {place + 1:,}")
        if kind == NO_VALUE:
            faults[place] = (
                "a formula",
                f"must have a value, but {_letters(place)}{number} is a formula without a saved one",
            )
        elif kind == "e":
            faults[place] = (text, f"must have a value, but the formula in {_letters(place)}{number} gives {text}")
        texts.extend([""] * (place + 1 - len(texts)))
        texts[place] = text
    return texts, faults


def _letters(place: int) -> str:
    from openpyxl.utils import get_column_letter

    return str(get_column_letter(place + 1))


def _text(value: object, decimal: str) -> str:
    """What a cell says, as a CSV of the same table would have it; dates by ISO 8601."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value).replace(".", decimal)
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    return str(value)
