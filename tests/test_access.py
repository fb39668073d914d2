"""Who may ask: keys, scopes, rates; a ledger that is lost; what is open to everybody."""

import json
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from tests.service_support import client_of, some_settings

from binsight.errors import BadInput, NotReady, StorageFailure, TooMany, UnknownCaller
from binsight.imaging.drawn import drawn_photo
from binsight.service import keys as keys_module
from binsight.service.access import OPEN_PATHS, demands_keys
from binsight.service.addresses import is_loopback
from binsight.service.app import make_app
from binsight.service.keys import KNOWN_FOR_S, KnownKeys
from binsight.service.rates import Rates
from binsight.storage.api_key import ApiKey, Rate
from binsight.storage.ledger import ApiKeys, Ledger

PHOTO = drawn_photo(3, seed=3)
JPEG = {"content-type": "image/jpeg"}
PAIRS = json.dumps({"photos": [{"photo": "aaaa"}] * 2}).encode()
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('ledger')}/ledger.db"


@pytest.fixture(scope="module")
def keys(ledger: str) -> Iterator[ApiKeys]:
    keys = ApiKeys(Ledger.open(ledger))
    yield keys
    keys.close()


@pytest.fixture(scope="module")
def app(ledger: str) -> FastAPI:
    app = make_app(chosen=some_settings(ledger=ledger, access="keys"))

    @app.get("/forgotten")
    async def forgotten() -> str:
        return "an endpoint that does not say what it needs"

    return app


@pytest.fixture(scope="module")
def client(app: FastAPI) -> Iterator[TestClient]:
    with client_of(app) as client:
        yield client


def new_key(app: FastAPI, keys: ApiKeys, **values: Any) -> tuple[ApiKey, dict[str, str]]:
    """A key that the service knows, and the headers that send it."""
    key, token = keys.add("a test's", **{"scopes": ["count"], "by": "ann"} | values)
    app.state.known_keys.step()
    return key, {"X-Api-Key": token}


def test_nobody_gets_in_without_a_key_and_everybody_sees_whether_it_runs(client: TestClient) -> None:
    for path in ("/invocations", "/v1/count", "/v1/verify", "/v2/models/default/infer"):
        response = client.post(path, content=PHOTO, headers=JPEG)
        assert response.status_code == 401, path
        assert response.headers["www-authenticate"] == 'Bearer realm="binsight"'
        assert response.headers["x-request-id"]
    for path in (
        "/v1/models",
        "/v2",
        "/metrics",
        "/execution-parameters",
        "/forgotten",
        "/nowhere",
        "/ping/",
        "//ping",
    ):
        assert client.get(path).status_code == 401, path
    assert {path: client.get(path).status_code for path in OPEN_PATHS} == dict.fromkeys(OPEN_PATHS, 200)
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/anything"):
        pass


def test_every_endpoint_says_what_it_needs_or_is_open(app: FastAPI) -> None:
    """The first step keeps strangers out of one that does not; this keeps it from being forgotten."""
    said = {}
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            said[f"{method} {path}"] = operation.get("security")
    without = {name.split()[1] for name, security in said.items() if not security}
    assert without == {"/ping", "/v2/health/live", "/v2/health/ready", "/forgotten"}
    assert said["post /v1/count"] == [{"Bearer": ["count"]}, {"ApiKey": ["count"]}]
    assert said["get /v1/models"] == [{"Bearer": ["read"]}, {"ApiKey": ["read"]}]
    schemes = app.openapi()["components"]["securitySchemes"]
    assert (schemes["Bearer"]["scheme"], schemes["ApiKey"]["name"]) == ("bearer", "X-Api-Key")


