"""CSV files of any stock system, row by row: encoding and separator are found, or given."""

import codecs
import csv
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TextIO

from binsight.errors import BadInput
from binsight.report.formulas import as_written

SEPARATORS = (",", ";", "\t", "|")
MAX_LINE = 1 << 20
"""Characters in one line. A file without line ends is not read into memory, whatever its size."""

_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16's, with whose it begins
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"  # also of an XLSX with a password


def csv_rows(
    path: Path,
    *,
    separator: str | None,
    encoding: str | None,
    score: Callable[[list[str]], int],
) -> Iterator[tuple[int, list[str]]]:
    """Row number, as a spreadsheet counts, and cells of every row that is not blank.

    `score` says how well a header was divided; the separator with the best is taken where none is given.

    Raises `BadInput` naming the byte where the file has another encoding, and the row where it is no CSV.
    """
    name = _encoding(path, encoding)
    try:
        with path.open(encoding=name, newline="") as file:
            separator = separator or _separator(file, score)
            file.seek(0)
            yield from _rows(path, _lines(path, file), separator)
    except UnicodeError as error:
        raise BadInput(_wrong_byte(path, name, error)) from None


def _rows(path: Path, lines: Iterable[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    # Strict: a quote that is never closed would else swallow the rest of the file without a word.
    reader = csv.reader(lines, delimiter=separator, strict=True)
    number = 0
    try:
        for row in reader:
            number += 1
            if row:
                yield number, [as_written(cell) if cell[:1] == "'" else cell for cell in row]
    except csv.Error as error:
        raise BadInput(
            f"{path} row {number + 1} (it ends in line {reader.line_num}) is not CSV ({error}); "
            "look for a quote too many or too few"
        ) from None


def _lines(path: Path, file: TextIO) -> Iterator[str]:
    for number, line in enumerate(iter(partial(file.readline, MAX_LINE), ""), start=1):
        if len(line) == MAX_LINE:
            raise BadInput(f"{path} line {number} must have fewer than {MAX_LINE:,} characters; is it a CSV file?")
        yield line


def _separator(file: TextIO, score: Callable[[list[str]], int]) -> str:
    """The one that divides the header into most columns that the mapping knows; of equal ones, into most columns."""
    header = next((line for line in iter(partial(file.readline, MAX_LINE), "") if line.strip()), "")

    def quality(separator: str) -> tuple[int, int]:
        cells = next(csv.reader([header], delimiter=separator), [])
        return score(cells), len(cells)

    return max(SEPARATORS, key=quality)


def _encoding(path: Path, given: str | None) -> str:
    """The encoding that is given, or that the file's first bytes name; else UTF-8."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith(_OLD_EXCEL):
        raise BadInput(
            f"{path} is an Excel file of before 2007, or has a password; save it as XLSX without one, or CSV"
        )
    if given is not None:
        try:
            name = codecs.lookup(given).name
            "".encode(name)  # base64 and the like are codecs too, but not of text
        except LookupError:
            raise BadInput(
                f"{given} is no encoding that Python knows; for example utf-8, utf-16 or cp1252"
            ) from None
        return "utf-8-sig" if name == "utf-8" else name
    marked = next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)
    if marked is None and b"\0" in head:
        raise BadInput(
            f"{path} must be text, but byte {head.index(0)} is 0; if it is UTF-16 without a mark, say utf-16-le"
        )
    return marked or "utf-8"


def _wrong_byte(path: Path, encoding: str, error: UnicodeError) -> str:
    """Which byte is wrong, and where. The decoder itself only knows where in its last piece."""
    said = f"{path} must be {encoding.removesuffix('-sig').upper()}, but"
    mend = "save it as CSV UTF-8, or say its encoding, such as cp1252"
    start = 0
    with path.open("rb") as file:
        for number, line in enumerate(iter(partial(file.readline, MAX_LINE), b""), start=1):
            try:
                line.decode(encoding.removesuffix("-sig"))
            except UnicodeDecodeError as fault:
                if not encoding.startswith(("utf-16", "utf-32")):
                    at = start + fault.start
                    return f"{said} byte 0x{line[fault.start]:02X} at {at:,} (line {number}) is not; {mend}"
                break
            start += len(line)
    return f"{said} it is not ({getattr(error, 'reason', error)}); {mend}"
