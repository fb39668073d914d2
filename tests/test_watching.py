"""What the service notices by itself, and tells: drift, a full queue, errors, a bundle that will not do."""

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from tests.bundle_support import bundle_with_other_answers, bundle_without_reference
from tests.service_support import client_of, gated, some_settings, until
from tests.webhook_server import WebhookServer, webhook_server

from binsight.counting import default_bundle
from binsight.errors import Overloaded
from binsight.imaging.drawn import drawn_photo
from binsight.service import watching
from binsight.service.alerts import Alerts
from binsight.service.app import make_app
from binsight.service.drift import IDLE_S, MOST_MODELS, DriftWatch
from binsight.service.lanes import Lanes
from binsight.service.metrics import Metrics
from binsight.service.served import Served
from binsight.service.watching import (
    DRIFT_EVERY_S,
    ERRORS_WITHIN_S,
    QUIET_S,
    REFUSED_WITHIN_S,
    SATURATED_FOR_S,
    Watchman,
)

PHOTOS = [drawn_photo(count % 6, seed=count) for count in range(8)]
MANY = {"photos": [{"photo": base64.b64encode(photo).decode(), "expected": 0} for photo in PHOTOS * 4]}


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    for family in text_string_to_metric_families(metrics.text().decode()):
        for one in family.samples:
            if one.name == name and labels.items() <= one.labels.items():
                return one.value
    return None


class World:
    """A watchman with lanes that hold their photos, a clock of ours and a receiver."""

    def __init__(self, server: WebhookServer) -> None:
        self.server, self.metrics, self.seconds = server, Metrics(), 0.0
        served, self.counter = gated(default_bundle())
        self.lanes = Lanes(served, num_lanes=1, queue_size=5, max_batch=1)
        self.alerts = Alerts([server.url], None, self.metrics, waits_s=())
        self.failure: str | None = None
        self.drift = DriftWatch(self.metrics, window=100)
        self.watchman = Watchman(
            self.lanes,
            self.drift,
            self.metrics,
            self.alerts,
            failed=lambda: self.failure,
            now=lambda: self.seconds,
        )

    def look_after(self, seconds: float) -> None:
        self.seconds += seconds
        self.watchman.step()

    def answer(self, status: int, num: int) -> None:
        self.metrics.requests.labels("/v1/count", str(status)).inc(num)


@pytest.fixture
def world() -> Iterator[World]:
    with webhook_server() as server:
        world = World(server)
        yield world
        world.counter.gate.set()
        world.lanes.close(within=60)
        world.alerts.stop(within=60)


def test_a_queue_that_turns_away_is_told_once_and_its_end_too(world: World) -> None:
    """By real lanes: as few as they let wait, whoever comes besides is refused."""
    world.lanes.start()
    served = {"yes": 0, "no": 0}

    def ask(number: int) -> None:
        for _ in range(number):
            try:
                world.lanes.submit([("one", PHOTOS[0])], within=600)
                world.answer(200, 1)
                served["yes"] += 1
            except Overloaded:
                world.answer(503, 1)
                served["no"] += 1

    world.look_after(0)
    for _ in range(int(SATURATED_FOR_S / 5)):
        ask(10)
        world.look_after(5)
    assert not world.server.received
    for _ in range(3):
        ask(10)
        world.look_after(5)
    assert served["no"] > 100 and world.lanes.num_waiting <= 2, "far from all that its memory may hold"
    assert world.server.events(1) == ["queue.saturated"]
    told = world.server.received[0].json["data"]
    assert told["refused"] >= 40 and told["sentence"].startswith(f"{told['refused']:.0f} of the last")
    world.counter.gate.set()
    world.look_after(REFUSED_WITHIN_S + 1)
    assert world.server.events(2) == ["queue.saturated", "queue.relieved"]


def test_a_rush_that_is_over_soon_is_not_told(world: World) -> None:
    world.look_after(0)
    for _ in range(3):
        world.answer(503, 100)
        for _ in range(int(REFUSED_WITHIN_S / 5) + 1):
            world.look_after(5)
            world.answer(200, 20)
    world.answer(503, 2)
    for _ in range(int(2 * SATURATED_FOR_S / 5)):
        world.answer(200, 40)
        world.answer(503, 1)
        world.look_after(5)
    world.alerts.stop(within=60)
    assert not world.server.received


