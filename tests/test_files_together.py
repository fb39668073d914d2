"""Tests of one file run on one worker: what a module makes is made once."""

import os
from pathlib import Path

import pytest

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")


@pytest.mark.parametrize("number", range(6))
def test_tests_of_one_file_run_on_one_worker(number: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Of six that were dealt one by one, both workers would get some."""
    shared = tmp_path_factory.getbasetemp().parent if WORKER else tmp_path_factory.getbasetemp()
    seen = shared / "worker-of-one-file"
    with seen.open("a") as file:
        print(WORKER, file=file)
    assert set(seen.read_text().splitlines()) == {WORKER}


def test_files_that_run_together_are_there() -> None:
    together = pytest.importorskip("tests.files_together", reason="pytest-xdist is not here")
    tests = Path(__file__).parent
    assert all((tests / name).is_file() for names in together.TOGETHER for name in names)
    one, other = together.TOGETHER[0]
    assert together.group_of(f"tests/{one}::test_a[x::y]") == together.group_of(f"tests/{other}::test_b") == one
    assert together.group_of("tests/test_image.py::test_a") == "test_image.py"
