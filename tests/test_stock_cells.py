"""Quantities, values and moments in the cells of stock files, by a mapping's signs and zone."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.stock_support import GENERIC, lines, read

BERLIN = GENERIC.model_copy(update={"time_zone": "Europe/Berlin", "moments": ("%d.%m.%Y %H:%M",)})
GERMAN = GENERIC.model_copy(update={"decimal": ",", "thousands": "."})


@pytest.mark.parametrize(
    ("text", "number"),
    [("3", 3), ("0", 0), ("3.0", 3), ("3.", 3), ("+3", 3), ("007", 7), (" 3 ", 3), ("1000000000", 10**9)],
)
def test_whole_quantities_are_read(tmp_path: Path, text: str, number: int) -> None:
    records, problems = read(lines(tmp_path, "bin_id,expected_qty", f"A1,{text}"))
    assert [r.expected for r in records] == [number]
    assert not problems


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must be a whole number of 0 or more, but is missing"),
        ("-1", "must be 0 or more, but is -1"),
        ("2.5", "must be a whole number, but is 2.5"),
        ("three", "must be a whole number of 0 or more, but is 'three'"),
        ("1e3", "must be a whole number of 0 or more, but is '1e3'"),
        ("٣", "must be a whole number of 0 or more, but is '٣'"),
        ("4006381333931", "must be at most 1,000,000,000, but is 4006381333931; is it the right column?"),
        ("9" * 400, f"must be a whole number of 0 or more, but is '{'9' * 60}'"),
        (
            "1 000",
            "must be a whole number of 0 or more, but is '1 000'; the mapping generic has the decimal sign '.' and no sign "
            "between thousands",
        ),
    ],
)
def test_any_other_quantity_is_a_problem_with_row_and_column(tmp_path: Path, text: str, said: str) -> None:
    records, problems = read(lines(tmp_path, "bin_id,expected_qty", "A0,1", f"A1,{text}", "A2,2"))
    assert [(r.bin_id, r.expected) for r in records] == [("A0", 1), ("A2", 2)], "the rest goes on"
    (problem,) = problems
    assert (problem.row, problem.column, problem.shown) == (3, "expected_qty", text[:60])
    assert problem.sentence.startswith(f"row 3: expected_qty {said}")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1.000", 1000),
        ("1.234.567", 1234567),
        ("1000,0", 1000),
        ("1.000,00", 1000),
        ("1,5", None),
        ("1.00", None),
        ("1.5", None),
    ],
)
def test_numbers_are_read_by_the_mappings_signs(tmp_path: Path, text: str, number: int | None) -> None:
    records, _ = read(lines(tmp_path, "bin_id;expected_qty", f"A1;{text}"), GERMAN)
    assert [r.expected for r in records] == ([] if number is None else [number])


def test_a_no_break_space_between_thousands_is_a_space(tmp_path: Path) -> None:
    french = GENERIC.model_copy(update={"decimal": ",", "thousands": " "})
    records, _ = read(lines(tmp_path, "bin_id;expected_qty", "A1;1\u202f000", "A2;1\u00a0000", "A3;1 000"), french)
    assert [r.expected for r in records] == [1000] * 3


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-24T16:30:00+01:00", datetime(2026, 11, 24, 15, 30, tzinfo=UTC)),
        ("2026-11-24 16:30", datetime(2026, 11, 24, 15, 30, tzinfo=UTC)),
        ("2026-07-24 16:30", datetime(2026, 7, 24, 14, 30, tzinfo=UTC)),
        ("24.11.2026 16:30", datetime(2026, 11, 24, 15, 30, tzinfo=UTC)),
        ("20261124", datetime(2026, 11, 23, 23, tzinfo=UTC)),
        ("2026-11-24T16:30:00.123456Z", datetime(2026, 11, 24, 16, 30, 0, 123456, tzinfo=UTC)),
    ],
)
def test_moments_are_read_in_the_mappings_zone_where_they_name_none(
    tmp_path: Path, text: str, moment: datetime
) -> None:
    records, problems = read(lines(tmp_path, "bin_id,expected_qty,record_as_of", f"A1,3,{text}"), BERLIN)
    assert not problems
    assert records[0].as_of == moment
    assert records[0].as_of is not None and records[0].as_of.utcoffset() == timedelta(0)


def test_moments_without_a_zone_are_in_utc_unless_the_mapping_says_otherwise(tmp_path: Path) -> None:
    records, _ = read(lines(tmp_path, "bin_id,expected_qty,record_as_of", "A1,3,2026-11-24 16:30"))
    assert records[0].as_of == datetime(2026, 11, 24, 16, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "yesterday",
            "must be a moment such as 2026-11-24T16:30:00+01:00, or as %d.%m.%Y %H:%M, but is 'yesterday'",
        ),
        ("2026-13-01", "must be a moment such as"),
        (
            "2026-10-25 02:30",
            "must be one moment, but clocks in Europe/Berlin show 2026-10-25 02:30 twice or never",
        ),
        (
            "2026-03-29 02:30",
            "must be one moment, but clocks in Europe/Berlin show 2026-03-29 02:30 twice or never",
        ),
    ],
)
def test_moments_that_cannot_be_read_are_problems(tmp_path: Path, text: str, said: str) -> None:
    records, problems = read(lines(tmp_path, "bin_id,expected_qty,photo_taken_at", f"A1,3,{text}", "A2,3,"), BERLIN)
    assert [r.bin_id for r in records] == ["A2"]
    assert [(p.row, p.column, p.shown) for p in problems] == [(2, "photo_taken_at", text)]
    assert problems[0].sentence.startswith(f"row 2: photo_taken_at {said}")


@pytest.mark.parametrize("text", ["0001-01-01T00:00+14:00", "9999-12-31T23:59-14:00"])
def test_moments_beyond_the_end_of_times_are_problems(tmp_path: Path, text: str) -> None:
    records, problems = read(lines(tmp_path, "bin_id,expected_qty,record_as_of", f"A1,3,{text}"))
    assert not records
    assert "must be a moment of these times" in problems[0].sentence


@pytest.mark.parametrize("text", ["-1", "free", "nan", "inf", "1e400"])
def test_values_that_are_no_amounts_are_problems(tmp_path: Path, text: str) -> None:
    _, problems = read(lines(tmp_path, "bin_id,expected_qty,unit_value", f"A1,3,{text}"))
    assert [(p.column, p.shown) for p in problems] == [("unit_value", text)]
    assert "must be a number of 0 or more" in problems[0].sentence
