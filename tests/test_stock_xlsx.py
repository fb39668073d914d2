"""Stock files in XLSX: values, formulas, texts, and files that are damaged or would unpack to too much."""

import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.stock_support import GENERIC, edited, read, stock_csv, stock_xlsx, with_shared_texts

from binsight.audit import xlsx_files
from binsight.audit.spreadsheets import write_rows
from binsight.errors import BadInput, MissingExtra

SHEET = "xl/worksheets/sheet1.xml"
INLINE_A1 = '<c r="A2" t="inlineStr"><is><t>A1</t></is></c>'
"""How openpyxl writes the text A1 into cell A2; Excel writes shared texts instead."""


def test_xlsx_is_read_by_its_content_whatever_its_name(tmp_path: Path) -> None:
    moment = datetime(2026, 11, 24, 16, 30)
    rows = [
        ["bin_id", "expected_qty", "sku", "record_as_of", "unit_value"],
        ["A1", 3, 12.0, moment, 1.5],
        [],
        [7, 2.0, None, "2026-11-24T16:30:00+01:00"],
    ]
    records, problems = read(stock_xlsx(tmp_path / "s.xlsx", rows).rename(tmp_path / "s.csv"))
    assert not problems
    assert [(r.bin_id, r.expected, r.skus, r.row, r.unit_value) for r in records] == [
        ("A1", 3, ("12",), 2, 1.5),
        ("7", 2, (), 4, None),
    ]
    assert [r.as_of for r in records] == [moment.replace(tzinfo=UTC), datetime(2026, 11, 24, 15, 30, tzinfo=UTC)]


def test_numbers_in_xlsx_need_no_decimal_sign(tmp_path: Path) -> None:
    german = GENERIC.model_copy(update={"decimal": ",", "thousands": "."})
    rows = [
        ["bin_id", "expected_qty", "unit_value"],
        ["A1", 1500, 1500.5],
        ["A2", "1.500", "1.500,5"],
        ["A3", 1.5, 1],
    ]
    records, problems = read(stock_xlsx(tmp_path / "s.xlsx", rows), german)
    assert [(r.expected, r.unit_value) for r in records] == [(1500, 1500.5)] * 2
    assert [(p.row, p.column, p.shown) for p in problems] == [(4, "expected_qty", "1,5")]


def test_shared_and_formatted_texts_are_read(tmp_path: Path) -> None:
    """As Excel writes texts; how a Japanese word is pronounced is not part of it."""
    path = stock_xlsx(tmp_path / "s.xlsx", [["bin_id", "expected_qty"], ["A1", 3], ["A2", 4]])
    edited(path, SHEET, INLINE_A1, '<c r="A2" t="s"><v>0</v></c>')
    edited(path, SHEET, "<is><t>A2</t></is>", "<is><r><t>A</t></r><r><t>-2</t></r><rPh><t>x</t></rPh></is>")
    with_shared_texts(path, "<si><r><t>A</t></r><r><t>-1</t></r></si>")
    assert [r.bin_id for r in read(path)[0]] == ["A-1", "A-2"]


def test_a_sheet_can_be_named(tmp_path: Path) -> None:
    path = stock_xlsx(tmp_path / "s.xlsx", [["bin_id", "expected_qty"], ["A1", 3]], title="Stock")
    assert read(path, sheet="Stock")[0]
    with pytest.raises(BadInput, match="has no sheet Bins, but Stock; name one of these"):
        read(path, sheet="Bins")


def test_a_formula_is_its_saved_value_or_a_problem_that_names_the_cell(tmp_path: Path) -> None:
    rows = [
        ["bin_id", "expected_qty", "note"],
        ["A1", "=1+2", "=1"],
        ["A2", "=1+2", ""],
        ["A3", 1, "=1"],
        ["A4", "=1/0", ""],
    ]
    path = stock_xlsx(tmp_path / "s.xlsx", rows)
    edited(path, SHEET, '<c r="B2"><f>1+2</f><v />', '<c r="B2"><f>1+2</f><v>3</v>')
    edited(path, SHEET, '<c r="B5"><f>1/0</f><v />', '<c r="B5" t="e"><f>1/0</f><v>#DIV/0!</v>')
    edited(path, SHEET, '<c r="B3"><f>1+2</f><v />', '<c r="B3"><f>1+2</f>')
    records, problems = read(path)
    assert [(r.bin_id, r.expected) for r in records] == [("A1", 3), ("A3", 1)], "a note is nobody's business"
    assert [p.sentence for p in problems] == [
        "row 3: expected_qty must have a value, but B3 is a formula without a saved one",
        "row 5: expected_qty must have a value, but the formula in B5 gives #DIV/0!",
    ]


def test_rows_of_xlsx_that_are_too_long_are_problems_and_short_ones_are_not(tmp_path: Path) -> None:
    rows = [["bin_id", "expected_qty", "sku"], ["A1", 3], ["A2", 3, "x", "y"]]
    records, problems = read(stock_xlsx(tmp_path / "s.xlsx", rows))
    assert [r.bin_id for r in records] == ["A1"]
    assert [p.sentence for p in problems] == ["row 3 must have 3 cells as the header has, but has 4"]


