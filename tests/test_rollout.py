"""Canary and shadow: who answers is decided by the request's id, and nobody who asks is the worse for either."""

import base64
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from tests.bundle_support import bundle_with_other_answers, changed_bundle
from tests.service_support import client_of, gated, some_settings, until

from binsight.counting import Bundle, default_bundle
from binsight.counting.registry import Registry
from binsight.errors import BadInput
from binsight.imaging.drawn import drawn_photo
from binsight.records import CANARY, CHAMPION, SHADOW, CountEstimate
from binsight.service.app import make_app
from binsight.service.follow import Following
from binsight.service.roles import MOST_MODELS, RoleMetrics, total_variation
from binsight.service.served import Counted, Served, Timing
from binsight.service.shadow import MOST_PHOTOS, Shadow, ToCompare
from binsight.service.shares import is_within

PHOTO = drawn_photo(3, seed=3)
FIRST = Bundle.open(default_bundle()).version
TIMING = Timing(queue=0.0, decode=0.01, inference=0.02, starts=(0.0, 0.0, 0.01))


def point(registry: Registry, alias: str, folder: Path) -> str:
    version = registry.register(folder, by="ann").version
    registry.point(alias, version, by="ann", reason="", seen=registry.pointed(alias))
    return version


def colder(folder: Path) -> Path:
    """A bundle with the default one's answers, whose spec says another name."""
    return changed_bundle(folder, "card.md", folder.name.encode())


def ask(client: TestClient, request_id: str) -> str:
    headers = {"content-type": "image/jpeg", "x-request-id": request_id}
    answer = client.post("/v1/verify?expected=3", content=PHOTO, headers=headers)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["model"]).rpartition(":")[2]


@pytest.fixture
def followed(registry: Registry) -> Iterator[tuple[TestClient, Callable[[], None]]]:
    """A service with half of the requests for the canary and all for the shadow, and how to have it look."""
    chosen = some_settings(canary_share=0.5, shadow_share=1)
    app = make_app(follow=CHAMPION, num_lanes=1, chosen=chosen)
    with client_of(app) as client:
        until(lambda: app.state.following)
        following: Following = app.state.following
        for follower in following.followers:
            follower.stop()

        def look() -> None:
            for follower in following.followers:
                follower.step()

        yield client, look


def test_a_share_is_by_the_requests_id_and_each_role_draws_for_itself() -> None:
    ids = [f"request {number}" for number in range(4000)]
    canary = {one for one in ids if is_within(0.05, CANARY, one)}
    assert 150 < len(canary) < 250, "5%, within four standard errors"
    assert canary == {one for one in ids if is_within(0.05, CANARY, one)}
    assert canary < {one for one in ids if is_within(0.1, CANARY, one)}, "a larger share keeps whom it had"
    shadow = {one for one in ids if is_within(0.05, SHADOW, one)}
    assert len(canary & shadow) < 40
    assert not any(is_within(0, CANARY, one) for one in ids)
    assert all(is_within(1, CANARY, one) for one in ids)


def test_the_canary_answers_its_share_and_the_same_request_again(
    registry: Registry, followed: tuple[TestClient, Callable[[], None]], tmp_path: Path
) -> None:
    client, look = followed
    ids = [f"r{number}" for number in range(12)]
    look()
    assert {ask(client, one) for one in ids} == {FIRST}, "there is no canary, and nothing is the matter"
    canary = point(registry, CANARY, colder(tmp_path / "canary"))
    look()
    answered = {one: ask(client, one) for one in ids}
    assert {one for one in ids if answered[one] == canary} == {one for one in ids if is_within(0.5, CANARY, one)}
    assert answered == {one: ask(client, one) for one in ids}
    text = client.get("/metrics").text
    num_canary = float(sum(is_within(0.5, CANARY, one) for one in ids)) * 2
    assert f'binsight_role_photos_total{{model="{canary}",result="counted",role="canary"}} {num_canary}' in text
    assert f'binsight_role_verdicts_total{{model="{canary}",role="canary",verdict=' in text
    assert f'binsight_role_count_sum{{model="{canary}",role="canary"}}' in text
    roles = {one["role"]: one["version"] for one in client.get("/v1/models").json()["models"]}
    assert roles == {"champion": FIRST, "canary": canary}
    registry.retire(CANARY, by="ann", reason="")
    look()
    assert {ask(client, one) for one in ids} == {FIRST}


