"""The measuring itself: interleaved runs, medians, and an exit status that says whether the goal is met."""

import csv
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
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


def test_the_counts_by_eye_are_of_a_hundred_val_photos(abid: Path) -> None:
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


def test_an_aim_beyond_the_goal_is_told_and_decides_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    comparison = ratio.compare(lambda: 4.0, lambda: 1.0, names=("a", "b"), unit="photos/s", num_runs=2)
    with pytest.raises(SystemExit) as ended:
        ratio.report(comparison, at_least=3.0, aim=8.0, as_json=False)
    assert ended.value.code == 0
    assert capsys.readouterr().out.endswith("goal ≥ 3.0: met; aim ≥ 8.0: NOT met\n")


def test_the_counter_is_measured_against_the_original_network() -> None:
    """That it runs and says so; how fast it is, a machine that runs tests cannot tell."""
    pytest.importorskip("torch")
    command = [sys.executable, str(PATH.with_name("original.py")), "--photos", "1", "--runs", "2", "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    found = json.loads(ended.stdout)
    assert (found["ours"], found["other"], found["goal"], found["aim"]) == ("Counter", "ResNet34", "≥ 3.0", 8.0)
    assert min(found["ours_median"], found["other_median"]) > 0
    assert ended.returncode == (0 if found["met"] else 1)


def test_a_learning_curve_goes_on_by_the_law_that_it_follows() -> None:
    from bench.learning_curve import every_doubling, foretell, power

    nums = np.array([1000.0, 2000.0, 8000.0])
    assert every_doubling(nums, np.array([0.30, 0.33, 0.39]), 16000) == pytest.approx(0.42)
    assert power(nums, 1 - nums**-0.1, 64000) == pytest.approx(1 - 64000**-0.1)
    # Ten photos of each chain, so many right in each run; the first score alone is not asked about the last chain.
    right = np.zeros((3, 4, 200))
    for run, share in enumerate((3, 4, 6)):
        right[run] = np.tile(np.arange(10) < share, 20)
    right[:, 0, 190:] = np.nan
    rows = foretell(nums, right, [f"chain {n // 10}" for n in range(200)], num_draws=50)
    assert rows[0]["measured"] == pytest.approx([0.3, 0.4, 0.6]) == rows[3]["measured"]
    value, low, high = rows[0]["foretold"][0]["every_doubling"]
    assert low == pytest.approx(value) == pytest.approx(high), "every chain is like every other"
    assert value == pytest.approx(0.3 + 0.1 * np.log2(100), abs=1e-6)


def test_the_doubtful_records_that_were_looked_at_are_as_the_experiments_say(abid: Path) -> None:
    with (abid / "labels.csv").open(newline="") as file:
        labels = {row["image_id"]: row for row in csv.DictReader(file)}
    with (ROOT / "docs" / "suspects-by-eye.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    judged = [row["judged"] for row in rows]
    assert [judged.count(word) for word in ("contradicted", "borne out", "cannot be told")] == [6, 23, 71]
    assert all(labels[row["photo"]]["count"] == row["record"] != row["count"] for row in rows)
    assert all(labels[row["photo"]]["split"] in ("train", "val") for row in rows)


@pytest.mark.slow
def test_what_capture_costs_is_measured_on_photos_that_were_kept(abid: Path) -> None:
    command = [sys.executable, str(PATH.with_name("capture.py")), str(abid / "bin-images")]
    ended = subprocess.run(
        [*command, "--photos", "4", "--runs", "2", "--json"], capture_output=True, text=True, check=False
    )
    assert "12 of 12 photos are kept" in ended.stderr, ended.stderr
    found = json.loads(ended.stdout)
    assert (found["ours"], found["other"], found["goal"]) == ("with capture", "without", "≥ 0.9")


@pytest.mark.slow
@pytest.mark.parametrize("connections", ["1", "8"])
def test_what_a_shadow_costs_is_measured_once_it_has_seen_every_photo(connections: str) -> None:
    command = [sys.executable, str(PATH.with_name("shadow.py")), "--connections", connections]
    ended = subprocess.run(
        [*command, "--photos", "8", "--runs", "2", "--json"], capture_output=True, text=True, check=False
    )
    found = json.loads(ended.stdout)
    assert (found["ours"], found["other"], found["goal"]) == ("with a shadow", "without", "≥ 0.95"), ended.stderr
