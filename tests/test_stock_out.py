"""Stock files that go out: no cell is a formula, and what is written is read the same."""

import csv
import math
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from binsight.audit import spreadsheets
from binsight.audit.mapping import load_mapping, shipped
from binsight.audit.spreadsheets import Value, open_table, write_rows
from binsight.errors import BadInput, StorageFailure
from binsight.report.formulas import as_written, harmless

SHEET = "xl/worksheets/sheet1.xml"

ANYTHING = st.text(st.characters(codec="utf-8"), max_size=20)
FORMULAS = st.tuples(st.sampled_from(["=", "+", "-", "@", "\t", "'", "'=", "＝"]), ANYTHING).map("".join)
TEXTS = st.one_of(
    ANYTHING, FORMULAS, st.sampled_from(["-5", "+1.5", "=1+1", "'=1", "''@x", "-1-1", "#N/A", "TRUE", "007"])
)
CSV_TEXTS = TEXTS.map(lambda text: text.replace("\0", ""))


@given(TEXTS)
def test_what_is_made_harmless_is_read_as_it_was(text: str) -> None:
    assert as_written(harmless(text)) == text


@given(TEXTS)
def test_no_harmless_cell_begins_as_a_formula_does_but_a_number(text: str) -> None:
    written = harmless(text)
    if written[:1] in tuple("=+-@\t\r"):
        float(written.replace(",", "."))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-5", "-5"),
        ("-1,5", "-1,5"),
        ("-1+2", "'-1+2"),
        ("\t=1", "'\t=1"),
        ("A-1", "A-1"),
    ],
)
def test_formulas_get_an_apostrophe_in_csv_and_numbers_do_not(tmp_path: Path, text: str, written: str) -> None:
    path = tmp_path / "out.csv"
    write_rows(
        path,
        {"Bin": "bin_id", "n": "counted_qty"},
        [{"bin_id": text, "counted_qty": -1, "reason": "not in the shape"}],
    )
    with path.open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["Bin", "n"], [written, "-1"]]


def test_formulas_are_texts_in_xlsx(tmp_path: Path) -> None:
    path = tmp_path / "out.xlsx"
    write_rows(
        path, {"=Bin": "bin_id", "n": "counted_qty"}, [{"bin_id": "=1+1", "counted_qty": 3}, {"bin_id": "#N/A"}]
    )
    sheet = openpyxl.load_workbook(path)["Sheet1"]
    assert [[(cell.value, cell.data_type) for cell in row] for row in sheet.iter_rows()] == [
        [("=Bin", "s"), ("n", "s")],
        [("=1+1", "s"), (3, "n")],
        [("#N/A", "s"), (None, "n")],
    ]


# XML turns \r into \n and has no control characters; a cell ends at 32,767 characters.
XML_TEXTS = TEXTS.map(
    lambda text: "".join(c for c in text if c >= " " or c in "\t\n").replace("\ufffe", "").replace("\uffff", "")
)
ROWS = st.lists(st.tuples(st.integers(-5, 10**6), st.one_of(st.none(), st.floats(0, 1e6))), min_size=1, max_size=5)


@pytest.mark.parametrize(("ending", "texts"), [(".csv", CSV_TEXTS), (".xlsx", XML_TEXTS)])
@settings(max_examples=40)
@given(data=st.data())
def test_what_is_written_is_read_the_same(
    tmp_path_factory: pytest.TempPathFactory, ending: str, texts: st.SearchStrategy[str], data: st.DataObject
) -> None:
    """In every shipped mapping's shape, by columns; surrounding spaces of cells apart."""
    mapping = load_mapping(data.draw(st.sampled_from([name for name in shipped() if name != "abid"])))
    mapping = mapping.model_copy(update={"decimal": data.draw(st.sampled_from(".,"))})
    shape = mapping.record_shape()
    rows: list[dict[str, Value]] = [
        {field: data.draw(texts) for field in shape.values()}
        | {"bin_id": f"A{n}", "expected_qty": quantity, "unit_value": value}
        for n, (quantity, value) in enumerate(data.draw(ROWS))
    ]
    path = tmp_path_factory.mktemp("round") / f"out{ending}"
    write_rows(path, shape, rows, decimal=mapping.decimal, separator=data.draw(st.sampled_from(",;\t|")))
    with open_table(path, mapping) as table:
        found = [row.cells for row in table.rows]
    assert len(found) == len(rows)
    for cells, row in zip(found, rows, strict=True):
        for field in shape.values():
            value = row[field]
            if isinstance(value, float):
                assert math.isclose(float(cells[field].replace(mapping.decimal, ".")), value)
            else:
                assert cells[field] == ("" if value is None else str(value).strip())


