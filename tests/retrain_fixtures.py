"""Fixtures of the tests of retraining. Every run of the tests reads this file, so that it imports little by itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.retrain_world import Retrained

    from binsight.counting.registry import Registry


@pytest.fixture
def retrained(
    abid: Path, registry: "Registry", places: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator["Retrained"]:
    """With three bins counted, and a challenger that will be better."""
    from tests.retrain_world import a_world

    with a_world(abid, registry, places["BINSIGHT_LEDGER"], tmp_path, monkeypatch) as world:
        yield world
