"""Stock records from a file: lines added up by bin, and a problem with row and column for every line that is wrong."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.stock_support import GENERIC, lines, read

from binsight.audit import totals
from binsight.audit.intake import read_records
from binsight.audit.mapping import load_mapping
from binsight.errors import BadInput, StorageFailure
from binsight.records import StockRecord


def test_lines_of_one_bin_are_added_up_wherever_they_stand(tmp_path: Path) -> None:
    path = lines(
        tmp_path,
        "bin_id,expected_qty,sku,photo,site,aisle,record_as_of,photo_taken_at,unit_value,item_class",
        "B2,1,x,b2.jpg,north,7,2026-11-24T10:00:00Z,2026-11-24T11:00:00Z,2.5,C",
        "A1,2,x,,north,,2026-11-24T10:00:00Z,,1,B",
        "A1,6,y,a1.jpg,north,3,2026-11-24T12:00:00+01:00,,2,A",
    )
    records, problems = read(path)
    assert not problems
    assert records == [
        StockRecord(
            bin_id="B2",
            expected=1,
            row=2,
            photo="b2.jpg",
            skus=("x",),
            site="north",
            aisle="7",
            as_of=datetime(2026, 11, 24, 10, tzinfo=UTC),
            photo_taken_at=datetime(2026, 11, 24, 11, tzinfo=UTC),
            unit_value=2.5,
            item_class="C",
        ),
        StockRecord(
            bin_id="A1",
            expected=8,
            row=3,
            photo="a1.jpg",
            skus=("x", "y"),
            site="north",
            aisle="3",
            as_of=datetime(2026, 11, 24, 11, tzinfo=UTC),
            unit_value=1.75,
            item_class="A",
        ),
    ]


def test_bins_of_one_name_at_two_sites_are_two_bins(tmp_path: Path) -> None:
    records, problems = read(lines(tmp_path, "bin_id,site,expected_qty", "A1,north,1", "A1,south,2"))
    assert [(r.site, r.expected) for r in records] == [("north", 1), ("south", 2)]
    assert not problems


def test_a_bin_has_a_unit_value_where_all_its_lines_have_one(tmp_path: Path) -> None:
    records, _ = read(
        lines(
            tmp_path,
            "bin_id,sku,expected_qty,unit_value",
            "A,x,1,0.1",
            "A,y,2,0.1",
            "B,x,1,5",
            "B,y,1,",
            "C,x,0,1",
            "C,y,0,3",
        )
    )
    assert [r.unit_value for r in records] == [0.1, None, 2.0]


def test_lines_of_one_item_that_differ_in_their_lot_add_up(tmp_path: Path) -> None:
    path = lines(tmp_path, "location_id,product_id,lot_id,package_id,quantity", "A,x,1,,2", "A,x,2,,3", "A,x,2,p,4")
    records, problems = read(path, load_mapping("odoo"))
    assert [(r.expected, r.skus) for r in records] == [(9, ("x",))]
    assert not problems


def test_every_bad_cell_of_a_row_is_told(tmp_path: Path) -> None:
    _, problems = read(lines(tmp_path, "bin_id,expected_qty,record_as_of,unit_value", "A1,x,y,z"))
    assert [p.column for p in problems] == ["expected_qty", "record_as_of", "unit_value"]


def test_a_bin_with_a_bad_line_is_left_out_as_a_whole(tmp_path: Path) -> None:
    """Its total would be wrong, and a right count would look like a discrepancy."""
    records, problems = read(lines(tmp_path, "bin_id,sku,expected_qty", "A1,x,3", "A2,x,3", "A1,y,-2"))
    assert [r.bin_id for r in records] == ["A2"]
    assert [(p.row, p.sentence) for p in problems] == [
        (2, "row 2: bin A1 is left out, since its total is not known: row 4 of it cannot be read"),
        (4, "row 4: expected_qty must be 0 or more, but is -2"),
    ]


@pytest.mark.parametrize("column", ["bin_id", "site", "aisle"])
def test_a_name_longer_than_the_ledger_has_room_for_is_a_problem_of_its_bin(tmp_path: Path, column: str) -> None:
    """PostgreSQL takes no longer one, and the whole audit would end there."""
    rows = []
    for bin_id, length in (("B1", 200), ("B2", 201)):
        cells = {"bin_id": bin_id, "site": "S", "aisle": "A"}
        cells[column] = cells[column].ljust(length, "x")
        rows.append(",".join(cells.values()) + ",1")
    records, problems = read(lines(tmp_path, "bin_id,site,aisle,expected_qty", *rows))
    assert [r.row for r in records] == [2]
    assert [(p.row, p.column) for p in problems] == [(3, column)]
    assert problems[0].sentence == f"row 3: {column} must have at most 200 characters, but has 201"


def test_a_file_without_lines_is_no_file_in_which_all_is_right(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"must have a line of a bin, but has none; export it again"):
        read(lines(tmp_path, "bin_id,expected_qty"))
    records, problems = read(lines(tmp_path, "bin_id,expected_qty", "A1,x"))
    assert (len(records), len(problems)) == (0, 1), "what is wrong with its lines is told"


@pytest.mark.parametrize("row", ["A1,y", "A1,y,4,5"])
def test_a_row_too_short_or_long_is_a_problem_of_its_bin(tmp_path: Path, row: str) -> None:
    records, problems = read(lines(tmp_path, "bin_id,sku,expected_qty", "A1,x,3", row, "A2,x,3,,"))
    assert [r.bin_id for r in records] == ["A2"], "empty cells beyond the header do no harm"
    assert [p.sentence for p in problems] == [
        "row 2: bin A1 is left out, since its total is not known: row 3 of it cannot be read",
        f"row 3 must have 3 cells as the header has, but has {row.count(',') + 1}",
    ]


def test_a_row_without_a_bin_is_a_problem(tmp_path: Path) -> None:
    records, problems = read(lines(tmp_path, "bin_id,expected_qty", " ,3", "A1,3"))
    assert [r.bin_id for r in records] == ["A1"]
    assert [p.sentence for p in problems] == ["row 2: bin_id must name a bin, but is empty"]


def test_the_header_again_is_a_problem_and_no_bin(tmp_path: Path) -> None:
    """As in files that were put one behind the other."""
    records, problems = read(lines(tmp_path, "bin_id,expected_qty", "A1,3", "bin_id,expected_qty", "A2,3"))
    assert [r.bin_id for r in records] == ["A1", "A2"]
    assert [(p.row, p.column, p.sentence) for p in problems] == [(3, None, "row 3 is the header again; remove it")]


@pytest.mark.parametrize(
    ("header", "rows", "column", "said"),
    [
        ("bin_id,sku,expected_qty", ("A1,x,3", "A1,x,4"), "sku", "names item x again (row 2 is the first)"),
        (
            "bin_id,sku,expected_qty",
            ("A1,,3", "A1,,4"),
            "sku",
            "has a second line without an item (row 2 is the first)",
        ),
        (
            "bin_id,expected_qty",
            ("A1,3", "A1,3"),
            "bin_id",
            "has a second line without an item (row 2 is the first)",
        ),
        ("bin_id,sku,expected_qty", ("A1,x,3", "A1,,4"), "sku", "has lines with an item (row 2) and without"),
    ],
)
def test_a_bin_whose_lines_do_not_name_different_items_is_left_out(
    tmp_path: Path, header: str, rows: tuple[str, ...], column: str, said: str
) -> None:
    records, problems = read(lines(tmp_path, header, *rows))
    assert not records
    assert [(p.row, p.column) for p in problems] == [(3, column)]
    assert problems[0].sentence.startswith(f"row 3: bin A1 {said} and is left out; ")


def test_a_column_that_does_not_name_bins_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as the site's: all lines would be one bin's, in memory."""
    monkeypatch.setattr("binsight.audit.intake.MAX_LINES", 3)
    monkeypatch.setattr(totals, "MAX_LINES", 3)
    path = lines(
        tmp_path, "bin_id,sku,expected_qty", *(f"A1,{n},1" for n in range(9)), "A2,x,1", "A2,y,1", "A2,z,1"
    )
    records, problems = read(path)
    assert [r.expected for r in records] == [3]
    assert [p.sentence for p in problems] == [
        "row 2: bin A1 has more than 3 lines and is left out; does bin_id name bins?"
    ]


