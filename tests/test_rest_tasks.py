"""Tasks for programs over the service's API: read, given out, and counted by a stock system's people."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from tests.tasks_support import a_line, an_audit

from binsight.console import add_console
from binsight.service.app import make_app
from binsight.settings import Settings
from binsight.storage.ledger import ApiKeys, Audit, AuditLineRow, Audits, FoundBy, Ledger, TaskRows, prove
from binsight.storage.ledger.tasks import record_of

LINES = [a_line(place) for place in range(1, 5)]


@pytest.fixture
def chosen(tmp_path: Path) -> Settings:
    return Settings(ledger=f"sqlite:///{tmp_path}/ledger.db")


@pytest.fixture
def ledger(chosen: Settings) -> Iterator[Ledger]:
    opened = Ledger.open(chosen.ledger)
    yield opened
    opened.close()


@pytest.fixture
def audit(ledger: Ledger) -> Audit:
    return an_audit(ledger, LINES)


def an_app(chosen: Settings, *, keys: bool | None = None) -> FastAPI:
    app = make_app(chosen=chosen, keys=keys)
    add_console(app, address="http://here")
    return app


def a_key(ledger: Ledger, scope: str = "tasks") -> dict[str, str]:
    """A new key, as it is sent."""
    return {"X-Api-Key": ApiKeys(ledger).add("wms", scopes=[scope], by="ann")[1]}


@pytest.fixture
def client(chosen: Settings, audit: Audit, ledger: Ledger) -> TestClient:
    """Another system, with its key, at a service that asks nobody on this machine for one to count photos."""
    return TestClient(an_app(chosen), raise_server_exceptions=False, headers=a_key(ledger))


def send(client: TestClient, task: str, counted: int, by: str, key: str = "") -> dict[str, object]:
    sent = {"counted": counted, "by": by}
    answer = client.post(f"/v1/tasks/{task}/counts", json=sent, headers={"Idempotency-Key": key or f"{by}-{task}"})
    return {"status": answer.status_code, **answer.json()}


def test_tasks_are_read_page_by_page(client: TestClient) -> None:
    first = client.get("/v1/tasks", params={"state": "count", "most": 3}).json()
    rest = client.get("/v1/tasks", params={"state": "count", "most": 3, "after": first["next"]}).json()
    assert [one["bin_id"] for one in first["tasks"] + rest["tasks"]] == [line.bin_id for line in LINES]
    assert rest["next"] is None
    wrong = client.get("/v1/tasks", params={"after": "page 2"})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "bad_input"), wrong.text


def test_two_people_of_another_system_settle_a_bin(client: TestClient, ledger: Ledger) -> None:
    task = client.get("/v1/tasks").json()["tasks"][0]["id"]
    assert send(client, task, 4, "ben")["state"] == "recount"
    assert send(client, task, 4, "ben", key="another key")["status"] == 409, "the same person does not recount"
    after = send(client, task, 4, "cat")
    assert (after["state"], after["quantity"], after["was_there"]) == ("confirmed", 4, False)
    detail = client.get(f"/v1/tasks/{task}").json()
    assert [one["by"] for one in detail["counts"]] == ["wms/ben", "wms/cat"]
    assert prove(ledger).broken is None


def test_a_count_that_is_sent_again_counts_once(client: TestClient) -> None:
    task = client.get("/v1/tasks").json()["tasks"][0]["id"]
    assert not send(client, task, 4, "ben")["was_there"]
    assert send(client, task, 4, "ben")["was_there"]
    assert len(client.get(f"/v1/tasks/{task}").json()["counts"]) == 1
    assert send(client, task, 5, "ben")["status"] == 409


def audited(ledger: Ledger, *lines: AuditLineRow) -> Audit:
    """An audit of these lines without tasks."""
    kept = Audits(ledger)
    made = kept.begin(model="m:1", certificate_sha256=None, terms={}, by="ann")
    kept.add(made, lines, [FoundBy(site=record_of(line)["site"], aisle="A", value_off=None) for line in lines])
    kept.end(made, {})
    return made


def test_bins_are_given_out_once(client: TestClient, ledger: Ledger) -> None:
    wanted = {"audit": audited(ledger, *LINES).id, "bins": ["A-0001", "A-0002", "nowhere"]}
    assert client.post("/v1/tasks", json=wanted).json() == {
        "created": 2, "there_already": 0, "unknown": ["nowhere"],
    }  # fmt: skip
    assert client.post("/v1/tasks", json=wanted).json()["there_already"] == 2


def test_a_bin_that_waits_for_a_recount_is_there_already(client: TestClient, ledger: Ledger) -> None:
    send(client, client.get("/v1/tasks").json()["tasks"][0]["id"], 4, "ben")
    wanted = {"audit": audited(ledger, *LINES).id, "bins": ["A-0001", "A-0002"]}
    assert client.post("/v1/tasks", json=wanted).json() == {"created": 1, "there_already": 1, "unknown": []}


def test_bins_of_one_name_are_given_out_at_the_site_that_is_named(client: TestClient, ledger: Ledger) -> None:
    called_alike = [replace(a_line(place, site=f"DC{place}"), bin_id="B-01") for place in (1, 2, 3)]
    wanted = {"audit": audited(ledger, *called_alike).id, "bins": ["B-01"]}
    for site, numbers in (("DC2", (1, 0, [])), ("DC2", (0, 1, [])), ("DC9", (0, 0, ["B-01"])), (None, (2, 1, []))):
        said = client.post("/v1/tasks", json=wanted | {"site": site}).json()
        assert (said["created"], said["there_already"], said["unknown"]) == numbers, site
    tasks = client.get("/v1/tasks", params={"audit": wanted["audit"]}).json()["tasks"]
    assert [task["site"] for task in tasks] == ["DC2", "DC1", "DC3"]


def test_a_request_that_is_wrong_gets_the_one_error_shape(client: TestClient) -> None:
    task = client.get("/v1/tasks").json()["tasks"][0]["id"]
    answer = client.post(f"/v1/tasks/{task}/counts", json={"counted": -1, "by": "ben"})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == "bad_input"
    assert "body.counted" in error["message"]
    assert "header.idempotency-key" in error["message"]
    assert send(client, "no-such-task", 1, "ben")["status"] == 404


def test_a_key_must_be_for_tasks(chosen: Settings, audit: Audit, ledger: Ledger) -> None:
    sent = {scope: a_key(ledger, scope) for scope in ("tasks", "count")}
    with TestClient(an_app(chosen, keys=True)) as client:
        while client.get("/ping").status_code != 200:
            pass
        answers = {scope: client.get("/v1/tasks", headers=key) for scope, key in sent.items()}
        assert {scope: answer.status_code for scope, answer in answers.items()} == {"tasks": 200, "count": 403}
        assert "binsight keys add NAME --scope tasks" in answers["count"].json()["error"]["mend"]
        assert client.get("/v1/tasks").status_code == 401
        page = client.get("/console/", follow_redirects=False)
        assert (page.status_code, page.headers["location"]) == (303, "/console/sign-in?to=%2F"), (
            "the console asks for people"
        )


def test_a_service_that_is_open_to_this_machine_still_asks_for_a_key_to_tasks(
    chosen: Settings, audit: Audit, ledger: Ledger
) -> None:
    """A proxy on this machine comes from here too, and so does the browser of somebody who counts."""
    client = TestClient(an_app(chosen), raise_server_exceptions=False, follow_redirects=False)
    task = TaskRows(ledger).find()[0].id
    through_a_proxy = {"Host": "bins.example.com", "X-Forwarded-For": "203.0.113.9"}
    for path in ("/v1/tasks", "/v1/tasks/", f"/v1/tasks/{task}", f"/v1/%74asks/{task}", "/v1/tasks/nowhere/at/all"):
        for headers in ({}, through_a_proxy, {"X-Api-Key": "bsk_wrong"}):
            answer = client.get(path, headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unknown_caller"), path
    assert "binsight keys add NAME --scope tasks" in client.get("/v1/tasks").json()["error"]["mend"]
    assert send(client, task, 3, "a stranger")["status"] == 401
    assert client.post("/v1/tasks", content=b"{").status_code == 401, "before anything is read"
    assert not TaskRows(ledger).detail(task).counts
    key = a_key(ledger)
    client.app.state.known_keys.step()  # type: ignore[attr-defined]
    assert client.get("/v1/tasks", headers=key).status_code == 200
    for path, status in (("/v1/models", 503), ("/openapi.json", 200), ("/console/", 303)):
        assert client.get(path).status_code == status, f"{path} asks for no key"


def test_tasks_are_open_where_it_is_said_so(chosen: Settings, audit: Audit, ledger: Ledger) -> None:
    said = chosen.model_copy(update={"access": "open"})
    client = TestClient(an_app(said), raise_server_exceptions=False)
    task = client.get("/v1/tasks").json()["tasks"][0]["id"]
    send(client, task, 4, "ben")
    assert [one.user for one in TaskRows(ledger).detail(task).counts] == ["anybody/ben"]


def test_without_its_ledger_a_service_says_so_at_tasks_and_counts(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"this is no database, however long one looks at it" * 100)
    client = TestClient(an_app(Settings(ledger=f"sqlite:///{tmp_path}/ledger.db")), raise_server_exceptions=False)
    answer = client.get("/v1/tasks", headers={"X-Api-Key": "bsk_any"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "storage_failed")
    assert client.get("/v1/models").json()["error"]["code"] == "not_ready", "which only waits for its bundle"


def test_the_description_has_the_tasks_too(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/v1/count", "/v1/tasks", "/v1/tasks/{task_id}/counts"} <= set(paths)
