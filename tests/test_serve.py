"""`binsight serve` as the process that it is: starting, ending, refusing."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from tests.bundle_support import bundle_with_other_answers
from tests.service_support import serving

from binsight.counting import default_bundle
from binsight.imaging.drawn import drawn_photo

PHOTO = drawn_photo(3, seed=3)
JPEG = {"content-type": "image/jpeg"}


def serve(*options: str) -> "subprocess.CompletedProcess[str]":
    """A service that is expected to end by itself."""
    command = [sys.executable, "-m", "binsight", "serve", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_sigterm_lets_requests_under_way_be_finished() -> None:
    patient = {"BINSIGHT_QUEUE_WAIT_S": "60"}  # so that what is answered first was counted
    with serving("--lanes", "1", env=patient) as served, served.client as client, ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(client.post, "/invocations", content=PHOTO, headers=JPEG) for _ in range(12)]
        while not any(request.done() for request in asked):
            time.sleep(0.005)
        served.process.send_signal(signal.SIGTERM)
        answers = [request.result(60) for request in asked]
        assert served.process.wait(60) == 0
    finished = [answer for answer in answers if answer.status_code == 200]
    assert len(finished) >= 2, "not only the one that was done before"
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert all("count" in answer.json() for answer in finished)


def test_a_time_to_end_of_less_than_a_second_is_no_time_without_end() -> None:
    with serving("--lanes", "1", "--only", "counting", env={"BINSIGHT_DRAIN_WITHIN_S": "0.5"}) as served:
        host, _, port = served.url.removeprefix("http://").partition(":")
        head = b"POST /v1/count HTTP/1.1\r\nHost: b\r\nContent-Type: image/jpeg\r\nContent-Length: 9\r\n\r\nx"
        with socket.create_connection((host, int(port))) as slow:
            slow.sendall(head)
            time.sleep(0.5)
            served.process.send_signal(signal.SIGTERM)
            assert served.process.wait(8) == 0, "or it would wait until the body is given up"


def test_each_request_is_a_json_line_on_standard_error() -> None:
    with serving("--json") as served, served.client as client:
        sent = client.post("/invocations", content=PHOTO, headers=JPEG)
        served.process.send_signal(signal.SIGTERM)
        assert served.process.stderr is not None
        lines = [json.loads(line) for line in served.process.stderr]
    (line,) = [line for line in lines if line.get("endpoint") == "/invocations"]
    assert (line["request_id"], line["status"], line["method"]) == (sent.headers["x-request-id"], 200, "POST")
    assert 0 < line["seconds"] < 60
    assert any("is ready after" in line["message"] for line in lines)


def test_new_connections_are_refused_once_it_ends() -> None:
    with serving() as served:
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(60) == 0
        try:
            httpx.get(f"{served.url}/ping")
        except httpx.TransportError:
            pass
        else:
            raise AssertionError("something answers still")


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = serve("--port", str(port))
    assert ended.returncode == 1
    assert f"127.0.0.1:{port} cannot be listened at" in ended.stderr


def test_a_damaged_bundle_is_named_before_anything_listens(tmp_path: Path) -> None:
    bundle = shutil.copytree(default_bundle(), tmp_path / "bundle")
    with (bundle / "model.onnx").open("ab") as file:
        file.write(b"x")
    ended = serve("--port", "0", "--model", str(bundle))
    assert ended.returncode == 1
    assert "must have the checksum" in ended.stderr


def test_a_bundle_that_gives_other_answers_than_it_should_is_not_taken_into_service(tmp_path: Path) -> None:
    bundle = bundle_with_other_answers(tmp_path / "bundle")
    ended = serve("--port", "0", "--model", str(bundle))
    assert ended.returncode == 1
    assert "must get its recorded answer" in ended.stderr
