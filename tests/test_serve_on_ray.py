"""`binsight serve --on ray`: the same answers as without, where a replica is killed too, and more replicas under load."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.batch_support import processes_below
from tests.bundle_support import bundle_with_other_answers
from tests.service_support import START_S, free_port, serving, until

from binsight.imaging.drawn import drawn_photo
from binsight.storage.ledger import ApiKeys, Ledger

pytest.importorskip("ray", reason="Ray is not here: pip install 'binsight[ray-serve]' -c constraints.txt")
pytest.importorskip(
    "grpc_reflection", reason="Ray Serve is not here: pip install 'binsight[ray-serve]' -c constraints.txt"
)

PHOTO = drawn_photo(3, seed=3)
BASE64 = base64.b64encode(PHOTO).decode()
JPEG, JSON, LINES = ({"content-type": kind} for kind in ("image/jpeg", "application/json", "application/jsonlines"))


class OnRay:
    """The command as a process, ready, with the log that it has written so far."""

    def __init__(self, process: "subprocess.Popen[bytes]", url: str, token: str, log: Path) -> None:
        self.process, self.url, self.token, self.log = process, url, token, log

    @property
    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, headers={"X-Api-Key": self.token})

    def replicas(self) -> list[int]:
        """Processes of the replicas, by the names that Ray gives them."""
        return processes_below(self.process.pid, "ray::ServeReplica")


@contextmanager
def on_ray(folder: Path, *options: str) -> Iterator[OnRay]:
    ledger = f"sqlite:///{folder}/ledger.db"
    keys = ApiKeys(Ledger.open(ledger))
    _, token = keys.add("test", scopes=["count", "read"], by="test")
    keys.close()
    port = free_port()
    command = [sys.executable, "-m", "binsight", "serve", "--on", "ray", "--port", str(port), "--keys", *options]
    env = {**os.environ, "BINSIGHT_LEDGER": ledger, "BINSIGHT_MAX_REQUEST_BYTES": "400000"}
    env.pop("RAY_ADDRESS", None)
    log = folder / "log"
    with log.open("wb") as file, subprocess.Popen(command, env=env, stderr=file) as process:
        try:
            end = time.monotonic() + START_S
            while "replicas answer" not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < end, "no replica gets ready"
                time.sleep(0.2)
            yield OnRay(process, f"http://127.0.0.1:{port}", token, log)
        finally:
            process.terminate()
            process.wait(90)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnRay]:
    with on_ray(tmp_path_factory.mktemp("on_ray"), "--max-replicas", "2") as served:
        yield served


@pytest.fixture(scope="module")
def local(served: OnRay) -> Iterator[httpx.Client]:
    """The same without Ray."""
    env = {"BINSIGHT_LEDGER": f"sqlite:///{served.log.parent}/ledger.db", "BINSIGHT_MAX_REQUEST_BYTES": "400000"}
    with serving("--keys", "--lanes", "1", "--only", "counting", env=env) as process, process.client as client:
        client.headers["X-Api-Key"] = served.token
        yield client


def as_json(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def as_tensor() -> bytes:
    tensor = {"name": "photo", "shape": [1], "datatype": "BYTES", "data": [BASE64]}
    return as_json(inputs=[tensor])


ASKED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "a count": ("POST", "/v1/count", {"content": PHOTO, "headers": JPEG}),
    "a form": ("POST", "/v1/count", {"files": {"photo": ("bin.jpg", PHOTO, "image/jpeg")}}),
    "a verdict": ("POST", "/v1/verify", {"content": as_json(photo=BASE64, expected=2), "headers": JSON}),
    "an invocation": (
        "POST",
        "/invocations",
        {"content": PHOTO, "headers": JPEG | {"X-Amzn-SageMaker-Inference-Id": "order 7"}},
    ),
    "several photos": (
        "POST",
        "/invocations",
        {"content": b"\n".join([as_json(photo=BASE64), as_json(photo="bm90")]), "headers": LINES},
    ),
    "the other protocol": ("POST", "/v2/models/default/infer", {"content": as_tensor(), "headers": JSON}),
    "no photo": ("POST", "/v1/count", {"content": b"none", "headers": JPEG}),
    "no JSON": ("POST", "/v1/verify", {"content": b"{", "headers": JSON}),
    "too much": ("POST", "/invocations", {"content": b"x" * 500_000, "headers": JPEG}),
    "no endpoint": ("GET", "/nowhere", {}),
    "no key": ("POST", "/v1/count", {"content": PHOTO, "headers": JPEG | {"X-Api-Key": ""}}),
    "another's key": ("POST", "/v1/count", {"content": PHOTO, "headers": JPEG | {"X-Api-Key": "bsk_1_no"}}),
    "parameters": ("GET", "/execution-parameters", {}),
    "the description": ("GET", "/openapi.json", {}),
    "ready": ("GET", "/ping", {}),
}

HEADERS = ("content-type", "x-request-id", "x-amzn-sagemaker-inference-id", "www-authenticate", "retry-after")


def said(response: httpx.Response) -> tuple[int, dict[str, str | None], Any]:
    """Status, headers and body, without the seconds that it took."""
    body = response.text
    try:
        value = [_without_timing(json.loads(line)) for line in body.splitlines()]
    except ValueError:
        value = [body]
    return response.status_code, {name: response.headers.get(name) for name in HEADERS}, value


def _without_timing(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_timing(one) for name, one in value.items() if name != "timing"}
    return [_without_timing(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("what", ASKED)
def test_the_same_is_answered_as_without_ray(served: OnRay, local: httpx.Client, what: str) -> None:
    method, path, sent = ASKED[what]
    headers = {"X-Request-Id": "the-same", **sent.get("headers", {})}
    with served.client as client:
        on_ray, here = (one.request(method, path, **{**sent, "headers": headers}) for one in (client, local))
    assert said(on_ray) == said(here)
    assert here.status_code < 500


def test_a_full_queue_is_refused_in_the_services_own_words(served: OnRay) -> None:
    """And with its own Retry-After: not kept waiting in Ray's proxy, and not refused by that."""
    with served.client as client, ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda _: client.post("/v1/count", content=PHOTO, headers=JPEG), range(60)))
    assert {answer.status_code for answer in answers} == {200, 503}
    refused = [answer for answer in answers if answer.status_code == 503]
    assert {answer.json()["error"]["code"] for answer in refused} == {"overloaded"}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)