def test_a_request_for_a_version_gets_no_canary(
    registry: Registry, followed: tuple[TestClient, Callable[[], None]], tmp_path: Path
) -> None:
    client, look = followed
    canary = point(registry, CANARY, colder(tmp_path / "canary"))
    look()
    request_id = next(one for one in map(str, range(100)) if is_within(0.5, CANARY, one))
    photo = {"name": "photo", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(PHOTO).decode()]}
    found = {}
    for path in ("/v2/models/default/infer", f"/v2/models/default/versions/{FIRST}/infer"):
        answer = client.post(path, json={"inputs": [photo]}, headers={"x-request-id": request_id})
        found[path] = answer.json()["model_version"]
    assert list(found.values()) == [canary, FIRST]


def test_a_canary_that_fails_is_stood_in_for_and_told(
    registry: Registry, followed: tuple[TestClient, Callable[[], None]], tmp_path: Path
) -> None:
    client, look = followed
    canary = point(registry, CANARY, colder(tmp_path / "canary"))
    look()
    request_id = next(one for one in map(str, range(100)) if is_within(0.5, CANARY, one))
    assert ask(client, request_id) == canary
    client.app.state.lanes.canary.counter.estimate = None  # type: ignore[attr-defined]
    assert ask(client, request_id) == FIRST
    failed = f'binsight_role_photos_total{{model="{canary}",result="failed",role="canary"}} 1.0'
    assert failed in client.get("/metrics").text


def test_a_bad_canary_or_shadow_is_not_taken(
    registry: Registry, followed: tuple[TestClient, Callable[[], None]], tmp_path: Path
) -> None:
    client, look = followed
    bad = bundle_with_other_answers(tmp_path / "bad")
    for alias in (CANARY, SHADOW):
        point(registry, alias, bad)
    look()
    assert [one["role"] for one in client.get("/v1/models").json()["models"]] == ["champion"]
    text = client.get("/metrics").text
    assert all(f'binsight_swaps_total{{result="failed",role="{role}"}} 1.0' in text for role in (CANARY, SHADOW))


