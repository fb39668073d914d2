"""Fixtures that more than one file of tests uses."""

from pathlib import Path

import pytest

ABID = Path(__file__).resolve().parents[2] / "shared" / "abid"


@pytest.fixture(scope="session")
def abid() -> Path:
    """The folder of real bin photos; tests that need it are skipped where it is not there."""
    if not (ABID / "labels.csv").is_file():
        pytest.skip("the real photos (../shared/abid) are not here")
    return ABID