def test_a_killed_replica_costs_its_own_requests_and_comes_back(served: OnRay) -> None:
    """Those that came while it was away wait for the next one."""
    num_clients, over, failed, counted = 2, threading.Event(), list[str](), list[float]()

    def ask() -> None:
        with served.client as client:
            while not over.is_set():
                try:
                    answer = client.post("/v1/count", content=PHOTO, headers=JPEG)
                    if answer.status_code == 200:
                        counted.append(time.monotonic())
                    else:
                        failed.append(f"{answer.status_code} {answer.text}")
                except httpx.TransportError as error:
                    failed.append(repr(error))

    before = served.replicas()
    asking = [threading.Thread(target=ask) for _ in range(num_clients)]
    for thread in asking:
        thread.start()
    try:
        until(lambda: len(counted) > 4)
        for replica in before:
            os.kill(replica, signal.SIGKILL)
        killed = time.monotonic()
        until(lambda: counted[-1] > killed + 1)
    finally:
        over.set()
        for thread in asking:
            thread.join()
    assert len(failed) <= num_clients, failed
    assert all(one.startswith("500 ") for one in failed), failed
    assert set(served.replicas()).isdisjoint(before)


@pytest.mark.slow
def test_there_are_more_replicas_where_more_is_asked(served: OnRay) -> None:
    assert len(served.replicas()) == 1
    over = threading.Event()

    def ask() -> None:
        with served.client as client:
            while not over.is_set():
                client.post("/v1/count", content=PHOTO, headers=JPEG)

    asking = [threading.Thread(target=ask) for _ in range(6)]
    for thread in asking:
        thread.start()
    try:
        until(lambda: len(served.replicas()) == 2)
    finally:
        over.set()
        for thread in asking:
            thread.join()


@pytest.mark.slow
def test_sigterm_lets_requests_under_way_be_finished(tmp_path: Path) -> None:
    with on_ray(tmp_path) as served, served.client as client, ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(client.post, "/v1/count", content=PHOTO, headers=JPEG) for _ in range(4)]
        time.sleep(0.05)  # on their way, and not all answered
        served.process.send_signal(signal.SIGTERM)
        answers = [request.result(60) for request in asked]
        assert served.process.wait(60) == 0
    assert {answer.status_code for answer in answers} == {200}
    assert "nanobind" not in served.log.read_text(), "the process ends without complaints of libraries"


@pytest.mark.slow
def test_a_bundle_that_cannot_be_taken_into_service_ends_the_command_with_the_reason(tmp_path: Path) -> None:
    bundle = bundle_with_other_answers(tmp_path / "bundle")
    command = [sys.executable, "-m", "binsight", "serve", "--on", "ray", "--port", str(free_port())]
    ended = subprocess.run(
        [*command, "--model", str(bundle)], capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 1
    assert "error: no replica gets ready (" in ended.stderr
    assert "must get its recorded answer" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_that_is_taken_is_named(served: OnRay) -> None:
    """Ray itself would share it with the other, and each would have half of the requests."""
    port = served.url.rpartition(":")[2]
    command = [sys.executable, "-m", "binsight", "serve", "--on", "ray", "--port", port]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1
    assert f"127.0.0.1:{port} cannot be listened at" in ended.stderr
