"""Stock files in CSV: separators, encodings, headers, and what is said of files that are wrong."""

import tracemalloc
from pathlib import Path

import pytest
from tests.stock_support import read, stock_csv

from binsight.errors import BadInput, MissingObject


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found(tmp_path: Path, separator: str) -> None:
    text = "bin_id,expected_qty,sku\nA1,3,x\n".replace(",", separator)
    records, problems = read(stock_csv(tmp_path / "s.csv", text))
    assert [(r.bin_id, r.expected, r.skus) for r in records] == [("A1", 3, ("x",))]
    assert not problems


def test_the_separator_is_the_one_that_divides_the_header_into_known_columns(tmp_path: Path) -> None:
    """Not the most frequent one: names of columns have commas too."""
    records, _ = read(stock_csv(tmp_path / "s.csv", "size (a, b, c, d);bin_id;expected_qty\n1,2,3,4;A1;3\n"))
    assert [(r.bin_id, r.expected) for r in records] == [("A1", 3)]


def test_another_separator_is_read_where_it_is_given(tmp_path: Path) -> None:
    path = stock_csv(tmp_path / "s.csv", "bin_id^expected_qty\nA1^3\n")
    assert read(path, separator="^")[0][0].expected == 3
    with pytest.raises(BadInput, match="separator must be one character such as ; but is 'ab'"):
        read(path, separator="ab")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_with_a_mark_and_utf_8_are_found(tmp_path: Path, encoding: str) -> None:
    records, _ = read(stock_csv(tmp_path / "s.csv", "bin_id,expected_qty\nGröße-1,3\n", encoding))
    assert records[0].bin_id == "Größe-1"


def test_another_encoding_is_named_with_its_byte_and_read_where_it_is_given(tmp_path: Path) -> None:
    path = stock_csv(tmp_path / "s.csv", "bin_id,expected_qty\nA1,3\nGröße,3\n", "cp1252")
    with pytest.raises(BadInput, match=r"must be UTF-8, but byte 0xF6 at 27 \(line 3\) is not; .* such as cp1252"):
        read(path)
    assert read(path, encoding="cp1252")[0][1].bin_id == "Größe"
    assert path.read_bytes()[27] == 0xF6


def test_a_wrong_byte_is_found_wherever_it_is(tmp_path: Path) -> None:
    """The decoder works in pieces and knows the place within its last one only."""
    lines = "".join(f"A{n},3\n" for n in range(30_000)).encode()
    path = tmp_path / "s.csv"
    path.write_bytes(b"bin_id,expected_qty\n" + lines + b"B\xe9,3\n")
    with pytest.raises(BadInput, match=rf"byte 0xE9 at {20 + len(lines) + 1:,} \(line 30002\)"):
        read(path)


def test_utf_16_without_a_mark_is_told_from_text(tmp_path: Path) -> None:
    path = stock_csv(tmp_path / "s.csv", "bin_id,expected_qty\nA1,3\n", "utf-16-le")
    with pytest.raises(
        BadInput, match="must be text, but byte 1 is 0; if it is UTF-16 without a mark, say utf-16-le"
    ):
        read(path)
    assert read(path, encoding="utf-16-le")[0][0].bin_id == "A1"


def test_half_a_utf_16_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_bytes("bin_id,expected_qty\nA1,3\n".encode("utf-16")[:-1])
    with pytest.raises(BadInput, match="must be UTF-16, but it is not"):
        read(path)


@pytest.mark.parametrize("encoding", ["utf-9", "base64"])
def test_no_encoding_is_said_to_be_none(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(BadInput, match=f"{encoding} is no encoding"):
        read(stock_csv(tmp_path / "s.csv", "bin_id,expected_qty\n"), encoding=encoding)


def test_a_quote_that_is_never_closed_does_not_swallow_the_file(tmp_path: Path) -> None:
    path = stock_csv(tmp_path / "s.csv", 'bin_id,expected_qty\nA1,3\n"A2,3\nA3,3\n')
    with pytest.raises(BadInput, match=r"row 3 \(it ends in line 4\) is not CSV .*quote"):
        read(path)


def test_a_file_without_line_ends_is_not_read_into_memory(tmp_path: Path) -> None:
    path = stock_csv(tmp_path / "s.csv", "bin_id,expected_qty\n" + "x" * (20 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(BadInput, match="line 2 must have fewer than 1,048,576 characters"):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


def test_line_ends_of_all_systems_and_within_cells_are_read(tmp_path: Path) -> None:
    text = 'bin_id,expected_qty,sku\r\nA1,1,"two\nlines"\rA2,2,x\n\nA3,3,y'
    records, _ = read(stock_csv(tmp_path / "s.csv", text))
    assert [(r.bin_id, r.row) for r in records] == [("A1", 2), ("A2", 3), ("A3", 5)], "rows as a spreadsheet counts"


@pytest.mark.parametrize("text", ["", "\n\n", ";;;\n", "\ufeff"])
def test_an_empty_file_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput, match="must have a row of column names, but is empty"):
        read(stock_csv(tmp_path / "s.csv", text))


def test_a_missing_column_is_named_with_those_that_are_there_and_the_nearest(tmp_path: Path) -> None:
    path = stock_csv(tmp_path / "s.csv", "bin id,expected_qti,colour\nA1,3,red\n")
    with pytest.raises(BadInput) as raised:
        read(path)
    assert str(raised.value) == (
        f"{path} must have a column bin_id (bin_id of the mapping generic), but has bin id, expected_qti, colour; "
        "the nearest is bin id; rename it, or name another mapping"
    )


def test_a_column_that_is_there_twice_is_an_error_where_it_is_read(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="must have each column once, but has sku 2 times"):
        read(stock_csv(tmp_path / "s.csv", "bin_id,expected_qty,sku,SKU\nA1,3,x,y\n"))
    assert read(stock_csv(tmp_path / "s.csv", "bin_id,expected_qty,note,note\nA1,3,x,y\n"))[0]


def test_headers_are_known_in_any_case_and_spacing(tmp_path: Path) -> None:
    assert read(stock_csv(tmp_path / "s.csv", " BIN_ID ,Expected_Qty\nA1,3\n"))[0]


def test_files_that_are_not_there_or_of_other_kinds_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingObject, match="is not there"):
        read(tmp_path / "none.csv")
    with pytest.raises(BadInput, match="cannot be read"):
        read(tmp_path)
    old = tmp_path / "old.xls"
    old.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    with pytest.raises(BadInput, match=r"Excel file of before 2007, or has a password"):
        read(old)