def test_a_canary_that_becomes_the_champion_is_not_loaded_again(
    registry: Registry,
    followed: tuple[TestClient, Callable[[], None]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client, look = followed
    canary = point(registry, CANARY, colder(tmp_path / "canary"))
    look()
    monkeypatch.setattr("binsight.service.follow.Served.load", None)
    registry.point(CHAMPION, canary, by="ann", reason="", seen=registry.pointed(CHAMPION))
    look()
    assert {ask(client, str(number)) for number in range(8)} == {canary}


def test_the_shadow_counts_what_the_champion_counted_and_nobody_hears_it(
    registry: Registry, followed: tuple[TestClient, Callable[[], None]], tmp_path: Path
) -> None:
    client, look = followed
    shadow = point(registry, SHADOW, colder(tmp_path / "shadow"))
    look()
    assert {ask(client, str(number)) for number in range(5)} == {FIRST}
    same = f'binsight_shadow_same_total{{champion="{FIRST}",model="{shadow}"}} 5.0'
    until(lambda: same in client.get("/metrics").text)
    text = client.get("/metrics").text
    assert f'binsight_role_photos_total{{model="{shadow}",result="counted",role="shadow"}} 5.0' in text
    assert f'binsight_shadow_total_variation_sum{{champion="{FIRST}",model="{shadow}"}} 0.0' in text
    assert f'binsight_shadow_difference_count{{champion="{FIRST}",model="{shadow}"}} 5.0' in text


def counted(probs: tuple[float, ...], version: str = "b", role: str = CHAMPION) -> Counted:
    served: Any = SimpleNamespace(version=version, name=f"bins:{version}")
    return Counted(estimate=CountEstimate(photo="p", probs=probs), served=served, timing=TIMING, role=role)


def test_the_distance_of_two_answers() -> None:
    registry = CollectorRegistry()
    metrics = RoleMetrics(registry)
    metrics.compared(counted((0.1, 0.2, 0.7), "a", SHADOW), counted((0.6, 0.4)))
    metrics.compared(counted((0.1, 0.9), "a", SHADOW), counted((0.2, 0.8)))
    labels = {"model": "a", "champion": "b"}
    assert registry.get_sample_value("binsight_shadow_same_total", labels) == 1
    assert registry.get_sample_value("binsight_shadow_difference_sum", labels) == 2
    assert registry.get_sample_value("binsight_shadow_total_variation_sum", labels) == pytest.approx(0.8)
    one, other = (CountEstimate(photo="p", probs=probs) for probs in ((1.0, 0.0), (0.0, 0.0, 1.0)))
    assert (total_variation(one, other), total_variation(one, one)) == (1, 0)


def test_old_models_are_forgotten_by_the_metrics() -> None:
    registry = CollectorRegistry()
    metrics = RoleMetrics(registry)
    for number in range(3 * MOST_MODELS):
        metrics.counted(counted((0.5, 0.5), f"v{number}"), verdict="verified")
        metrics.compared(counted((1.0, 0.0), "shadow", SHADOW), counted((1.0, 0.0), f"v{number}"))
    text = {sample.labels.get("model") for metric in registry.collect() for sample in metric.samples}
    champions = {sample.labels.get("champion") for metric in registry.collect() for sample in metric.samples}
    newest = {f"v{number}" for number in range(2 * MOST_MODELS + 1, 3 * MOST_MODELS)}
    assert text - {None} == newest | {"shadow"}
    assert champions - {None} == newest


def test_a_shadow_begins_nothing_while_the_lanes_are_busy_and_drops_what_is_too_much() -> None:
    registry = CollectorRegistry()
    is_idle = Event()
    shadow = Shadow(is_idle.is_set, RoleMetrics(registry))
    served, counter = gated(default_bundle())
    counter.gate.set()
    offered = ToCompare(photo=PHOTO, counted=counted((0.0,) * 20 + (1.0,)), expected=3)
    shadow.offer(offered)
    shadow.served = served
    shadow.start()
    for _ in range(MOST_PHOTOS + 5):
        shadow.offer(offered)
    time.sleep(0.2)
    assert counter.begun == 0
    assert registry.get_sample_value("binsight_shadow_dropped_total") == 5, (
        "one offered before it was there is none"
    )
    is_idle.set()
    until(lambda: counter.begun == MOST_PHOTOS)
    shadow.stop()


def test_a_shadow_outlives_what_a_photo_does_to_it_and_stops_at_once() -> None:
    registry = CollectorRegistry()
    shadow = Shadow(lambda: True, RoleMetrics(registry))
    shadow.served = Served.load(default_bundle())
    shadow.start()
    shadow.offer(ToCompare(photo=b"no photo", counted=counted((1.0, 0.0)), expected=None))
    shadow.offer(ToCompare(photo=PHOTO, counted=counted((1.0, 0.0)), expected=None))
    labels = {"role": SHADOW, "model": FIRST}

    def photos(result: str) -> float | None:
        return registry.get_sample_value("binsight_role_photos_total", labels | {"result": result})

    until(lambda: photos("counted") == 1)
    assert photos("failed") == 1
    shadow.stop()


def test_a_canary_needs_something_to_follow() -> None:
    with pytest.raises(BadInput, match="add --follow champion"):
        make_app(chosen=some_settings(canary_share=0.1))