def test_a_key_opens_what_its_scopes_say(client: TestClient, app: FastAPI, keys: ApiKeys) -> None:
    allowed = {"count": [200, 403], "read": [403, 200], "admin": [200, 200]}
    for scope, statuses in allowed.items():
        _, sent = new_key(app, keys, scopes=[scope])
        as_bearer = {"Authorization": f"bearer {sent['X-Api-Key']}"}
        for header in (sent, as_bearer):
            counted = client.post("/v1/count", content=PHOTO, headers=JPEG | header)
            read = client.get("/v1/models", headers=header)
            assert [counted.status_code, read.status_code] == statuses, scope
        for refused in (one for one in (counted, read) if one.status_code == 403):
            assert refused.json()["error"]["code"] == "not_allowed"
            assert f"the one sent is for {scope}" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    "change",
    [
        lambda token: "",
        lambda token: "bsk_",
        lambda token: token[:-1] + ("0" if token[-1] != "0" else "1"),
        lambda token: token[:4] + "0" * 12 + token[16:],
        lambda token: token.upper(),
        lambda token: token + "0",
        lambda token: "é" * 80,
    ],
)
def test_a_key_that_is_nearly_right_opens_nothing(
    client: TestClient, app: FastAPI, keys: ApiKeys, change: Any
) -> None:
    _, sent = new_key(app, keys)
    given = change(sent["X-Api-Key"]).encode()
    assert client.get("/forgotten", headers={"X-Api-Key": given}).status_code == 401
    assert client.get("/forgotten", headers={"Authorization": b"Bearer " + given}).status_code == 401
    assert client.get("/forgotten", headers={"Authorization": "Basic " + sent["X-Api-Key"]}).status_code == 401
    assert client.get("/forgotten", headers=sent).status_code == 200


def test_a_revocation_and_a_rotation_hold_from_the_next_look(
    client: TestClient, app: FastAPI, keys: ApiKeys
) -> None:
    key, sent = new_key(app, keys)
    keys.rotate(key.id, by="ann", old_until=datetime.now(UTC) + timedelta(hours=1))
    app.state.known_keys.step()
    assert client.get("/forgotten", headers=sent).status_code == 200
    keys.revoke(key.id, by="ann")
    app.state.known_keys.step()
    assert client.get("/forgotten", headers=sent).status_code == 401


def test_what_a_key_did_can_be_found_in_the_log(
    client: TestClient, app: FastAPI, keys: ApiKeys, caplog: pytest.LogCaptureFixture
) -> None:
    key, sent = new_key(app, keys)
    with caplog.at_level(logging.INFO):
        client.get("/forgotten", headers=sent)
    (record,) = [record for record in caplog.records if getattr(record, "endpoint", "") == "/forgotten"]
    assert (record.key, record.client) == (key.id, "testclient")  # type: ignore[attr-defined]
    assert sent["X-Api-Key"] not in caplog.text


def test_a_rate_counts_photos_and_says_when_to_come_back(client: TestClient, app: FastAPI, keys: ApiKeys) -> None:
    _, sent = new_key(app, keys, scopes=["count", "read"], rate=Rate(photos_per_second=0.01, burst_photos=3))
    _, other = new_key(app, keys)
    pair = {"content-type": "application/json"}

    def ask(headers: dict[str, str], content: bytes = PAIRS) -> Any:
        return client.post("/v1/count", content=content, headers=pair | headers)

    assert ask(sent).status_code == 200
    second = ask(sent)
    assert (second.status_code, second.json()["error"]["code"]) == (429, "too_many")
    assert 90 <= int(second.headers["retry-after"]) <= 100
    assert client.post("/v1/count", content=PHOTO, headers=JPEG | sent).status_code == 200, "one is left"
    assert client.post("/v1/count", content=PHOTO, headers=JPEG | sent).status_code == 429
    assert client.get("/v1/models", headers=sent).status_code == 200, "reading is no photo"
    assert ask(other).status_code == 200


def test_an_empty_bucket_refuses_before_the_body_is_read(client: TestClient, app: FastAPI, keys: ApiKeys) -> None:
    _, sent = new_key(app, keys, rate=Rate(photos_per_second=0.01, burst_photos=1))
    assert client.post("/v1/count", content=PHOTO, headers=JPEG | sent).status_code == 200
    broken = client.post("/v1/count", content=b"{", headers={"content-type": "application/json"} | sent)
    assert broken.status_code == 429


def test_metrics_are_open_where_the_settings_say_so() -> None:
    app = make_app(chosen=some_settings(open_metrics=True), keys=True)
    with TestClient(app) as client:
        assert client.get("/metrics").status_code == 200
        assert client.get("/v2").status_code in (401, 503)


def test_a_bucket_fills_by_its_rate_and_a_large_request_waits_for_a_full_one() -> None:
    now = [0.0]
    rates = Rates(clock=lambda: now[0])
    key = a_key(Rate(photos_per_second=2, burst_photos=10))
    rates.take(key, 10)
    for photos, wait in ((1, 1), (2, 1), (10, 5), (32, 5)):
        with pytest.raises(TooMany) as refused:
            rates.ask(key, photos)
        assert refused.value.retry_after == wait
    now[0] = 5.0
    rates.take(key, 32)
    now[0] = 15.0
    with pytest.raises(TooMany):
        rates.ask(key)
    now[0] = 16.6
    rates.take(key, 1)
    with pytest.raises(TooMany):
        rates.ask(key)
    rates.take(a_key(None), 10**9)


