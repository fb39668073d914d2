"""A promoted model on trial in a running service: it stays, or one move of the alias takes it back."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.bundle_support import bundle_with_other_answers, changed_bundle
from tests.service_support import client_of, some_settings, until

from binsight.counting import Bundle, default_bundle
from binsight.counting.registry import Registry
from binsight.imaging.drawn import drawn_photo
from binsight.records import CANARY, CHAMPION
from binsight.service.app import make_app
from binsight.service.follow import Follower, Following
from binsight.service.on_trial import REFUSED_FOR_S, Trials
from binsight.service.roles import RoleFigures
from binsight.storage.ledger import Certificates, Ledger, Retraining, Retrainings
from binsight.storage.ledger.certificates import SUSPENDED
from binsight.storage.ledger.retrainings import MOVED, OPEN, PASSED, PROMOTED, ROLLED_BACK

PHOTO = drawn_photo(3, seed=3)
FIRST = Bundle.open(default_bundle()).version


@dataclass(slots=True)
class Served:
    """A service whose looks the test takes itself, and whose time it makes."""

    client: TestClient
    trials: Trials
    ledger: Ledger
    registry: Registry
    state: Any
    seconds: float = 0.0

    def promoted(self, folder: Path, alias: str = CHAMPION, **limits: float) -> Retraining:
        """A retraining that moved the alias to this bundle, which serves."""
        version = self.registry.register(folder, by="ann").version
        moved = self.registry.point(alias, version, by="ann", reason="", seen=self.registry.pointed(alias))
        rows = Retrainings(self.ledger)
        rows.begin(
            "r1", by="ann", why="asked for", place="here", inputs_sha256="0" * 64, num_counts=3, champion=FIRST
        )
        outcome = {"limits": {"hours": 1, "photos": 2, "least": 2, **limits}}
        rows.change(
            "r1",
            state=PROMOTED if alias == CHAMPION else "canary",
            challenger=version,
            watch=OPEN,
            alias=alias,
            revision=moved.revision,
            outcome=outcome,
        )
        for follower in self.state.following.followers:
            follower.step()
        return self.row()

    def row(self) -> Retraining:
        found = Retrainings(self.ledger).get("r1")
        assert found is not None
        return found

    def ask(self, photo: bytes = PHOTO) -> int:
        return self.client.post("/invocations", content=photo, headers={"content-type": "image/jpeg"}).status_code

    def champion(self) -> str:
        pointed = self.registry.pointed(CHAMPION)
        assert pointed is not None
        return pointed.version


@pytest.fixture
def served(registry: Registry, places: dict[str, str]) -> Iterator[Served]:
    app = make_app(follow=CHAMPION, num_lanes=1, chosen=some_settings(canary_share=1.0))
    with client_of(app) as client:
        until(lambda: app.state.trials)
        for helper in (*app.state.following.followers, app.state.trials):
            helper.stop()
        ledger = Ledger.open(places["BINSIGHT_LEDGER"])
        found = Served(client, None, ledger, registry, app.state)  # type: ignore[arg-type]  # made right below
        found.trials = Trials(
            registry,
            ledger,
            app.state.lanes,
            app.state.metrics,
            app.state.drift,
            app.state.following,
            now=lambda: found.seconds,
        )
        yield found
        ledger.close()


def another(folder: Path) -> Path:
    """A bundle with the default one's answers and another version."""
    return changed_bundle(folder, "card.md", folder.name.encode())


def test_after_its_time_and_its_photos_a_promoted_model_stays(served: Served, tmp_path: Path) -> None:
    row = served.promoted(another(tmp_path / "second"))
    served.trials.step()
    assert [served.ask(), served.ask()] == [200, 200]
    served.trials.step()
    assert served.row().watch == OPEN
    served.seconds = 3600
    served.trials.step()
    assert served.row().watch == PASSED
    assert served.champion() == row.challenger
    assert served.row().sentence == "stays: 2 photos in 1.0 hours of service without a fault"