def test_a_sheet_that_lies_about_its_size_is_read_whole(tmp_path: Path) -> None:
    path = stock_xlsx(tmp_path / "s.xlsx", [["bin_id", "expected_qty"], ["A1", 3], ["A2", 4]])
    edited(path, SHEET, 'ref="A1:B3"', 'ref="A1:A1"')
    assert [r.bin_id for r in read(path)[0]] == ["A1", "A2"]


def test_a_row_far_below_is_read_at_once(tmp_path: Path) -> None:
    """The rows between are not made up one by one."""
    path = stock_xlsx(tmp_path / "s.xlsx", [["bin_id", "expected_qty"], ["A1", 3]])
    edited(path, SHEET, '<row r="2">', '<row r="2000000000">')
    edited(path, SHEET, 'r="A2"', 'r="A1048576"')
    assert read(path)[0][0].row == 2_000_000_000


@pytest.mark.parametrize(
    ("part", "old", "new"),
    [
        (SHEET, "<sheetData>", "<sheetData><row><c></row>"),
        (SHEET, 'r="B2"', 'r="B2:"'),
        (SHEET, '<row r="2">', '<row r="1">'),
        (SHEET, '<row r="2">', '<row r="99999999999999999999">'),
        (SHEET, INLINE_A1, '<c r="A2" t="s"><v>99</v></c>'),
        ("xl/workbook.xml", "<sheets>", "<sheets><sheets>"),
        ("[Content_Types].xml", "spreadsheetml.sheet.main", "nothing"),
    ],
)
def test_a_damaged_xlsx_is_said_to_be_damaged(tmp_path: Path, part: str, old: str, new: str) -> None:
    path = stock_xlsx(tmp_path / "s.xlsx", [["bin_id", "expected_qty"], ["A1", 3]])
    edited(path, part, old, new)
    with pytest.raises(BadInput, match=r"s\.xlsx is damaged, or is no XLSX file"):
        read(path)


def test_a_truncated_xlsx_is_said_to_be_damaged(tmp_path: Path) -> None:
    path = stock_xlsx(tmp_path / "s.xlsx", [["bin_id", "expected_qty"], ["A1", 3]])
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(BadInput, match="damaged"):
        read(path)


def test_a_zip_bomb_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    path = stock_xlsx(tmp_path / "s.xlsx", [["bin_id", "expected_qty"], ["A1", 3]])
    edited(path, SHEET, "<sheetData>", "<sheetData>" + " " * (20 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(BadInput, match=rf"must unpack to at most 100 times its size, but {SHEET} unpacks to"):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 5 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("limit", "part"),
    [("MAX_SHEET_BYTES", SHEET), ("MAX_STRINGS_BYTES", "xl/sharedStrings.xml"), ("MAX_OTHER_BYTES", "xl/")],
)
def test_a_part_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, part: str
) -> None:
    path = stock_xlsx(tmp_path / "s.xlsx", [["bin_id", "expected_qty"], ["A1", 3]])
    with_shared_texts(path, "<si><t>A</t></si>")
    monkeypatch.setattr(xlsx_files, limit, 10)
    with pytest.raises(
        BadInput, match=rf"must have at most 0 MiB in .*{part.rpartition('/')[2]}.*; save it as CSV"
    ):
        read(path)


def test_a_bomb_of_xml_entities_is_refused(tmp_path: Path) -> None:
    path = stock_xlsx(tmp_path / "s.xlsx", [["bin_id", "expected_qty"], ["A1", 3]])
    entities = (
        '<!ENTITY a0 "' + "x" * 1000 + '">' + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 8))
    )
    edited(path, SHEET, "<worksheet", f"<!DOCTYPE worksheet [{entities}]><worksheet")
    edited(path, SHEET, INLINE_A1, '<c r="A2" t="str"><v>&a7;</v></c>')
    with pytest.raises(BadInput, match="damaged, or is no XLSX file"):
        read(path)


def test_one_endless_text_or_row_of_an_xlsx_is_refused(tmp_path: Path) -> None:
    rows = [["bin_id", "expected_qty"], ["A1", 3]]
    path = stock_xlsx(tmp_path / "s.xlsx", rows)
    noise = "".join(f"{n:x}" for n in range(500_000))
    edited(path, SHEET, INLINE_A1, f'<c r="A2" t="str"><v>{noise}</v></c>')
    with pytest.raises(BadInput, match="cells of at most 32,767 characters"):
        read(path)
    path = stock_xlsx(tmp_path / "s.xlsx", rows)
    edited(path, SHEET, '<row r="2">', '<row r="2">' + "".join(f"<c><v>{n}</v></c>" for n in range(17_000)))
    with pytest.raises(BadInput, match="at most 16,384 columns"):
        read(path)


def test_without_openpyxl_an_xlsx_names_the_extra_and_a_csv_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stock_xlsx(tmp_path / "s.xlsx", [["bin_id", "expected_qty"]])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'binsight\[audit\]'"):
        read(path)
    with pytest.raises(MissingExtra, match="audit"):
        write_rows(tmp_path / "out.xlsx", {"bin_id": "bin_id"}, [])
    assert read(stock_csv(tmp_path / "s.csv", "bin_id,expected_qty\nA1,1\n"))[0]