def test_errors_are_told_by_their_share_of_lately_and_503_is_none(world: World) -> None:
    world.look_after(0)
    world.answer(200, 100)
    world.answer(503, 50)
    world.answer(400, 50)
    world.look_after(5)
    world.answer(500, 9)
    world.look_after(5)
    world.answer(502, 2)
    world.look_after(5)
    (told,) = world.server.wait_for(1)
    assert told.json["type"] == "errors.high"
    assert told.json["data"]["sentence"].startswith("11 of the last 211 requests failed")
    world.look_after(ERRORS_WITHIN_S + 1)
    assert world.server.events(2) == ["errors.high", "errors.usual"]


def test_a_few_requests_are_no_share(world: World) -> None:
    world.look_after(0)
    world.answer(500, 19)
    world.look_after(5)
    world.alerts.stop(within=60)
    assert not world.server.received


def test_what_comes_and_goes_is_told_once_in_a_while(world: World) -> None:
    def flap() -> None:
        world.answer(500, 30)
        world.look_after(5)
        world.look_after(ERRORS_WITHIN_S + 1)  # and nothing failed since

    world.look_after(0)
    flap()
    flap()
    assert world.server.events(2) == ["errors.high", "errors.usual"]
    world.look_after(QUIET_S)
    flap()
    assert world.server.events(4)[2:] == ["errors.high", "errors.usual"]


def test_a_bundle_that_cannot_be_taken_is_told_once(world: World) -> None:
    for failure in ("abc cannot be taken", "abc cannot be taken", None, "def cannot be taken"):
        world.failure = failure
        world.look_after(5)
    world.server.wait_for(2)
    assert [one.json["data"]["sentence"] for one in world.server.received] == [
        "abc cannot be taken",
        "def cannot be taken",
    ]


def test_a_service_that_cannot_start_says_so_before_it_ends(tmp_path: Path) -> None:
    with webhook_server() as server:
        app = make_app(
            bundle_with_other_answers(tmp_path / "bundle"), chosen=some_settings(alert_urls=(server.url,))
        )
        with TestClient(app):
            end = time.monotonic() + 60
            while app.state.failure is None:
                assert time.monotonic() < end
                time.sleep(0.05)
        (told,) = server.wait_for(1)
    assert told.json["type"] == "bundle.failed"
    assert "must get its recorded answer" in told.json["data"]["sentence"]


def note(world: World, served: Served, photos: list[bytes]) -> None:
    """What a lane would tell of these photos."""
    seen = [served.counter.see("a photo", photo) for photo in photos]
    for one, estimate in zip(seen, served.counter.estimate(seen), strict=True):
        world.drift.note(served, one, estimate)