def test_buckets_of_keys_that_rest_are_forgotten() -> None:
    now = [0.0]
    rates = Rates(clock=lambda: now[0])
    for number in range(5000):
        now[0] += 0.5
        rates.take(a_key(Rate(photos_per_second=1, burst_photos=2), f"{number:012}"), 1)
    assert len(rates._full_at) <= 1025


def a_key(rate: Rate | None, key_id: str = "0" * 12) -> ApiKey:
    return ApiKey(id=key_id, name="a", scopes=("count",), rate=rate, secret_hash="", created_at="", created_by="")


@pytest.fixture
def known(tmp_path: Path) -> Iterator[tuple[KnownKeys, ApiKeys, list[float]]]:
    """The service's view of a ledger, the ledger, and the view's clock in seconds."""
    keys, now = ApiKeys(Ledger.open(f"sqlite:///{tmp_path}/ledger.db")), [0.0]
    yield KnownKeys(keys, clock=lambda: now[0]), keys, now
    keys.close()


def test_a_lost_ledger_neither_opens_the_door_nor_closes_it_at_once(
    known: tuple[KnownKeys, ApiKeys, list[float]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    view, keys, now = known
    _, token = keys.add("a", scopes=["count"], by="ann")
    view.step()

    def lost(_: object) -> None:
        raise StorageFailure("the ledger failed; start the database")

    monkeypatch.setattr(ApiKeys, "not_revoked", lost)
    for now[0] in (2.0, 4.0, KNOWN_FOR_S):
        view.step()
        assert view.opened_by(token).name == "a"
        with pytest.raises(UnknownCaller):
            view.opened_by("bsk_" + "0" * 12 + "_" + "0" * 64)
    assert caplog.text.count("cannot be looked up") == 1
    now[0] = KNOWN_FOR_S + 1.0
    with pytest.raises(NotReady, match="cannot be checked"):
        view.opened_by(token)
    monkeypatch.undo()
    view.step()
    assert view.opened_by(token).name == "a"


def test_an_expired_key_opens_no_more_without_any_look(
    known: tuple[KnownKeys, ApiKeys, list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    view, keys, _ = known
    key, token = keys.add("a", scopes=["count"], by="ann", expires_at=NOW + timedelta(days=1))
    view.step()
    view.opened_by(token)

    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return NOW + timedelta(days=1)

    monkeypatch.setattr(keys_module, "datetime", Tomorrow)
    with pytest.raises(UnknownCaller, match=re.escape(f"expired at {key.expires_at}")):
        view.opened_by(token)


def test_a_last_use_is_noted_once_a_minute(
    known: tuple[KnownKeys, ApiKeys, list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    view, keys, now = known
    writes = []
    note = ApiKeys.note_uses
    monkeypatch.setattr(ApiKeys, "note_uses", lambda self, used: (writes.append(used), note(self, used)))
    _, token = keys.add("a", scopes=["count"], by="ann")
    view.step()
    for now[0] in range(0, 181, 2):
        for _ in range(5):
            view.opened_by(token)
        view.step()
    assert len(writes) == 3
    assert keys.all()[0].last_used_at is not None


@pytest.mark.parametrize(
    ("host", "access", "has_keys", "demanded"),
    [
        ("127.0.0.1", None, True, False),
        ("127.0.0.1", "keys", False, True),
        ("0.0.0.0", None, True, True),
        ("0.0.0.0", "open", True, False),
        ("10.0.0.5", "keys", False, True),
    ],
)
def test_keys_are_demanded_wherever_others_can_reach_the_service(
    host: str, access: str | None, has_keys: bool, demanded: bool
) -> None:
    assert demands_keys(host=host, access=access, has_keys=lambda: has_keys) is demanded


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "", "bins.example.com", "localhost.example.com"])
def test_a_service_that_others_can_reach_does_not_begin_without_keys(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(BadInput, match="binsight keys add NAME"):
        demands_keys(host=host, access=None, has_keys=lambda: False)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_this_machine_alone_is_loopback(host: str) -> None:
    assert is_loopback(host)
