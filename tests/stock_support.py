"""Stock files for tests."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import openpyxl

from binsight.audit.intake import read_records
from binsight.audit.mapping import Mapping, load_mapping
from binsight.audit.spool import RowProblem
from binsight.records import StockRecord

GENERIC = load_mapping("generic")


def read(
    path: Path,
    mapping: Mapping = GENERIC,
    *,
    separator: str | None = None,
    encoding: str | None = None,
    sheet: str | None = None,
) -> tuple[list[StockRecord], list[RowProblem]]:
    """All records and problems of a file."""
    with read_records(path, mapping, separator=separator, encoding=encoding, sheet=sheet) as records:
        found, problems = list(records), list(records.problems)
        assert len(records) == len(found)
        assert len(records.problems) == len(problems)
        return found, problems


def stock_csv(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def stock_xlsx(path: Path, rows: Sequence[Sequence[object]], title: str = "Sheet1") -> Path:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = title
    for row in rows:
        sheet.append(list(row))
    book.save(path)
    return path


def edited(path: Path, part: str, old: str, new: str) -> Path:
    """An XLSX with a piece of one of its parts replaced by another."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    assert old.encode() in parts[part], parts[part][:2000]
    parts[part] = parts[part].replace(old.encode(), new.encode())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return path


def with_shared_texts(path: Path, texts: str) -> Path:
    """An XLSX with a table of shared texts, which Excel writes and openpyxl does not."""
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    edited(
        path,
        "[Content_Types].xml",
        "</Types>",
        f'<Override PartName="/xl/sharedStrings.xml" ContentType="{kind}"/></Types>',
    )
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
        archive.writestr("xl/sharedStrings.xml", f'<sst xmlns="{space}">{texts}</sst>')
    return path


def lines(tmp_path: Path, header: str, *rows: str) -> Path:
    """A CSV of a header and rows."""
    return stock_csv(tmp_path / "stock.csv", "\n".join([header, *rows, ""]))
