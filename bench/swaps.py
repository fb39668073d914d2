"""No failed request while champions change, roll back and processes restart, under steady load from another process.

    python bench/swaps.py [--swaps 200] [--rollbacks 20] [--restarts 20]

1. `binsight serve --follow champion`, asked without a pause: so many swaps between two bundles, each waited for until an
   answer is the new one's; then a champion whose golden photos get other answers, which may change nothing.
2. So many rollbacks, each timed from the ledger's commit to the first answer by the model before.
3. Two such processes behind nginx, restarted in turn by SIGTERM so many times.

The second bundle is the default one with another name and temperature, so that its answers differ. A goal is missed, and
the exit status 1, where a request failed, the bad champion answered, or a rollback took a second.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from binsight.counting import Counter, default_bundle
from binsight.counting.registry import Registry
from binsight.imaging.drawn import drawn_photo
from binsight.records import CHAMPION
from binsight.settings import settings

PROXY, FIRST, SECOND = 18100, 18101, 18102
PATIENCE_S = 600
"""For one thing to happen, on a busy machine."""
NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ }}
http {{
  access_log off;
  client_body_buffer_size 4m;  # in memory: the worker, another user, may not write to the folder
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream counting {{ server 127.0.0.1:{first} max_fails=0; server 127.0.0.1:{second} max_fails=0; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://counting;
      # A service that ends answers 503 or nothing, and has counted nothing: the other one is asked.
      proxy_next_upstream error timeout http_503 non_idempotent;
    }}
  }}
}}
"""


def ask_on(port: int, photo: bytes, answers: Any, is_over: Any) -> None:
    """In a process of its own: the photo without a pause; (when, status, version) of every answer."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    while not is_over.is_set() and parent.is_alive():  # a bench that is killed can tell nobody
        connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        try:
            connection.request("POST", "/invocations", photo, {"Content-Type": "image/jpeg"})
            response = connection.getresponse()
            body = response.read()
            version = (
                json.loads(body)["model"].rpartition(":")[2] if response.status == 200 else body.decode()[:200]
            )
            answers.put((time.monotonic(), response.status, version))
        except (OSError, HTTPException) as error:
            answers.put((time.monotonic(), 0, repr(error)))
        finally:
            connection.close()


class Load:
    """Processes that ask without a pause, and what they were answered."""

    def __init__(self, port: int, *, num_processes: int = 2, photo: bytes | None = None) -> None:
        context = multiprocessing.get_context("spawn")
        self._answers, self._is_over = context.Queue(), context.Event()
        self.failed = list[str]()
        self.history = list[tuple[float, int, str]]()
        self._processes = [
            context.Process(
                target=ask_on,
                args=(port, photo or drawn_photo(3, seed=3), self._answers, self._is_over),
                daemon=True,
            )
            for _ in range(num_processes)
        ]
        for process in self._processes:
            process.start()

    @property
    def num_answers(self) -> int:
        return len(self.history)

    def next(self) -> tuple[float, str]:
        """When the next answer came, in the clock that all processes share, and the version that gave it."""
        when, status, version = self._answers.get(timeout=PATIENCE_S)
        self.history.append((when, status, version))
        if status != 200:
            self.failed.append(f"{status} {version}")
        return when, version

    def until(self, version: str, *, since: float) -> float:
        """When the first answer by a version came, of those that came since."""
        while True:
            when, found = self.next()
            if found == version and when >= since:
                return when

    def take(self) -> None:
        """Take what has come. Raises `SystemExit` where all of it failed: then it is not the swaps that are at fault."""
        while not self._answers.empty():
            self.next()
        if self.num_answers > 10 and len(self.failed) == self.num_answers:
            self._is_over.set()
            sys.exit(f"no request was answered: {self.failed[-1]}")

    def end(self) -> None:
        """Take what is on its way."""
        self._is_over.set()
        while any(process.is_alive() for process in self._processes) or not self._answers.empty():
            self.take()
            time.sleep(0.01)


@contextmanager
def serving(port: int, *options: str, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """The service, ready; ended in the end. `env` is added to the environment."""
    process = start(port, *options, env=env)
    try:
        wait(lambda: is_ready(port), process)
        yield process
    finally:
        process.kill()
        process.wait()


def start(port: int, *options: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "binsight", "serve", "--follow", CHAMPION, "--port", str(port), *options]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, env=os.environ | (env or {}))


def is_ready(port: int) -> bool:
    return get(port, "/ping")[0] == 200


def get(port: int, path: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()


def wait(is_so: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert process.poll() is None, "the process has ended"
        assert time.monotonic() < end
        time.sleep(0.05)


def other_bundle(folder: Path, *, name: str, is_bad: bool = False) -> Path:
    """The default bundle with another name and temperature; a bad one keeps the answers that it no longer gives."""
    shutil.copytree(default_bundle(), folder)
    spec = json.loads((folder / "bundle.json").read_text())
    spec |= {"name": name, "temperature": spec["temperature"] * 1.5}
    (folder / "bundle.json").write_text(json.dumps(spec))
    if not is_bad:
        golden = folder / "golden" / "golden.json"
        answers = json.loads(golden.read_text())
        counter = Counter.load(folder)
        for answer in answers:
            answer["probs"] = counter.probs([(folder / "golden" / answer["photo"]).read_bytes()])[0].tolist()
        golden.write_text(json.dumps(answers))
        spec["files"]["golden/golden.json"] = sha256(golden.read_bytes()).hexdigest()
        (folder / "bundle.json").write_text(json.dumps(spec))
    return folder


def point(registry: Registry, version: str) -> float:
    """Make a version the champion; the time after the ledger's commit."""
    registry.point(CHAMPION, version, by="bench", reason="", seen=registry.pointed(CHAMPION))
    return time.monotonic()


