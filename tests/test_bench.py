"""The measuring itself: interleaved runs, medians, and an exit status that says whether the goal is met."""

import csv
import importlib.util
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PATH = ROOT / "bench" / "ratio.py"
spec = importlib.util.spec_from_file_location("ratio", PATH)
assert spec is not None and spec.loader is not None
ratio = importlib.util.module_from_spec(spec)
sys.modules["ratio"] = ratio
spec.loader.exec_module(ratio)


def test_runs_alternate_and_the_ratio_is_that_of_the_medians() -> None:
    calls: list[str] = []

    def measure(name: str, values: list[float]) -> float:
        calls.append(name)
        return values.pop()

    ours, other = [90.0, 3.0, 2.0, 9.0], [1.0, 1.0, 2.0, 9.0]
    comparison = ratio.compare(
        lambda: measure("a", ours), lambda: measure("b", other), names=("a", "b"), unit="s", num_runs=3
    )
    assert calls == ["a", "b"] * 4  # the first pair warms up
    assert (comparison.ours_median, comparison.other_median, comparison.ratio) == (3.0, 1.0, 3.0)


@pytest.mark.parametrize(("goal", "status"), [({"at_most": 2.0}, 0), ({"at_most": 0.9}, 1), ({"at_least": 1.1}, 1)])
def test_a_goal_that_is_missed_ends_non_zero(
    goal: dict[str, float], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    comparison = ratio.compare(lambda: 1.0, lambda: 1.0, names=("a", "b"), unit="s", num_runs=4)
    with pytest.raises(SystemExit) as ended:
        ratio.report(comparison, as_json=True, **goal)
    assert ended.value.code == status
    assert json.loads(capsys.readouterr().out)["met"] is (status == 0)


def test_a_persons_counts_are_of_a_hundred_val_photos(abid: Path) -> None:
    """Drawn from those whose counts come as they do in ABID, so that they can be compared with the model's figures."""
    with (abid / "labels.csv").open(newline="") as file:
        labels = {row["image_id"]: row for row in csv.DictReader(file)}
    with (ROOT / "docs" / "blind-count.csv").open(newline="") as file:
        counted = {row["photo"]: int(row["counted"]) for row in csv.DictReader(file)}
    assert len(counted) == 100
    assert all(labels[photo]["split"] == "val" and labels[photo]["count"] for photo in counted)
    assert {labels[photo]["collection"] for photo in counted} <= {"complete", "list"}
    off = [count - int(labels[photo]["count"]) for photo, count in counted.items()]
    assert sum(value == 0 for value in off) == 30, "as docs/experiments.md says"
