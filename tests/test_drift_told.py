"""A service tells the ledger of drift that it sees, once an episode, and waits for it nowhere."""

import base64
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.service_support import client_of, serving, some_settings, until

from binsight.counting import Bundle, default_bundle
from binsight.errors import StorageFailure
from binsight.imaging.drawn import drawn_photo
from binsight.service import drift_episodes, watching
from binsight.service.app import make_app
from binsight.service.drift_episodes import TELL_EVERY_S, Episodes
from binsight.storage.ledger import DriftEpisode, DriftEpisodes, Ledger

A = "a" * 12
VERSION = Bundle.open(default_bundle()).version
MANY = {"photos": [{"photo": base64.b64encode(drawn_photo(n % 6, seed=n)).decode()} for n in range(8)] * 4}
"""Drawn photos, which are not like those of the calibration."""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    ledger = Ledger.open(url)
    yield ledger
    ledger.close()


class World:
    """A service's states and a clock of ours, and what it told."""

    def __init__(self, url: str, ledger: Ledger, host: str = "x") -> None:
        self.states: dict[str, str] = {}
        self.seconds = 0.0
        self.rows = DriftEpisodes(ledger)
        self.episodes = Episodes(url, self._all, host=host, now=lambda: self.seconds)

    def _all(self) -> list[Any]:
        return [
            SimpleNamespace(model=f"bins:{version}", state=state, sentence=f"photos are {state}")
            for version, state in self.states.items()
        ]

    def look(self, state: str = "", *, version: str = A, after: float = 5.0) -> DriftEpisode | None:
        """What the ledger knows once the service has looked."""
        self.seconds += after
        self.states[version] = state or self.states[version]
        self.episodes.step()
        return self.rows.under_way(version)


@pytest.fixture
def world(url: str, ledger: Ledger) -> Iterator[World]:
    world = World(url, ledger)
    yield world
    world.episodes.stop()


def test_drift_is_told_when_it_has_settled_and_again_every_ten_minutes(world: World) -> None:
    assert world.look("no_reference") is world.look("too_few_photos") is world.look("usual") is None
    began = world.look("drifting")
    assert began is not None
    assert (began.version, began.host, began.sentence) == (A, "x", "photos are drifting")
    assert world.look() == began, "it is not told at every look"
    again = world.look(after=TELL_EVERY_S)
    assert again is not None
    assert (again.number, again.began_at) == (began.number, began.began_at)
    assert again.seen_at > began.seen_at


def test_that_it_is_over_is_told_once_and_coming_back_it_is_told_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []
    over = DriftEpisodes.over
    monkeypatch.setattr(
        DriftEpisodes,
        "over",
        lambda self, version, **given: (ended.append(version), over(self, version, **given))[1],
    )
    first = world.look("drifting")
    assert world.look("usual") is None
    assert world.look(after=3 * TELL_EVERY_S) is None
    assert ended == [A]
    again = world.look("drifting")
    assert first is not None and again is not None
    assert again.number == first.number


def test_each_bundle_in_service_is_told_of_by_itself(world: World) -> None:
    b = "b" * 12
    world.look("usual")
    assert world.look("drifting", version=b) is not None
    assert world.rows.under_way(A) is None


def test_a_service_that_died_while_it_drifted_is_corrected_by_the_next_one_there(
    world: World, url: str, ledger: Ledger
) -> None:
    assert world.look("drifting") is not None
    next_one, elsewhere = World(url, ledger), World(url, ledger, host="y")
    assert next_one.look("too_few_photos") is not None, "it has seen nothing yet"
    assert elsewhere.look("usual") is not None, "other photos are seen there"
    assert next_one.look("usual") is None
    for one in (next_one, elsewhere):
        one.episodes.stop()


def test_a_service_that_stops_does_not_say_that_the_drift_is_over(world: World) -> None:
    world.look("drifting")
    world.episodes.stop()
    assert world.rows.under_way(A) is not None


def test_without_a_ledger_none_is_made_and_one_that_comes_later_is_told(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/later.db"
    told = Episodes(url, lambda: [SimpleNamespace(model=f"bins:{A}", state="drifting", sentence="darker")])  # type: ignore[list-item]
    told.step()
    assert not list(tmp_path.iterdir())
    later = Ledger.open(url)
    told.step()
    assert DriftEpisodes(later).under_way(A) is not None
    told.stop()
    later.close()


def test_a_ledger_that_fails_is_said_once_and_told_when_it_is_back(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any, **__: Any) -> Any:
        raise StorageFailure("the database is gone")

    with monkeypatch.context() as patched, caplog.at_level(logging.ERROR):
        patched.setattr(DriftEpisodes, "seen", failing)
        assert world.look("drifting") is world.look() is None
    assert [record.message for record in caplog.records] == [
        "the ledger cannot be told of drift for now: the database is gone"
    ]
    assert world.look() is not None


def test_what_photos_show_over_http_stands_in_the_ledger(
    url: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "LOOK_EVERY_S", 3600)  # it looks when it is told to
    monkeypatch.setattr(drift_episodes, "LOOK_EVERY_S", 0.05)
    rows = DriftEpisodes(ledger)
    app = make_app(chosen=some_settings(drift_photos=100, ledger=url))
    with client_of(app) as client:
        for _ in range(4):
            client.post("/v1/count", json=MANY)
        until(lambda: client.get("/v1/drift").json()["models"][0]["num_photos"] == 100)
        app.state.drift.look()
        assert rows.under_way(VERSION) is None, "one look is not enough"
        client.post("/v1/count", json=MANY)
        app.state.drift.look()
        until(lambda: rows.under_way(VERSION))
        (said,) = client.get("/v1/drift").json()["models"]
    found = rows.under_way(VERSION)
    assert found is not None
    assert (said["state"], found.sentence) == ("drifting", said["sentence"])


@pytest.mark.slow
def test_a_real_service_that_is_killed_while_it_drifts_has_told_of_it(url: str, ledger: Ledger) -> None:
    """Two looks of its own are half a minute apart."""
    env = {"BINSIGHT_LEDGER": url, "BINSIGHT_DRIFT_PHOTOS": "100"}
    rows = DriftEpisodes(ledger)
    with serving("--only", "counting", env=env) as served, served.client as client:

        def is_told() -> bool:
            client.post("/v1/count", json=MANY).raise_for_status()
            return rows.under_way(VERSION) is not None

        until(is_told)
        os.kill(served.process.pid, signal.SIGKILL)
        served.process.wait()
    found = rows.under_way(VERSION)
    assert found is not None
    assert found.ended_at is None
    assert "photos" in found.sentence
