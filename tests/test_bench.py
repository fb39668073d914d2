"""The measuring itself: interleaved runs, medians, and an exit status that says whether the goal is met."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[1] / "bench" / "ratio.py"
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
