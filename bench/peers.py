"""`binsight serve` beside LitServe, which serves the same network with its own batching.

    python -m bench.peers FOLDER [--only litserve] [--runs 3] [--plain BUNDLE] [--cache FOLDER]

Each peer gets a virtual environment of its own, made the first time (minutes). All have the same ONNX file, decoder and
requests (JSON with the photo in base64), and are loaded by a process of its own, in turns: throughput over 16 connections
that each wait for their answers, then the p99 at 70% of what that server itself reached, at random moments. Medians.

`--plain BUNDLE` gives the peers an fp32 bundle instead, whole JPEGs to decode and ONNX Runtime's own defaults: what a
plain export is served with. It ends non-zero where ours is not ahead (with --plain: not twice as fast), or its p99 is worse
than the best of theirs.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from bench.load import Target, photos_of

from binsight.counting import default_bundle
from binsight.settings import settings

ROOT = Path(__file__).resolve().parents[1]
PORT, START_S = 18082, 300
BODY = '{"photo": "%s"}'
OURS = "binsight serve"
PEERS: Mapping[str, tuple[str, str]] = {
    "litserve": ("litserve==0.2.19", "litserve_server.py"),
}
"""What pip installs, and the file in bench/peer_servers that serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run of one server."""

    per_second: float
    p99_ms: float
    num_failed: int


def environment_of(name: str, cache: Path) -> Path:
    """The Python of a peer's own environment, made where it is not there yet."""
    folder = cache / name
    python, done = folder / "bin" / "python", folder / ".installed"
    if not done.exists():
        print(f"installing {name} into {folder} …", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        constraints = ("-c", str(ROOT / "constraints.txt"))
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *constraints]
        subprocess.run([*command, str(ROOT), PEERS[name][0]], check=True)
        done.touch()
    return python


@contextmanager
def serving(command: Sequence[str], env: Mapping[str, str], target: Target, photo: bytes) -> Iterator[None]:
    """A server, once it has counted a photo; it and its children are ended after that."""
    with subprocess.Popen(
        command,
        env={**os.environ, **env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            end = time.monotonic() + START_S
            while not counts(target, photo):
                assert process.poll() is None, f"{command} does not start; run it by hand to see why"
                assert time.monotonic() < end, f"{command} does not count within {START_S} s"
                time.sleep(0.5)
            yield
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)


def counts(target: Target, photo: bytes) -> bool:
    body = target.request(photo).partition(b"\r\n\r\n")[2]
    request = Request(target.url + target.path, data=body, headers={"Content-Type": "application/json"})
    try:
        with urlopen(request, timeout=30) as response:
            return len(json.load(response)["probs"]) > 1
    except (HTTPError, OSError, ValueError):
        return False


def load(target: Target, folder: Path, *options: str) -> dict[int, dict[str, float]]:
    """What came of a load, by status."""
    sent = ("--path", target.path, "--json-body", BODY, "--json")
    command = [sys.executable, "-m", "bench.load", target.url, str(folder), *sent, *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return {row["status"]: row for row in json.loads(done.stdout)["rows"]}


def measure(target: Target, folder: Path, seconds: float) -> Measured:
    """Throughput, then the p99 at 70% of it."""
    timed = ("--seconds", str(seconds))
    load(target, folder, "--connections", "16", "--seconds", str(seconds / 4))  # warm
    full = load(target, folder, "--connections", "16", *timed)
    reached = full[200]["per_second"]
    calm = load(target, folder, "--rate", str(0.7 * reached), *timed)
    num_failed = sum(int(row["num"]) for run in (full, calm) for status, row in run.items() if status != 200)
    return Measured(per_second=reached, p99_ms=calm[200]["p99_ms"], num_failed=num_failed)


def server_of(name: str, given: argparse.Namespace) -> tuple[list[str], dict[str, str], Target]:
    """How to start a server, with which variables, and where it takes photos."""
    url = f"http://127.0.0.1:{PORT}"
    if name == OURS:
        command = [sys.executable, "-m", "binsight", "serve", "--port", str(PORT), "--model", str(given.bundle)]
        return command, {"BINSIGHT_QUEUE_WAIT_S": "60"}, Target(url=url, json_body=BODY)
    python, file = environment_of(name, given.cache), ROOT / "bench" / "peer_servers" / PEERS[name][1]
    command = [str(python), str(file), str(given.plain or given.bundle), str(PORT)]
    env = {"PEER_PLAIN": "1" if given.plain else "0", "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
    return command, env, Target(url=url, path="/predict", json_body=BODY)


def all_measured(given: argparse.Namespace) -> dict[str, list[Measured]]:
    """Every server's runs, in turns, so that whatever else the machine does falls on all alike."""
    names = [OURS, *(given.only or PEERS)]
    servers = {name: server_of(name, given) for name in names}  # all environments before the first run
    photo = photos_of(given.folder, 1)[0]
    found: dict[str, list[Measured]] = {name: [] for name in names}
    for _ in range(given.runs):
        for name, (command, env, target) in servers.items():
            with serving(command, env, target, photo):
                found[name].append(measure(target, given.folder, given.seconds))
    return found


def summary(found: Mapping[str, Sequence[Measured]], at_least: float) -> dict[str, Any]:
    """Medians by server, and whether ours is ahead."""
    medians = {
        name: {
            "per_second": statistics.median(run.per_second for run in runs),
            "p99_ms": statistics.median(run.p99_ms for run in runs),
            "num_failed": sum(run.num_failed for run in runs),
        }
        for name, runs in found.items()
    }
    peers = [row for name, row in medians.items() if name != OURS]
    ratio = medians[OURS]["per_second"] / max(row["per_second"] for row in peers)
    is_no_later = medians[OURS]["p99_ms"] <= min(row["p99_ms"] for row in peers)
    return {"servers": medians, "ratio": round(ratio, 3), "met": ratio > at_least and is_no_later}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of photos")
    parser.add_argument("--only", action="append", choices=list(PEERS), help="this peer alone; may be repeated")
    parser.add_argument("--bundle", type=Path, default=default_bundle(), help="default: the one that ships")
    parser.add_argument("--plain", type=Path, help="fp32 bundle that the peers serve plainly instead")
    parser.add_argument("--runs", type=int, default=3, help="runs of each (default 3)")
    parser.add_argument("--seconds", type=float, default=20, help="of each load (default 20)")
    cache = settings().cache_dir.expanduser() / "peers"
    parser.add_argument("--cache", type=Path, default=cache, help="folder for the peers' environments")
    parser.add_argument("--json", action="store_true", help="print one JSON line instead of the table")
    given = parser.parse_args()
    result = summary(all_measured(given), 2.0 if given.plain else 1.0)
    if given.json:
        print(json.dumps(result))
    else:
        print(f"{'server':<16} {'photos/s':>9} {'p99 at 70%, ms':>15} {'failed':>7}")
        for name, row in result["servers"].items():
            print(f"{name:<16} {row['per_second']:>9.1f} {row['p99_ms']:>15.1f} {row['num_failed']:>7}")
        print(f"ours / the best of theirs: {result['ratio']}; goal {'met' if result['met'] else 'NOT met'}")
    sys.exit(0 if result["met"] else 1)


if __name__ == "__main__":
    main()