def swaps(
    registry: Registry, versions: tuple[str, str], bad: str, num_swaps: int, num_rollbacks: int
) -> dict[str, Any]:
    with serving(FIRST):
        load = Load(FIRST)
        for number in range(num_swaps):
            load.until(version := versions[(number + 1) % 2], since=point(registry, version))
        champion = versions[num_swaps % 2]
        point(registry, bad)
        while 'binsight_swaps_total{result="failed",role="champion"} 1.0' not in get(FIRST, "/metrics")[1]:
            assert load.next()[1] in versions, "the bad bundle answers"
        load.until(champion, since=point(registry, champion))
        load.until(other := versions[(num_swaps + 1) % 2], since=point(registry, other))
        seconds = []
        for _ in range(num_rollbacks):
            back = registry.roll_back(CHAMPION, by="bench", reason="")
            committed = time.monotonic()
            seconds.append(load.until(back.version, since=committed) - committed)
        load.end()
    figures = {"swaps": num_swaps, "bad_bundles_refused": 1, "rollbacks": num_rollbacks}
    if seconds:
        figures |= {"rollback_median_s": statistics.median(seconds), "rollback_most_s": max(seconds)}
    return figures | {"requests": load.num_answers, "failed": load.failed}


def restarts(folder: Path, num_restarts: int) -> dict[str, Any]:
    running = {port: start(port) for port in (FIRST, SECOND)}
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=PROXY, first=FIRST, second=SECOND))
    nginx = subprocess.Popen(["nginx", "-c", str(config), "-p", str(folder), "-e", str(folder / "error.log")])
    try:
        for port in running:
            wait(lambda port=port: is_ready(port), running[port])  # type: ignore[misc]
        wait(lambda: is_ready(PROXY), nginx)
        load = Load(PROXY)
        for number in range(num_restarts):
            port = (FIRST, SECOND)[number % 2]
            running[port].send_signal(signal.SIGTERM)
            assert running[port].wait(PATIENCE_S) == 0, "a process that is told to end ends well"
            running[port] = start(port)
            wait(lambda port=port: is_ready(port), running[port])  # type: ignore[misc]
            load.take()
            print(f"{number + 1} restarts, {load.num_answers} requests, {len(load.failed)} failed", file=sys.stderr)
        load.end()
    finally:
        nginx.terminate()
        nginx.wait()
        for process in running.values():
            process.kill()
            process.wait()
    return {"restarts": num_restarts, "requests": load.num_answers, "failed": load.failed}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swaps", type=int, default=200, help="changes of the champion (default 200)")
    parser.add_argument("--rollbacks", type=int, default=20, help="rollbacks (default 20)")
    parser.add_argument("--restarts", type=int, default=20, help="restarts behind nginx (default 20)")
    return parser.parse_args()


def keep_in(folder: Path) -> None:
    """A ledger, bundles and a cache of the bench's own, for this process and those that it starts."""
    places = {
        "LEDGER": f"sqlite:///{folder}/ledger.db",
        "BUNDLES": f"{folder}/bundles",
        "CACHE_DIR": f"{folder}/cache",
    }
    os.environ |= {f"BINSIGHT_{name}": value for name, value in places.items()}
    settings.cache_clear()


def run(arguments: argparse.Namespace, folder: Path) -> bool:
    keep_in(folder)
    registry = Registry.open()
    first = registry.register(default_bundle(), by="bench").version
    second = registry.register(other_bundle(folder / "second", name="second"), by="bench").version
    bad = registry.register(other_bundle(folder / "bad", name="bad", is_bad=True), by="bench").version
    point(registry, first)
    results = []
    if arguments.swaps or arguments.rollbacks:
        results.append(swaps(registry, (first, second), bad, arguments.swaps, arguments.rollbacks))
        print(json.dumps(results[-1]), flush=True)
    if arguments.restarts:
        results.append(restarts(folder, arguments.restarts))
        print(json.dumps(results[-1]), flush=True)
    registry.close()
    return all(not result["failed"] and result.get("rollback_most_s", 0) < 1 for result in results)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="binsight-swaps.") as scratch:
        sys.exit(0 if run(parse(), Path(scratch)) else 1)
