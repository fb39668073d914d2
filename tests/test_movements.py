"""When bins were moved, and which records that makes stale."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from binsight.audit.mapping import load_mapping
from binsight.audit.movements import read_movements
from binsight.cli import cli
from binsight.errors import BadInput
from binsight.records import StockRecord

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
GENERIC = load_mapping("generic")


def a_file(folder: Path, *rows: str, header: str = "bin_id,moved_at") -> Path:
    file = folder / "movements.csv"
    file.write_text("\n".join([header, *rows]) + "\n")
    return file


def a_record(bin_id: str = "A", site: str | None = None) -> StockRecord:
    return StockRecord(bin_id=bin_id, expected=1, row=2, site=site)


def test_the_first_movement_within_the_time_is_found(tmp_path: Path) -> None:
    rows = [f"{name},2026-11-26T{hour}:00:00Z" for name, hour in (("A", 15), ("A", 13), ("A", 11), ("B", 12))]
    hour = timedelta(hours=1)
    with read_movements(a_file(tmp_path, *rows), GENERIC) as movement:
        assert movement(a_record(), NOON, NOON + 9 * hour) == NOON + hour
        assert movement(a_record(), NOON + hour, NOON + 9 * hour) == NOON + 3 * hour, "after, and not at, the one"
        assert movement(a_record(), NOON, NOON + hour) == NOON + hour, "until, and at, the other"
        assert movement(a_record(), NOON, NOON + hour / 2) is None
        assert movement(a_record("C"), NOON - 9 * hour, NOON + 9 * hour) is None


def test_a_movement_is_of_its_site_or_else_of_all(tmp_path: Path) -> None:
    file = a_file(tmp_path, "A,2026-11-26T13:00Z,north", "B,2026-11-26T13:00Z,", header="bin_id,moved_at,site")
    with read_movements(file, GENERIC) as movement:
        found = {
            (name, site): movement(a_record(name, site), NOON, NOON + timedelta(hours=2)) is not None
            for name in "AB"
            for site in ("north", "south", None)
        }
    assert found == {
        ("A", "north"): True,
        ("A", "south"): False,
        ("A", None): False,
        ("B", "north"): True,
        ("B", "south"): True,
        ("B", None): True,
    }


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (["A,yesterday"], "row 2: must be a moment"),
        (["A,2026-11-26T13:00Z", ",2026-11-26T13:00Z"], "row 3: must name a bin"),
        (["A,2026-11-26T13:00Z,1"], "row 2: must have 2 cells"),
        (["A,"], "row 2: must be a moment"),
    ],
)
def test_a_movement_that_cannot_be_read_ends_the_audit(tmp_path: Path, rows: list[str], says: str) -> None:
    with pytest.raises(BadInput, match=says), read_movements(a_file(tmp_path, *rows), GENERIC):
        raise AssertionError("it was read")


def test_a_file_without_moments_is_none_of_movements(tmp_path: Path) -> None:
    with (
        pytest.raises(BadInput, match="must have a column moved_at"),
        read_movements(a_file(tmp_path, "A,1", header="bin_id,expected_qty"), GENERIC),
    ):
        raise AssertionError("it was read")


def test_only_what_was_moved_between_record_and_photo_is_stale(tmp_path: Path, places: dict[str, str]) -> None:
    records, counts = tmp_path / "records.csv", tmp_path / "counts.jsonl"
    records.write_text(
        "bin_id,expected_qty,record_as_of,photo_taken_at\n"
        + "".join(f"{name},1,2026-11-26T12:00Z,2026-11-26T14:00Z\n" for name in "ABC")
    )
    counts.write_text(
        "".join(
            json.dumps({"photo": f"{name}.jpg", "probs": [0.1, 0.4, 0.5, *[0.0] * 18]}) + "\n" for name in "ABC"
        )
    )
    moved = a_file(tmp_path, "A,2026-11-26T13:00Z", "B,2026-11-26T15:00Z")
    given = [
        str(records),
        "--estimates",
        str(counts),
        "--movements",
        str(moved),
        "--out",
        str(tmp_path / "out"),
        "--json",
    ]
    result = CliRunner().invoke(cli, ["audit", *given, "--max-gap", "1"])
    assert result.exit_code == 0, result.output
    found = {line["bin_id"]: line for line in map(json.loads, result.stdout.splitlines())}
    assert found["A"]["verdict"] == "stale"
    assert found["A"]["reason"] == "a movement at 2026-11-26 13:00 UTC lies between record and photo"
    assert {found[name]["verdict"] for name in "BC"} == {"not_assessable"}, "known movements count, and no distance"