@pytest.mark.parametrize("name", shipped())
@pytest.mark.parametrize("ending", [".csv", ".xlsx"])
def test_counts_are_written_in_the_mappings_columns_and_order(tmp_path: Path, name: str, ending: str) -> None:
    mapping = load_mapping(name)
    path = tmp_path / f"counts{ending}"
    counted: dict[str, Value] = {
        "bin_id": "007",
        "counted_qty": 3,
        "counted_at": datetime(2026, 11, 24, tzinfo=UTC),
    }
    write_rows(path, mapping.counts, [counted])
    if ending == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            header, row = csv.reader(file)
    else:
        values = list(openpyxl.load_workbook(path)["Sheet1"].values)
        header, row = ([str("" if cell is None else cell) for cell in line] for line in values)
    assert header == list(mapping.counts)
    by_field = dict(zip(mapping.counts.values(), row, strict=True))
    assert by_field["bin_id"] == "007" and by_field["counted_qty"] == "3"
    assert by_field.get("counted_at", "2026-11-24T00:00:00+00:00") == "2026-11-24T00:00:00+00:00"
    assert by_field.get("", "") == ""


def test_what_a_file_cannot_hold_is_an_error_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spreadsheets, "MAX_XLSX_ROWS", 3)
    shape = {"b": "bin_id"}
    with pytest.raises(BadInput, match="can have 3 rows, but there are more; write CSV"):
        write_rows(tmp_path / "out.xlsx", shape, [{"bin_id": "x"}] * 3)
    with pytest.raises(BadInput, match="cells of 32,767 characters, but one has 40,000"):
        write_rows(tmp_path / "out.xlsx", shape, [{"bin_id": "x" * 40_000}])
    with pytest.raises(BadInput, match="cannot be written as cp1252, which has no 'Ω'"):
        write_rows(tmp_path / "out.csv", shape, [{"bin_id": "Ω"}], encoding="cp1252")
    with pytest.raises(BadInput, match=r"must end in \.csv or \.xlsx, but ends in \.pdf"):
        write_rows(tmp_path / "out.pdf", shape, [])
    with pytest.raises(StorageFailure):
        write_rows(tmp_path / "none" / "out.csv", shape, [])
    assert not list(tmp_path.iterdir())


def test_a_csv_with_a_zero_in_a_text_stays_text(tmp_path: Path) -> None:
    write_rows(tmp_path / "out.csv", {"b": "bin_id"}, [{"bin_id": "a\x00b"}])
    assert (tmp_path / "out.csv").read_text(encoding="utf-8") == "b\na\ufffdb\n"


def test_xlsx_takes_texts_that_xml_does_not(tmp_path: Path) -> None:
    write_rows(tmp_path / "out.xlsx", {"b": "bin_id"}, [{"bin_id": "a\x00b"}])
    assert list(openpyxl.load_workbook(tmp_path / "out.xlsx")["Sheet1"].values)[1] == ("a\ufffdb",)


def test_an_xlsx_is_a_zip_without_macros_or_links(tmp_path: Path) -> None:
    write_rows(tmp_path / "out.xlsx", {"b": "bin_id"}, [{"bin_id": "http://example.com"}])
    with zipfile.ZipFile(tmp_path / "out.xlsx") as archive:
        assert not [name for name in archive.namelist() if "vba" in name or "externalLink" in name]
        assert b"hyperlink" not in archive.read(SHEET)
