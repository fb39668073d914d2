"""A site whose retrainings are quick: the real orchestration around steps that need no network."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.retrain_fakes import QUICK, tell
from tests.retrain_support import Site, a_site, counted

from binsight.counting import Bundle, default_bundle
from binsight.counting.registry import Registry
from binsight.imaging.drawn import drawn_photo
from binsight.lifecycle.retrain import Ended, retrain
from binsight.records import CHAMPION
from binsight.storage.ledger import Ledger, Retrainings

FIRST = Bundle.open(default_bundle()).version


class Killed(BaseException):
    """As good as SIGKILL for whoever does not catch it."""


@dataclass(slots=True)
class Retrained:
    """A site whose retrainings are quick, and its ledger."""

    site: Site
    ledger: Ledger
    registry: Registry
    said: list[str]

    def run(self, *overrides: str, work: str = "work", **given: Any) -> Ended:
        return retrain(
            self.site.load(*overrides),
            self.site.folder / work,
            self.registry,
            self.ledger,
            by="ann",
            say=self.said.append,
            **given,
        )

    def count(self, number: int, *, first_bin: int = 1) -> None:
        """So many more bins, each counted."""
        photos = []
        for place in range(first_bin, first_bin + number):
            path = self.site.folder / f"{place}.jpg"
            path.write_bytes(drawn_photo(place % 5, seed=place))
            photos.append((path, place % 5))
        counted(self.ledger, photos, folder=self.site.folder, first_bin=first_bin)

    @property
    def champion(self) -> str:
        pointed = self.registry.pointed(CHAMPION)
        assert pointed is not None
        return pointed.version

    @property
    def states(self) -> list[str]:
        """Of the last retrainings, the newest first."""
        return [row.state for row in Retrainings(self.ledger).newest()]


@contextmanager
def a_world(
    abid: Path, registry: Registry, ledger_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Retrained]:
    """With three bins counted, and a challenger that will be better."""
    monkeypatch.setattr("binsight.lifecycle.retrain.STEPS", QUICK)
    monkeypatch.setattr("binsight.lifecycle.beginning.check_judges", lambda *_: None)  # two photos judge nobody
    site = a_site(abid, folder, {"train": 2, "val": 2, "test": 2})
    ledger = Ledger.open(ledger_url)
    tell()
    world = Retrained(site, ledger, registry, [])
    world.count(3)
    yield world
    ledger.close()