def test_a_photo_that_two_bins_name_is_taken_from_both(tmp_path: Path) -> None:
    records, problems = read(
        lines(
            tmp_path,
            "bin_id,expected_qty,photo",
            "A1,1,a.jpg",
            "A2,1,b.jpg",
            "A3,1,a.jpg",
            "A4,1,",
            "A5,1,",
            "A6,1,a.jpg",
        )
    )
    assert [(r.bin_id, r.photo) for r in records] == [
        ("A1", None),
        ("A2", "b.jpg"),
        ("A3", None),
        ("A4", None),
        ("A5", None),
        ("A6", None),
    ]
    assert [(p.row, p.column, p.shown) for p in problems] == [
        (2, "photo", "a.jpg"),
        (4, "photo", "a.jpg"),
        (7, "photo", "a.jpg"),
    ]
    assert problems[1].sentence == (
        "row 4: photo a.jpg of bin A3 is bin A1's as well (row 2); the bin goes on without a photo"
    )


def test_a_bin_that_names_two_photos_goes_on_without_one(tmp_path: Path) -> None:
    records, problems = read(
        lines(tmp_path, "bin_id,sku,expected_qty,photo", "A1,x,1,", "A1,y,1,a.jpg", "A1,z,1,b.jpg")
    )
    assert [(r.expected, r.photo) for r in records] == [(3, None)]
    assert [p.sentence for p in problems] == [
        "row 4: bin A1 names another photo than row 3, a.jpg; it goes on without a photo"
    ]


def test_long_cells_are_shown_by_their_beginning(tmp_path: Path) -> None:
    _, problems = read(
        lines(tmp_path, "bin_id,expected_qty,photo", f"A1,{'x' * 5000},p", f"{'b' * 5000},1,{'p' * 5000}")
    )
    assert len(problems[0].shown) == 60
    assert all(len(p.sentence) < 400 for p in problems)


def test_records_and_problems_can_be_gone_through_again_and_side_by_side(tmp_path: Path) -> None:
    with read_records(lines(tmp_path, "bin_id,expected_qty", "A1,1", "A2,x", "A3,3"), GENERIC) as records:
        pairs = list(zip(records, records.problems, strict=False))
        assert [r.bin_id for r, _ in pairs] == ["A1"]
        assert [r.bin_id for r in records] == [r.bin_id for r in records] == ["A1", "A3"]


def test_a_full_disk_is_said_to_be_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(sqlite3.Connection):
        def executemany(self, *args: object) -> sqlite3.Cursor:
            raise sqlite3.OperationalError("database or disk is full")

    whole = sqlite3.connect
    monkeypatch.setattr("sqlite3.connect", lambda *args, **options: whole(*args, **options, factory=Full))
    with pytest.raises(
        StorageFailure, match=r"database or disk is full.*; free space, or set TMPDIR to another disk"
    ):
        read(lines(tmp_path, "bin_id,expected_qty", "A1,1"))
