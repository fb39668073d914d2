"""What is made of the peers' figures, what they must answer to be measured, and what a plain export of them is."""

import ast
import json
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
from bench import peers
from bench.load import Target
from bench.peers import OURS, PEERS, ROOT, Measured, check_same, counts, summary
from bench.plain import plain_bundle

from binsight.counting import Bundle, Counter, default_bundle
from binsight.imaging.drawn import drawn_photo


def runs(per_second: float, p99_ms: float, num_failed: int = 0) -> list[Measured]:
    return [Measured(per_second=per_second, p99_ms=p99_ms, num_failed=num_failed)]


def test_ours_must_be_ahead_of_the_best_peer_no_later_than_any_and_fail_nobody() -> None:
    others = {"a": runs(50, 40), "b": runs(30, 20)}
    assert summary({OURS: runs(60, 20), **others}, 1.0) | {"servers": 0} == {
        "servers": 0,
        "ratio": 1.2,
        "met": True,
    }
    assert not summary({OURS: runs(60, 21), **others}, 1.0)["met"]
    assert not summary({OURS: runs(60, 20), **others}, 2.0)["met"]
    assert not summary({OURS: runs(60, 20, num_failed=1), **others}, 1.0)["met"]


@contextmanager
def answering(status: int, answer: object, *, wants_a_list: bool = False) -> Iterator[str]:
    """A server with one answer to every photo; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["photo"]
            body = json.dumps(answer).encode()
            self.send_response(400 if wants_a_list and not isinstance(asked, list) else status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("answer", [{"probs": [0.25, 0.75]}, [[0.25, 0.75]]], ids=["an object", "a list of one"])
def test_a_server_that_answers_something_else_is_not_measured(answer: object) -> None:
    with answering(200, answer) as url:
        target = Target(url=url, json_body='{"photo": "%s"}')
        check_same("peer", target, [b"1", b"2"], np.array([[0.25, 0.75], [0.2505, 0.7495]]), 1e-3)
        with pytest.raises(
            SystemExit, match=r"peer must answer our probabilities within 0\.001, but is off by 0\.05"
        ):
            check_same("peer", target, [b"1", b"2"], np.array([[0.25, 0.75], [0.30, 0.70]]), 1e-3)


@pytest.mark.parametrize(("status", "answer"), [(503, {"probs": [0.5, 0.5]}), (200, {"probs": []})])
def test_a_server_that_does_not_count_yet_is_waited_for(status: int, answer: object) -> None:
    with answering(status, answer) as url:
        assert not counts(Target(url=url, json_body='{"photo": "%s"}'), b"1")


def test_the_load_asks_each_server_in_its_own_shape(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a photo")
    with answering(200, [[0.5, 0.5]], wants_a_list=True) as url:
        for body, status in (('{"photo": ["%s"]}', 200), ('{"photo": "%s"}', 400)):
            target = Target(url=url, path="/", json_body=body)
            assert set(peers.load(target, tmp_path, "--connections", "1", "--seconds", "0.2")) == {status}


WITH_A_CHILD = """
import json, subprocess, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"probs": [0.5, 0.5]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

if len(sys.argv) == 2:
    subprocess.Popen([sys.executable, "-c", PROGRAM, sys.argv[1], "child"])
    time.sleep(600)
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_a_worker_that_outlives_its_server_does_not_answer_in_the_next_ones_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(peers, "PORT", port)
    target = Target(url=f"http://127.0.0.1:{port}", json_body='{"photo": "%s"}')
    program = f"PROGRAM = {WITH_A_CHILD!r}\n{WITH_A_CHILD}"
    with peers.serving([sys.executable, "-c", program, str(port)], {}, target, b"1"):
        with pytest.raises(SystemExit, match="must be free"), peers.serving(["true"], {}, target, b"1"):
            pass
        assert counts(target, b"1")
    assert not peers.is_taken(port)


def test_a_plain_export_is_the_same_network_in_float32(tmp_path: Path) -> None:
    size = Bundle.open(default_bundle()).spec.preprocessing.size
    photos = [drawn_photo(count, seed=count) for count in (1, 4)]
    plain = Counter.load(plain_bundle(default_bundle(), tmp_path / "same", size=size), provider="cpu")
    ours = Counter.load(default_bundle(), provider="cpu").probs(photos)
    np.testing.assert_allclose(plain.probs(photos), ours, atol=1e-6)
    assert plain.bundle.model_path.stat().st_size > 3 * Bundle.open(default_bundle()).model_path.stat().st_size
    larger = Counter.load(plain_bundle(default_bundle(), tmp_path / "larger", size=224), provider="cpu")
    assert np.abs(larger.probs(photos) - ours).max() > 1e-4, "it is asked at another size"


def test_every_peer_is_pinned_and_its_server_is_there() -> None:
    for peer in PEERS.values():
        assert all("==" in package for package in peer.packages)
        assert peer.body.count("%s") == 1
        source = (ROOT / "bench" / "peer_servers" / peer.file).read_text()
        assert (ast.get_docstring(ast.parse(source)) or "").count("BUNDLE PORT") == 1
