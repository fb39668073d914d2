"""Swaps, rollbacks and restarts under load: the bench of `bench/swaps.py`, shorter, against real processes and nginx."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.debian import installed

BENCH = Path(__file__).resolve().parents[1] / "bench" / "swaps.py"


@pytest.mark.slow
def test_no_request_fails_through_swaps_rollbacks_and_rolling_restarts() -> None:
    if not shutil.which("nginx") and not installed("nginx-light"):
        pytest.skip("nginx is not here and cannot be installed without root and apt-get")
    command = [sys.executable, str(BENCH), "--swaps", "4", "--rollbacks", "2", "--restarts", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    swapped, restarted = map(json.loads, done.stdout.splitlines())
    assert (swapped["failed"], restarted["failed"]) == ([], [])
    assert (swapped["swaps"], swapped["rollbacks"], restarted["restarts"]) == (4, 2, 2)
    assert restarted["requests"] > 2
    assert done.returncode == (0 if swapped["rollback_most_s"] < 1 else 1)
