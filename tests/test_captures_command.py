"""`binsight captures`: what the service kept, read, labelled, exported, checked and pruned from the command line."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.captures_support import PHOTOS, a_capture, an_answer

from binsight.cli import cli
from binsight.errors import BadInput, GateFailed, MissingObject
from binsight.settings import settings
from binsight.storage.captures import Capture, open_captures


@pytest.fixture(params=["compact", "sagemaker"])
def kept(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[Capture]]:
    """Two captures in a place that the environment names."""
    monkeypatch.setenv("BINSIGHT_CAPTURE", str(tmp_path / "kept"))
    monkeypatch.setenv("BINSIGHT_CAPTURE_LAYOUT", request.param)
    monkeypatch.setenv("BINSIGHT_LEDGER", f"sqlite:///{tmp_path}/ledger.db")
    settings.cache_clear()
    kept = [
        a_capture(0, PHOTOS[0], inference_id="order-7"),
        a_capture(90, PHOTOS[1], answer=an_answer(5, expected=4)),
    ]
    captures = open_captures(settings())
    captures.write(kept)
    captures.close()
    yield kept
    monkeypatch.undo()
    settings.cache_clear()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["captures", *map(str, arguments)])


def lines(result: Result) -> list[dict[str, object]]:
    assert result.exception is None, result.exception
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_counts_are_added_and_listed_beside_the_answers(kept: list[Capture], tmp_path: Path) -> None:
    assert lines(run("label", kept[0].event_id, 2, "--json")) == [{"added": 1}]
    (tmp_path / "counts.csv").write_text(f"id,count\norder-7,3\n{kept[1].event_id},4\n")
    assert lines(run("label", "--csv", tmp_path / "counts.csv", "--json")) == [{"added": 2}]
    first, second = lines(run("list", "--json"))
    assert (first["event_id"], first["count"], first["expected"], first["truth"]) == (kept[0].event_id, 3, None, 3)
    assert (second["inference_id"], second["count"], second["expected"], second["truth"]) == (None, 5, 4, 4)
    assert [one["event_id"] for one in lines(run("list", "--json", "--since", "2025-11-24T13:00"))] == [
        kept[1].event_id
    ]
    assert "count  5  record  4  truth  4" in run("list").stdout


@pytest.mark.parametrize("arguments", [(), ("x",), ("x", 1, "--csv", "y")])
def test_half_a_label_is_refused(kept: list[Capture], arguments: tuple[object, ...]) -> None:
    assert isinstance(run("label", *arguments).exception, BadInput)


def test_a_line_of_counts_that_is_none_is_named(kept: list[Capture], tmp_path: Path) -> None:
    (tmp_path / "counts.csv").write_text("id,count\norder-7,3\norder-8,many\n")
    assert "line 3" in str(run("label", "--csv", tmp_path / "counts.csv").exception)
    assert isinstance(run("label", "--csv", tmp_path / "none.csv").exception, MissingObject)


@pytest.mark.parametrize("count", [10**9, 10**23, "9" * 5000])
def test_a_count_that_nobody_can_have_meant_is_refused(kept: list[Capture], tmp_path: Path, count: object) -> None:
    assert run("label", "order-7", count).exit_code != 0
    (tmp_path / "counts.csv").write_text(f"id,count\norder-7,{count}\n")
    assert "0 to 999,999,999" in str(run("label", "--csv", tmp_path / "counts.csv").exception)
    assert lines(run("label", "order-7", 999_999_999, "--json")) == [{"added": 1}]


def test_a_count_out_of_range_that_lies_there_is_named_and_breaks_no_export(
    kept: list[Capture], tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow")
    run("label", "order-7", 3)
    run("label", kept[1].event_id, 4)
    _, second = sorted((tmp_path / "kept").rglob("ground_truth/**/*.jsonl"))
    second.write_text(second.read_text().replace('"data":"4"', f'"data":"{10**23}"'))
    assert lines(run("export", tmp_path / "all.parquet", "--json"))[0]["captures"] == 2
    assert [line["truth"] for line in lines(run("list", "--json"))] == [3, None]
    result = run("verify")
    assert result.exception is None and "unusable: " in result.stdout and str(10**23) in result.stdout


@pytest.mark.parametrize("photos", [True, False])
def test_an_export_holds_every_capture_in_either_format(kept: list[Capture], tmp_path: Path, photos: bool) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    run("label", "order-7", 3)
    flag = ["--photos"] if photos else []
    for name in ("all.jsonl", "all.parquet"):
        (told,) = lines(run("export", tmp_path / name, *flag, "--json"))
        assert told["captures"] == 2
    written = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    rows = pq.read_table(tmp_path / "all.parquet").to_pylist()
    if photos:
        assert [row["photo"] for row in rows] == [base64.b64decode(line["photo"]) for line in written] == PHOTOS[:2]
        written = [line | {"photo": row["photo"]} for line, row in zip(written, rows, strict=True)]
    assert rows == written
    assert [row["truth"] for row in rows] == [3, None]
    assert isinstance(run("export", tmp_path / "all.xlsx").exception, BadInput)


def test_verify_ends_well_only_where_all_is_whole(kept: list[Capture], tmp_path: Path) -> None:
    assert "2 captures, all there and whole" in run("verify").stdout
    file = next(path for path in (tmp_path / "kept").rglob("*.j*") if path.is_file())
    data = file.read_bytes()
    file.write_bytes(data[:100] + b"!" + data[101:])
    result = run("verify")
    assert isinstance(result.exception, GateFailed) and "corrupt: " in result.stdout


def test_prune_deletes_by_age(kept: list[Capture]) -> None:
    (told,) = lines(run("prune", "--keep-days", 0, "--json"))
    assert told["kept_bytes"] == 0 and lines(run("list", "--json")) == []


def test_without_a_place_the_mend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BINSIGHT_CAPTURE", raising=False)
    settings.cache_clear()
    assert "set BINSIGHT_CAPTURE" in str(run("list").exception)
