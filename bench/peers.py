"""`binsight serve` beside LitServe, BentoML and Ray Serve with their own batching, and beside plain FastAPI.

    python -m bench.peers FOLDER [--only litserve] [--runs 3] [--plain [SIZE]] [--cache FOLDER]

Each peer gets a virtual environment of its own, made the first time (minutes). All have the same ONNX file, decoder and
requests (JSON with the photo in base64), and must give the same probabilities. They are loaded by a process of its own, in
turns: throughput over 16 connections that each wait for their answers, then the p99 at 70% of what that server itself
reached, at random moments. Medians; what was not answered by 200 is counted.

`--plain` gives the peers what a plain export is served with: the network as fp32 at the size of its training
(bench/plain.py makes it), whole JPEGs to decode and ONNX Runtime's own defaults.

It ends non-zero where ours is not ahead of the best (with --plain: not twice as fast), its p99 is worse than the best of
theirs, or it failed to answer.
"""

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
from bench.load import Target, photos_of
from bench.plain import TRAINED_SIZE, plain_bundle

from binsight.counting import Bundle, Counter, default_bundle
from binsight.decision.scores import Floats
from binsight.settings import settings

ROOT = Path(__file__).resolve().parents[1]
PORT, START_S, FREE_S = 18082, 300, 30
BODY = '{"photo": "%s"}'
OURS = "binsight serve"
SAME = ("numpy", "onnxruntime", "pillow")
"""What does the work, in the same version everywhere: that of constraints.txt."""
NUM_COMPARED = 8
TOLERANCE, PLAIN_TOLERANCE = 1e-3, 0.05
"""The peers' probabilities may be so far off ours; more where they decode whole JPEGs and we scaled ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """What pip installs, the file in bench/peer_servers that serves, and what else its way of serving wants."""

    packages: tuple[str, ...]
    file: str
    body: str = BODY
    env: Mapping[str, str]


PEERS: Mapping[str, Peer] = {
    "litserve": Peer(packages=("litserve==0.2.19",), file="litserve_server.py", env={}),
    "bentoml": Peer(
        packages=("bentoml==1.4.40",),
        file="bentoml_server.py",
        body='{"photo": ["%s"]}',
        env={"BENTOML_DO_NOT_TRACK": "True"},
    ),
    "ray": Peer(
        packages=("ray[serve]==2.60.0",),
        file="ray_server.py",
        env={
            "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
            "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",  # with its 5 a busy machine ends a proxy that still starts
            "RAY_raylet_start_wait_time_s": "300",
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
        },
    ),
    "fastapi": Peer(packages=("fastapi==0.165.0", "uvicorn[standard]==0.54.0"), file="fastapi_server.py", env={}),
}


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
    pinned = (ROOT / "constraints.txt").read_text().split()
    packages = [*PEERS[name].packages, *(pin for pin in pinned if pin.partition("==")[0] in SAME)]
    if not done.exists() or done.read_text().split() != packages:
        print(f"installing {name} into {folder} …", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*command, str(ROOT), *packages], check=True)
        done.write_text("\n".join(packages))
    return python


@contextmanager
def serving(command: Sequence[str], env: Mapping[str, str], target: Target, photo: bytes) -> Iterator[None]:
    """A server, once it has counted a photo; it and all that it started are ended after that."""
    if is_taken(PORT):
        sys.exit(f"port {PORT} must be free, or another server would be measured; end what listens at it")
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
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
            # Workers may outlive their server, and would answer in the next one's place.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            wait_until_free(PORT)


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until_free(port: int) -> None:
    end = time.monotonic() + FREE_S
    while is_taken(port):
        assert time.monotonic() < end, f"something still listens at {port}"
        time.sleep(0.1)


def counts(target: Target, photo: bytes) -> bool:
    try:
        return len(probs_of(target, photo)) > 1
    except (HTTPError, OSError, ValueError):
        return False


def probs_of(target: Target, photo: bytes) -> list[float]:
    """What a server answers about a photo."""
    body = target.request(photo).partition(b"\r\n\r\n")[2]
    request = Request(target.url + target.path, data=body, headers={"Content-Type": "application/json"})
    with urlopen(request, timeout=30) as response:
        answer = json.load(response)
    probs: list[float] = (
        answer["probs"] if isinstance(answer, dict) else answer[0]
    )  # a list of one for a list of one
    return probs


def check_same(name: str, target: Target, photos: Sequence[bytes], expected_BK: Floats, tolerance: float) -> None:
    """Raise `SystemExit` where a server does not answer what the bundle answers: it would be measured at something else."""
    off = np.abs(np.array([probs_of(target, photo) for photo in photos]) - expected_BK).max()
    if not off <= tolerance:
        sys.exit(f"{name} must answer our probabilities within {tolerance:g}, but is off by {off:.2g}")


def load(target: Target, folder: Path, *options: str) -> dict[int, dict[str, float]]:
    """What came of a load, by status."""
    sent = ("--path", target.path, "--json-body", str(target.json_body), "--json")
    command = [sys.executable, "-m", "bench.load", target.url, str(folder), *sent, *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return {row["status"]: row for row in json.loads(done.stdout)["rows"]}


def measure(target: Target, folder: Path, seconds: float) -> Measured:
    """Throughput, then the p99 at 70% of it."""
    timed = ("--seconds", str(seconds))
    load(target, folder, "--connections", "16", "--seconds", str(seconds / 4))  # warm
    full = load(target, folder, "--connections", "16", *timed)
    if 200 not in full:
        sys.exit(f"nothing was answered, only {full}")
    reached = full[200]["per_second"]
    calm = load(target, folder, "--rate", str(0.7 * reached), *timed)
    failed = [(status, int(row["num"])) for run in (full, calm) for status, row in run.items() if status != 200]
    if failed:
        print(f"(status, requests) that failed: {failed}", file=sys.stderr)
    num_failed = sum(num for _, num in failed)
    return Measured(per_second=reached, p99_ms=calm[200]["p99_ms"], num_failed=num_failed)


def server_of(name: str, given: argparse.Namespace) -> tuple[list[str], dict[str, str], Target]:
    """How to start a server, with which variables, and where it takes photos."""
    url = f"http://127.0.0.1:{PORT}"
    if name == OURS:
        command = [sys.executable, "-m", "binsight", "serve", "--port", str(PORT), "--model", str(given.bundle)]
        return command, {"BINSIGHT_QUEUE_WAIT_S": "60", "BINSIGHT_PROVIDER": "cpu"}, Target(url=url, json_body=BODY)
    peer, python = PEERS[name], environment_of(name, given.cache)
    command = [
        str(python),
        str(ROOT / "bench" / "peer_servers" / peer.file),
        str(served_by_peers(given)),
        str(PORT),
    ]
    env = {
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "PEER_PLAIN": "1" if given.plain else "0",
        "OMP_NUM_THREADS": "1",
        **peer.env,
    }
    return command, env, Target(url=url, path="/predict", json_body=peer.body)


def served_by_peers(given: argparse.Namespace) -> Path:
    """The bundle of the peers: ours, or the plain export of it."""
    bundle: Path = given.bundle
    if not given.plain:
        return bundle
    return plain_bundle(
        bundle, given.cache / f"plain-{Bundle.open(bundle).version}-{given.plain}", size=given.plain
    )


def all_measured(given: argparse.Namespace) -> dict[str, list[Measured]]:
    """Every server's runs, in turns, so that whatever else the machine does falls on all alike."""
    names = [OURS, *(given.only or PEERS)]
    servers = {name: server_of(name, given) for name in names}  # all environments before the first run
    photos = photos_of(given.folder, NUM_COMPARED)
    ours, theirs = (Counter.load(bundle, provider="cpu") for bundle in (given.bundle, served_by_peers(given)))
    expected = {name: (ours if name == OURS else theirs).probs(photos) for name in names}
    found: dict[str, list[Measured]] = {name: [] for name in names}
    for _ in range(given.runs):
        for name, (command, env, target) in servers.items():
            with serving(command, env, target, photos[0]):
                tolerance = PLAIN_TOLERANCE if given.plain and name != OURS else TOLERANCE
                check_same(name, target, photos, expected[name], tolerance)
                found[name].append(measure(target, given.folder, given.seconds))
            print(name, found[name][-1], file=sys.stderr)
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
    is_met = ratio > at_least and is_no_later and not medians[OURS]["num_failed"]
    return {"servers": medians, "ratio": round(ratio, 3), "met": is_met}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of photos")
    parser.add_argument("--only", action="append", choices=list(PEERS), help="this peer alone; may be repeated")
    parser.add_argument("--bundle", type=Path, default=default_bundle(), help="default: the one that ships")
    parser.add_argument(
        "--plain",
        type=int,
        nargs="?",
        const=TRAINED_SIZE,
        metavar="SIZE",
        help=f"let the peers serve a plain fp32 export at so many pixels (default {TRAINED_SIZE})",
    )
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