def test_bundles_out_of_service_are_let_go_and_their_drift_ends(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("binsight.service.drift.time.monotonic", lambda: clock[0])
    old = Served.load(default_bundle())
    note(world, old, PHOTOS * 13)
    world.look_after(0)
    note(world, old, PHOTOS * 2)
    world.look_after(DRIFT_EVERY_S)
    assert world.server.events(1) == ["drift.began"]
    clock[0] += IDLE_S + 1
    new = GivenName(counter=old.counter, certificate=None, reference=old.reference)
    note(world, new, PHOTOS)
    world.look_after(DRIFT_EVERY_S)
    assert world.server.events(2) == ["drift.began", "drift.ended"]
    assert [state.model for state in world.drift.states()] == ["another:1"]
    assert sample(world.metrics, "binsight_drifting") is None


class GivenName(Served):
    """The same bundle under another name."""

    number = 1

    @property
    def name(self) -> str:
        return f"another:{self.number}"


def test_the_number_of_bundles_that_are_kept_is_bounded(world: World) -> None:
    old = Served.load(default_bundle())
    for number in range(MOST_MODELS + 3):
        served = type("Numbered", (GivenName,), {"number": number})(counter=old.counter, certificate=None)
        note(world, served, PHOTOS[:1])
    world.drift.look()
    names = [state.model for state in world.drift.states()]
    assert names == [f"another:{number}" for number in reversed(range(3, MOST_MODELS + 3))]


def test_drift_is_seen_told_and_withdraws_the_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn photos are not like those of the training. One look is not enough to say so."""
    monkeypatch.setattr(watching, "LOOK_EVERY_S", 3600)  # it looks when it is told to
    empty = {"photo": base64.b64encode(drawn_photo(0, seed=0)).decode(), "expected": 0}
    with webhook_server() as server:
        app = make_app(chosen=some_settings(drift_photos=128, alert_urls=(server.url,)))
        with client_of(app) as client:
            assert client.get("/v1/drift").json() == {"models": []}
            for _ in range(4):
                client.post("/v1/count", json=MANY)
            # a photo is noted once its answer is on its way
            until(lambda: client.get("/v1/drift").json()["models"][0]["num_photos"] == 128)
            (first,) = client.get("/v1/drift").json()["models"]
            assert (first["state"], first["num_photos"], first["features"]) == ("too_few_photos", 128, [])
            app.state.drift.look()
            (once,) = client.get("/v1/drift").json()["models"]
            assert once["state"] == "usual" and "whether this lasts" in once["sentence"]
            before = client.post("/v1/verify", json=empty).json()["verdict"]
            app.state.drift.look()
            assert client.get("/v1/drift").json()["models"][0]["state"] == "usual", "the same photos are no news"
            client.post("/v1/count", json=MANY)
            app.state.watchman._look_at_drift()
            (twice,) = client.get("/v1/drift").json()["models"]
            after = client.post("/v1/verify", json=empty).json()["verdict"]
            metrics = app.state.metrics
        (told,) = server.wait_for(1)
    assert twice["state"] == "drifting"
    assert twice["reference_photos"] == 889
    assert twice["separation"]["drifting"] and twice["separation"]["auc"] > 0.9
    psis = [feature["psi"] for feature in twice["features"]]
    assert psis == sorted(psis, reverse=True) and len(psis) == 12
    assert told.json["type"] == "drift.began"
    assert told.json["data"]["model"] == twice["model"]
    assert twice["features"][0]["name"] in told.json["data"]["features"]
    assert "no certificate is in force" not in before["reason"]
    assert after["reason"] == "the certificate is withdrawn while photos drift"
    largest = twice["features"][0]
    assert sample(metrics, "binsight_drift_psi", feature=largest["name"]) == pytest.approx(largest["psi"])
    assert sample(metrics, "binsight_drift_ks", feature=largest["name"]) == pytest.approx(largest["ks"])
    assert sample(metrics, "binsight_drift_auc") == pytest.approx(twice["separation"]["auc"])
    assert sample(metrics, "binsight_drift_photos") == 128
    assert sample(metrics, "binsight_drifting", model=twice["model"]) == 1


def test_a_bundle_without_a_reference_serves_and_says_what_is_missing(tmp_path: Path) -> None:
    app = make_app(bundle_without_reference(tmp_path / "bundle"), chosen=some_settings(drift_photos=100))
    with client_of(app) as client:
        for _ in range(4):
            assert client.post("/v1/count", json=MANY).status_code == 200
        app.state.drift.look()
        (answer,) = client.get("/v1/drift").json()["models"]
    assert (answer["state"], answer["reference_photos"]) == ("no_reference", None)
    assert "make one with: binsight reference" in answer["sentence"]


def test_errors_are_counted_by_their_code_alone_and_among_others() -> None:
    app = make_app()
    bad: dict[str, Any] = {"photos": [*MANY["photos"][:1], {"photo": base64.b64encode(b"no photo").decode()}]}
    with client_of(app) as client:
        client.post("/v1/count", content=b"no photo", headers={"content-type": "image/jpeg"})
        client.post("/v1/count", json=bad)
        client.get("/nowhere")
        assert sample(app.state.metrics, "binsight_errors_total", code="bad_photo_format") == 2
        assert sample(app.state.metrics, "binsight_errors_total", code="no_such_endpoint") == 1
