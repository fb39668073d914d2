"""A replica of the service on Ray Serve, without Ray: what it is made of, when it is ready, what Ray is told of it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from pydantic import ValidationError
from tests.bundle_support import bundle_with_other_answers
from tests.service_support import some_settings

from binsight.cli import cli
from binsight.engines.ray.serving import Options, Replica, deployment_options
from binsight.errors import BadInput, GateFailed, NotReady
from binsight.imaging.drawn import drawn_photo
from binsight.service.lanes import Lanes
from binsight.service.served import MAX_BATCH
from binsight.settings import settings

PHOTO = drawn_photo(3, seed=3)
JPEG = {"content-type": "image/jpeg"}


@pytest.fixture(autouse=True)
def _logs_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A replica is a process of its own, and sets its logging up."""
    monkeypatch.setattr("binsight.engines.ray.serving.log_to_stderr", lambda as_json: None)
    yield
    settings.cache_clear()


async def end(app: Any) -> None:
    """Begin and end it as Ray does."""
    events = iter(["startup", "shutdown"])
    said: list[str] = []

    async def receive() -> dict[str, str]:
        return {"type": f"lifespan.{next(events)}"}

    async def send(message: dict[str, str]) -> None:
        said.append(message["type"])

    await app({"type": "lifespan"}, receive, send)
    assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def client_of(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://replica")


def test_a_replica_is_ready_only_once_it_is_warm_and_answers_what_it_took_before_it_ends() -> None:
    async def life() -> None:
        replica = Replica(Options(keys=False))
        app = await replica.__serve_build_asgi_app__()
        await replica.check_health()
        async with client_of(app) as client:
            assert (await client.get("/ping")).status_code == 200, "the first request finds it ready"
            asked = [asyncio.create_task(client.post("/v1/count", content=PHOTO, headers=JPEG)) for _ in range(3)]
            answers = await asyncio.gather(*asked)
            assert [answer.status_code for answer in answers] == [200] * 3
            await end(app)
            with pytest.raises(NotReady):
                await replica.check_health()
            assert (await client.get("/ping")).status_code == 503

    asyncio.run(life())


def test_a_replica_that_cannot_start_says_why(tmp_path: Path) -> None:
    bundle = bundle_with_other_answers(tmp_path / "bundle")
    with pytest.raises(GateFailed, match="must get its recorded answer"):
        asyncio.run(Replica(Options(model=bundle, keys=False)).__serve_build_asgi_app__())


def test_a_replica_whose_config_says_nothing_of_keys_lets_nobody_in_by_accident(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a cluster the proxies listen at every address."""
    monkeypatch.setenv("BINSIGHT_LEDGER", f"sqlite:///{tmp_path}/ledger.db")
    settings.cache_clear()
    with pytest.raises(BadInput, match="there is no key yet"):
        asyncio.run(Replica(Options()).__serve_build_asgi_app__())


def test_the_id_is_left_to_ray_s_proxy_which_adds_it_itself() -> None:
    async def ids() -> tuple[httpx.Headers, str]:
        replica = Replica(Options(keys=False))
        app = await replica.__serve_build_asgi_app__()
        async with client_of(app) as client:
            answer = await client.post("/v1/count", content=PHOTO, headers=JPEG | {"X-Request-Id": "mine"})
        await end(app)
        return answer.headers, answer.json()["request_id"]

    headers, said = asyncio.run(ids())
    assert "x-request-id" not in headers
    assert said == "mine"


def test_a_request_that_ray_ends_because_its_client_left_is_no_failure_of_the_service() -> None:
    """And takes no lane: failures of requests decide whether a new model stays."""

    async def life() -> tuple[str, float]:
        replica = Replica(Options(keys=False))
        app = await replica.__serve_build_asgi_app__()
        async with client_of(app) as client:
            asked = [asyncio.create_task(client.post("/v1/count", content=PHOTO, headers=JPEG)) for _ in range(5)]
            while replica._app.state.lanes.num_waiting < 2:
                await asyncio.sleep(0.001)
            for request in asked[1:]:
                request.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
            figures = (await client.get("/metrics")).text
        await end(app)
        return figures, replica._app.state.metrics.num_requests()[1]

    figures, failed = asyncio.run(life())
    assert 'binsight_requests_total{endpoint="/v1/count",status="499"}' in figures
    assert failed == 0


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("wait_s", [None, 60])
def test_a_full_queue_is_refused_by_the_service_and_not_kept_by_ray(lanes: int, wait_s: float | None) -> None:
    """All that the lanes and the queue hold, and once more as many that are being refused, reach the replica."""
    chosen = some_settings(queue_wait_s=wait_s)
    at_once = deployment_options(Options(lanes=lanes), chosen)["max_ongoing_requests"]
    held = lanes * MAX_BATCH + chosen.queue_photos
    assert at_once >= 2 * held


def test_more_replicas_are_wanted_before_the_queue_is_full() -> None:
    """Else those who are refused would be all that there is to see."""
    for lanes in (1, 2, 8):
        scaled_for = deployment_options(Options(lanes=lanes), some_settings())["autoscaling_config"]
        most_ahead = Lanes(None, num_lanes=lanes)._most_ahead  # type: ignore[arg-type]
        assert scaled_for["target_ongoing_requests"] < lanes * MAX_BATCH + most_ahead
        assert scaled_for["target_ongoing_requests"] >= lanes, (
            "a lane without work is no reason for another replica"
        )


def test_ray_waits_longer_than_the_service_takes_to_end() -> None:
    chosen = some_settings(drain_within_s=40)
    assert deployment_options(Options(), chosen)["graceful_shutdown_timeout_s"] > 40


@pytest.mark.parametrize("wrong", [{"max_replicas": 1, "min_replicas": 2}, {"replicas": 3}, {"lanes": 0}])
def test_a_config_that_means_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Options(**wrong)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--max-replicas 2", "need --on ray"),
        ("--on ray --min-replicas 3 --max-replicas 2", "--max-replicas must be at least 3"),
        ("--on ray --canary-share 0.1", "add --follow champion"),
        ("--on ray --model a --follow champion", "exclude each other"),
        ("--on ray --tls-cert a", "give both"),
        ("--on ray --host 0.0.0.0", "there is no key yet"),
    ],
)
def test_what_cannot_be_served_is_said_before_anything_starts(
    words: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BINSIGHT_LEDGER", f"sqlite:///{tmp_path}/ledger.db")
    settings.cache_clear()
    monkeypatch.setattr("binsight.cli.options.find_spec", lambda module: True)
    monkeypatch.setattr("binsight.engines.ray.serve_app.cluster", lambda address: pytest.fail("it started"))
    result = CliRunner().invoke(cli, ["serve", *words.split()])
    assert isinstance(result.exception, BadInput), result.exception
    assert complaint in str(result.exception)


def test_serving_on_ray_needs_its_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("binsight.cli.options.find_spec", lambda module: None if "grpc" in module else True)
    result = CliRunner().invoke(cli, ["serve", "--on", "ray"])
    assert "pip install 'binsight[ray-serve]'" in str(result.exception)
