"""Fixtures of the console's tests: a world made once, and a console on a copy of it.

Every run of the tests reads this file, so that it imports the console only where a test wants it.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fastapi import FastAPI

    from binsight.storage.ledger import Ledger


@pytest.fixture(scope="session")
def console_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.console_support import a_world

    return a_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def console_url(console_world: Path, tmp_path: Path) -> str:
    shutil.copy(console_world, tmp_path / "ledger.db")
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture
def console_ledger(console_url: str) -> Iterator["Ledger"]:
    from binsight.storage.ledger import Ledger

    ledger = Ledger.open(console_url)
    yield ledger
    ledger.close()


@pytest.fixture
def console_app(console_url: str) -> "FastAPI":
    from tests.console_support import a_console

    return a_console(console_url)


@pytest.fixture(scope="session")
def standing(console_world: Path, tmp_path_factory: pytest.TempPathFactory) -> "FastAPI":
    """A console for tests that change nothing in it."""
    from tests.console_support import a_console

    copy = tmp_path_factory.mktemp("standing") / "ledger.db"
    shutil.copy(console_world, copy)
    return a_console(f"sqlite:///{copy}")