def test_a_model_on_whose_account_requests_fail_is_taken_back_by_one_move_with_its_reason(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.promoted(another(tmp_path / "second"))
    served.trials.step()

    monkeypatch.setattr(served.state.lanes.served.counter, "estimate", _broken)
    assert [served.ask(), served.ask()] == [500, 500]
    started = time.monotonic()
    served.trials.step()
    assert time.monotonic() - started < 1
    assert served.champion() == FIRST
    assert served.row().watch == ROLLED_BACK
    (move, *_) = served.registry.models.moves(CHAMPION)
    assert (move.moved_by, move.to_version) == ("binsight serve", FIRST)
    assert move.reason == "trial of retraining r1: it failed on 2 of 2 photos, where 2.0% may fail"
    served.trials.step()
    assert len(served.registry.models.moves(CHAMPION)) == 3, "it is taken back once"


def test_a_model_that_is_taken_back_answers_no_more_right_away(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.promoted(another(tmp_path / "second"))
    served.trials.step()
    monkeypatch.setattr("binsight.service.follow.LOOK_EVERY_S", 3600.0)
    looks, step = threading.Event(), Follower.step

    def look(self: Follower) -> None:
        looks.set()
        step(self)

    lanes, metrics = served.state.lanes, served.state.metrics
    with monkeypatch.context() as patched:
        patched.setattr(Follower, "step", look)
        following = Following(served.registry, lanes, metrics, champion=CHAMPION, canary=False, shadow=None)
    trials = Trials(served.registry, served.ledger, lanes, metrics, served.state.drift, following, now=lambda: 0.0)
    trials.step()
    (follower,) = following.followers
    follower.start()
    try:
        monkeypatch.setattr(lanes.served.counter, "estimate", _broken)
        assert [served.ask(), served.ask()] == [500, 500]
        assert not looks.is_set(), "there is one look an hour here"
        trials.step()
        # Told by the look that begins, not by the bundle that it brings, which a busy machine may take long to load.
        assert looks.wait(10), "whoever moved the alias does not have the service look at it"
        until(lambda: lanes.served.version == FIRST)
    finally:
        follower.stop()


def _broken(*_: object) -> None:
    raise RuntimeError("the network fails")


def test_a_model_whose_certificate_audits_suspend_is_taken_back(served: Served, tmp_path: Path) -> None:
    served.promoted(another(tmp_path / "second"))
    served.trials.step()
    assert served.champion() != FIRST
    certificate = sha256((default_bundle() / "certificate.json").read_bytes()).hexdigest()
    body = {"reasons": [{"why": "breached", "sentence": "too many were wrong"}], "audit": "a1"}
    Certificates(served.ledger).add(SUSPENDED, certificate, body, by="ann")
    served.trials.step()
    assert served.champion() == FIRST
    assert served.row().sentence == "taken back: its certificate is broken: too many were wrong"


def test_a_certificate_that_is_merely_old_takes_no_model_back(served: Served, tmp_path: Path) -> None:
    served.promoted(another(tmp_path / "second"))
    certificate = sha256((default_bundle() / "certificate.json").read_bytes()).hexdigest()
    body = {"reasons": [{"why": "aged", "sentence": "it is 91 days old"}], "audit": "a1"}
    Certificates(served.ledger).add(SUSPENDED, certificate, body, by="ann")
    served.trials.step()
    assert served.row().watch == OPEN


def test_a_slower_model_is_taken_back(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = time.monotonic()
    assert [served.ask(), served.ask()] == [200, 200]
    usual = time.monotonic() - started  # of both: on a busy machine a photo may take a second
    served.promoted(another(tmp_path / "second"))
    served.trials.step()
    estimate = served.state.lanes.served.counter.estimate

    def slowly(*given: object) -> object:
        time.sleep(1 + 4 * usual)
        return estimate(*given)

    monkeypatch.setattr(served.state.lanes.served.counter, "estimate", slowly)
    assert [served.ask(), served.ask()] == [200, 200]
    served.trials.step()
    assert served.champion() == FIRST
    assert served.row().sentence.startswith("taken back: 95% of its photos take up to")


def test_a_bundle_that_cannot_be_taken_into_service_is_taken_back_after_a_while(
    served: Served, tmp_path: Path
) -> None:
    served.promoted(bundle_with_other_answers(tmp_path / "bad"))
    served.trials.step()
    served.seconds = REFUSED_FOR_S - 1
    served.trials.step()
    assert served.row().watch == OPEN
    served.seconds = REFUSED_FOR_S
    served.trials.step()
    assert served.champion() == FIRST
    assert "it cannot be taken into service" in served.row().sentence


def test_a_bundle_that_is_still_on_its_way_is_not_taken_back_for_another_roles_failure(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion, canary = served.state.following.followers
    monkeypatch.setattr(champion, "step", lambda: None)  # it fetches, and that takes long
    row = served.promoted(another(tmp_path / "second"))
    canary.failure = "another cannot be the canary"
    served.trials.step()
    served.seconds = REFUSED_FOR_S + 1
    served.trials.step()
    assert served.champion() == row.challenger and served.row().watch == OPEN


def test_a_model_that_somebody_moved_away_from_is_left_alone(served: Served, tmp_path: Path) -> None:
    served.promoted(another(tmp_path / "second"))
    served.registry.roll_back(CHAMPION, by="ann", reason="by hand")
    served.trials.step()
    assert served.row().watch == MOVED
    assert served.champion() == FIRST
    assert len(served.registry.models.moves(CHAMPION)) == 3


def test_a_canary_that_stands_its_trial_becomes_the_champion(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = served.promoted(another(tmp_path / "second"), alias=CANARY)
    woken: list[bool] = []
    monkeypatch.setattr(served.state.following, "wake", lambda: woken.append(True))
    served.trials.step()
    assert [served.ask(), served.ask()] == [200, 200]
    assert not woken
    served.seconds = 3600
    served.trials.step()
    assert woken, "the service looks at the moved alias at once"
    assert served.champion() == row.challenger
    assert served.registry.pointed(CANARY) is None
    assert (served.row().state, served.row().watch) == (PROMOTED, PASSED)


def test_a_canary_that_fails_on_photos_is_retired_and_the_champion_stays(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.promoted(another(tmp_path / "second"), alias=CANARY)
    served.trials.step()

    def broken(*_: object) -> None:
        raise RuntimeError("the network fails")

    monkeypatch.setattr(served.state.lanes.canary.counter, "estimate", broken)
    assert [served.ask(), served.ask()] == [200, 200], "the champion stands in"
    served.trials.step()
    assert served.registry.pointed(CANARY) is None
    assert served.champion() == FIRST
    assert served.row().watch == ROLLED_BACK


def test_a_ledger_that_is_away_changes_nothing(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from binsight.errors import StorageFailure

    row = served.promoted(another(tmp_path / "second"))

    def lost(*_: object) -> None:
        raise StorageFailure("the ledger failed")

    monkeypatch.setattr(Retrainings, "watched", lost)
    served.trials.step()
    assert served.champion() == row.challenger


def test_quantiles_come_from_buckets() -> None:
    figures = RoleFigures(counted=100, buckets={0.01: 0, 0.05: 50, 0.1: 100, float("inf"): 100})
    assert figures.quantile_s(0.5) == pytest.approx(0.05)
    assert figures.quantile_s(0.95) == pytest.approx(0.095)
    assert RoleFigures().quantile_s(0.95) is None
    assert RoleFigures(counted=2, buckets={0.01: 0, float("inf"): 2}).quantile_s(0.95) == 0.01
    later = RoleFigures(counted=160, buckets={0.01: 60, 0.05: 110, 0.1: 160, float("inf"): 160})
    assert later.since(figures).quantile_s(0.95) == pytest.approx(0.0095)
