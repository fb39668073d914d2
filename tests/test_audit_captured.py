"""Audits of photos that a service kept."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.captures_support import NOON, a_capture

from binsight.cli import cli
from binsight.counting import Bundle, default_bundle
from binsight.imaging.drawn import drawn_photo
from binsight.imaging.strip import stripped
from binsight.settings import Settings, settings
from binsight.storage.captures import Capture, open_captures

MODEL = Bundle.open(default_bundle()).name
SURE = {n: [0.001] * n + [0.98] + [0.001] * (20 - n) for n in range(6)}


@pytest.fixture
def kept(places: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BINSIGHT_CAPTURE", f"{tmp_path}/captures")
    settings.cache_clear()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def capture(bin_id: str, count: int, minute: float, model: str = MODEL, label: str | None = "") -> Capture:
    label = f"label {bin_id}" if label == "" else label
    answer = {"count": count, "probs": SURE[count], "flags": [], "model": model, "bin_label": label}
    photo = stripped(drawn_photo(count, seed=count))
    return a_capture(minute, photo, inference_id=bin_id, answer=json.dumps(answer))


def keep(*captures: Capture) -> None:
    store = open_captures(Settings())
    store.write(captures)
    store.close()


def audit(folder: Path, *options: str) -> tuple[Result, dict[str, dict[str, object]]]:
    result = CliRunner().invoke(cli, ["audit", str(folder / "records.csv"), "--captured", "--json", *options])
    return result, {str(line["bin_id"]): line for line in map(json.loads, result.stdout.splitlines())}


def test_a_bins_photo_is_the_newest_that_came_with_its_id(kept: Path) -> None:
    keep(capture("A-1", 5, minute=0), capture("A-2", 2, minute=1), capture("A-1", 3, minute=2))
    (kept / "records.csv").write_text("bin_id,expected_qty\nA-1,3\nA-2,2\nA-3,1\n")
    result, lines = audit(kept)
    assert result.exit_code == 0, result.stderr
    assert {name: line["count"] for name, line in lines.items()} == {"A-1": 3, "A-2": 2, "A-3": None}
    assert Path(str(lines["A-1"]["photo"])).read_bytes() == stripped(drawn_photo(3, seed=3))
    assert (kept / "audit" / "unused.txt").read_text() == "", (
        "photos that newer ones took the place of are not told of"
    )


def test_what_another_model_said_does_not_count(kept: Path) -> None:
    keep(capture("A-1", 0, minute=0, model="other:0123456789ab"))
    (kept / "records.csv").write_text("bin_id,expected_qty\nA-1,0\n")
    _, lines = audit(kept)
    assert lines["A-1"]["p_record"] != pytest.approx(SURE[0][0], abs=1e-4), "it was counted again"


def test_a_photo_is_of_the_moment_when_it_came_in(kept: Path) -> None:
    keep(capture("A-1", 3, minute=0))
    long_before = (NOON - timedelta(hours=9)).isoformat()
    (kept / "records.csv").write_text(f"bin_id,expected_qty,record_as_of\nA-1,3,{long_before}\n")
    assert audit(kept, "--max-gap", "8")[1]["A-1"]["verdict"] == "stale"
    assert audit(kept, "--max-gap", "10")[1]["A-1"]["verdict"] != "stale"


def test_photos_are_found_by_the_label_that_was_read_in_them(kept: Path) -> None:
    keep(capture("whatever", 3, minute=0))
    (kept / "records.csv").write_text("bin_id,expected_qty\nlabel whatever,3\n")
    assert audit(kept, "--by-label")[1]["label whatever"]["count"] == 3


def test_by_name_a_label_that_two_bins_photos_share_takes_neither_away(kept: Path) -> None:
    keep(capture("A-1", 3, minute=0, label="A-2"), capture("A-2", 2, minute=1, label="A-2"))
    (kept / "records.csv").write_text("bin_id,expected_qty\nA-1,3\nA-2,2\n")
    assert {name: line["count"] for name, line in audit(kept)[1].items()} == {"A-1": 3, "A-2": 2}


def test_by_label_a_name_that_two_bins_photos_share_takes_neither_away(kept: Path) -> None:
    photos = [("A-1", 5), ("A-2", 2), ("A-1", 3), (None, 1)]
    keep(*(capture("bin.jpg", n, minute=minute, label=label) for minute, (label, n) in enumerate(photos)))
    (kept / "records.csv").write_text("bin_id,expected_qty\nA-1,3\nA-2,2\n")
    assert {name: line["count"] for name, line in audit(kept, "--by-label")[1].items()} == {"A-1": 3, "A-2": 2}
    unused = (kept / "audit" / "unused.txt").read_text().splitlines()
    assert len(unused) == 1, "the one without a label"


def test_captures_without_files_are_refused_with_the_mend(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BINSIGHT_CAPTURE_LAYOUT", "sagemaker")
    settings.cache_clear()
    (kept / "records.csv").write_text("bin_id,expected_qty\nA-1,3\n")
    result, _ = audit(kept)
    assert result.exit_code == 1
    assert "write them out with binsight captures export" in str(result.exception)
