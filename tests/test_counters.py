"""Many people count at once while the service is killed: the short form of `python -m bench.counters`."""

from pathlib import Path

import pytest
from bench.counters import Run, measure


@pytest.mark.slow
def test_kills_lose_no_acknowledged_count_and_count_nothing_twice(tmp_path: Path) -> None:
    run = Run(counters=8, seconds=20, kills=3, tasks=200, think=0.3)
    found = measure(run, f"sqlite:///{tmp_path}/ledger.db", tmp_path)
    assert found.is_well, found
    assert found.kills == 3
    assert found.acts["unanswered"] > 0, "the kills were felt"
