"""Hot swap: what an alias names is what counts, a bad bundle changes nothing, and no request fails."""

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tests.bundle_support import bundle_with_other_answers, changed_bundle
from tests.service_support import client_of, serving, some_settings

from binsight.counting import Bundle, default_bundle
from binsight.counting.registry import Registry
from binsight.imaging.drawn import drawn_photo
from binsight.records import CHAMPION
from binsight.service.app import make_app
from binsight.service.follow import Follower

PHOTO = drawn_photo(3, seed=3)
JPEG = {"content-type": "image/jpeg"}
FIRST = Bundle.open(default_bundle()).version


def promote(registry: Registry, folder: Path) -> str:
    version = registry.register(folder, by="ann").version
    registry.point(CHAMPION, version, by="ann", reason="", seen=registry.pointed(CHAMPION))
    return version


def model_of(client: TestClient) -> str:
    answer = client.post("/invocations", content=PHOTO, headers=JPEG)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["model"]).rpartition(":")[2]


@pytest.fixture
def followed(registry: Registry) -> Iterator[tuple[TestClient, Follower]]:
    """A service that follows the champion, whose looks the test takes itself."""
    app = make_app(follow=CHAMPION, num_lanes=1, chosen=some_settings())
    with client_of(app) as client:
        (follower,) = app.state.following.followers
        follower.stop()
        yield client, follower


def test_a_promoted_bundle_takes_over_and_a_rollback_needs_no_loading(
    registry: Registry, followed: tuple[TestClient, Follower], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, follower = followed
    assert model_of(client) == FIRST
    second = promote(registry, changed_bundle(tmp_path / "second", "card.md", b"second"))
    assert model_of(client) == FIRST, "nobody has looked yet"
    follower.step()
    assert model_of(client) == second
    assert client.get("/v1/models").json()["models"][0]["version"] == second
    registry.roll_back(CHAMPION, by="ann", reason="")
    monkeypatch.setattr("binsight.service.follow.Served.load", None)
    follower.step()
    assert model_of(client) == FIRST
    assert 'binsight_swaps_total{result="done",role="champion"} 2.0' in client.get("/metrics").text


@pytest.mark.parametrize("how", ["other answers", "no network", "gone"])
def test_a_bad_bundle_never_takes_a_healthy_one_down(
    registry: Registry, followed: tuple[TestClient, Follower], tmp_path: Path, how: str
) -> None:
    client, follower = followed
    if how == "other answers":
        bad = promote(registry, bundle_with_other_answers(tmp_path / "bad"))
    elif how == "no network":
        bad = promote(registry, changed_bundle(tmp_path / "bad", "model.onnx", b"no network"))
    else:
        bad = promote(registry, changed_bundle(tmp_path / "bad", "card.md", b"gone"))
        shutil.rmtree(tmp_path / "bundles" / bad)
        shutil.rmtree(tmp_path / "cache" / "bundles" / bad)
    for _ in range(3):
        follower.step()
    assert model_of(client) == FIRST
    assert 'binsight_swaps_total{result="failed",role="champion"} 1.0' in client.get("/metrics").text, (
        "tried once, not at every look"
    )
    good = promote(registry, changed_bundle(tmp_path / "good", "card.md", b"good"))
    follower.step()
    assert model_of(client) == good


def test_a_registry_that_is_gone_changes_nothing(
    followed: tuple[TestClient, Follower], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client, follower = followed
    # Others than the old files: SQLite maps the -shm into memory, and to cut that short under it ends the process.
    for file in tmp_path.glob("ledger.db*"):
        file.unlink()
    (tmp_path / "ledger.db").write_bytes(b"no database any more, by some accident" * 200)
    follower._registry.close()  # its connections hold the old file open
    follower.step()
    follower.step()
    assert model_of(client) == FIRST
    assert caplog.text.count("the registry cannot be asked") == 1


def test_an_alias_that_points_nowhere_ends_the_start(places: dict[str, str]) -> None:
    app = make_app(follow="shadow", chosen=some_settings())
    with TestClient(app) as client:
        end = time.monotonic() + 60
        while app.state.failure is None:
            assert time.monotonic() < end
            time.sleep(0.01)
        response = client.post("/invocations", content=PHOTO, headers=JPEG)
    assert "shadow points at no model yet" in app.state.failure
    assert response.status_code == 503


def test_no_request_fails_while_champions_change(
    registry: Registry, places: dict[str, str], tmp_path: Path
) -> None:
    second = registry.register(changed_bundle(tmp_path / "second", "card.md", b"second"), by="ann").version
    seen: set[str] = set()
    failed: list[str] = []
    is_over = threading.Event()

    def ask() -> None:
        with served.client as client:
            while not is_over.is_set() and served.process.poll() is None:
                answer = client.post("/invocations", content=PHOTO, headers=JPEG)
                if answer.status_code == 200:
                    seen.add(answer.json()["model"].rpartition(":")[2])
                else:
                    failed.append(answer.text)

    with serving("--follow", CHAMPION, env=places) as served:
        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number, version in enumerate([second, FIRST] * 3, 1):
            registry.point(CHAMPION, version, by="ann", reason="", seen=registry.pointed(CHAMPION))
            end = time.monotonic() + 300
            with served.client as client:
                while (
                    f'binsight_swaps_total{{result="done",role="champion"}} {number}.0'
                    not in client.get("/metrics").text
                ):
                    assert time.monotonic() < end
                    time.sleep(0.02)
        is_over.set()
        for thread in threads:
            thread.join()
    assert failed == []
    assert seen == {FIRST, second}
