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
    from tests.retrain_fakes import QUICK, tell
    from tests.retrain_support import a_site
    from tests.retrain_world import Retrained

    from binsight.storage.ledger import Ledger

    monkeypatch.setattr("binsight.lifecycle.retrain.STEPS", QUICK)
    site = a_site(abid, tmp_path, {"train": 2, "val": 2, "test": 2})
    ledger = Ledger.open(places["BINSIGHT_LEDGER"])
    tell()
    found = Retrained(site, ledger, registry, [])
    found.count(3)
    yield found
    ledger.close()
