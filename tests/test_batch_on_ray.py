"""`binsight count --out --on ray`: the same bytes as without, also where workers are killed."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.batch_support import NUM_PHOTOS, SHARD, drawn_folder, parts, running_workers
from tests.s3_server import free_ports

from binsight.batch import Places, begin, engine_here, run
from binsight.cli import cli
from binsight.counting import Bundle, Counter, default_bundle
from binsight.engines.ray import counting, engine_on_ray
from binsight.errors import EngineFailed, StorageFailure

ray = pytest.importorskip("ray", reason="Ray is not here: pip install 'binsight[ray]' -c constraints.txt")

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # of Ray's own pipes and files


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, and beside them what this process makes of them."""
    folder = tmp_path_factory.mktemp("whole")
    drawn_folder(folder / "photos")
    places = places_of(folder / "photos", folder / "out")
    counter = Counter.load(default_bundle())
    run(begun(places), places, engine_here(places, counter), began=time.monotonic(), price_per_hour=None)
    return folder


@pytest.fixture
def cluster() -> Iterator[str]:
    """The address of a cluster that others started."""
    port = free_ports(1)[0]
    environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0"}
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}"]
    command += ["--num-cpus=2", "--include-dashboard=false", f"--object-store-memory={128 * 2**20}"]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_for_port(port)
        yield f"127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)


def wait_for_port(port: int) -> None:
    for _ in range(600):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise AssertionError("no cluster within a minute")


def places_of(photos: Path, out: Path) -> Places:
    return Places.of(str(photos), str(out), endpoint_url=None, anonymous=False)


def begun(places: Places) -> Any:
    model = Bundle.open(default_bundle()).name
    return begin(places, model=model, read_labels=False, shard_photos=SHARD)


def test_a_new_cluster_of_this_machine_gives_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    words = ["count", whole / "photos", "--out", tmp_path / "out", "--shard-photos", SHARD, "--on", "ray", "--json"]
    result = CliRunner().invoke(cli, [str(word) for word in words], env={"RAY_ADDRESS": None})
    assert result.exception is None, result.exception
    said = json.loads(result.stdout)
    assert (said["photos"], said["now"], said["failed"]) == (NUM_PHOTOS, NUM_PHOTOS, 0)
    assert parts(tmp_path / "out") == parts(whole / "out")
    assert not ray.is_initialized()


def test_a_killed_worker_costs_its_shard_and_no_more(whole: Path, tmp_path: Path) -> None:
    """The first workers that begin with a shard are killed at it; others then count it."""
    places = places_of(whole / "photos", tmp_path / "out")
    killed: set[int] = set()
    done = threading.Event()

    def kill() -> None:
        while len(killed) < 2 and not done.wait(0.005):
            for worker in running_workers(os.getpid()):
                os.kill(worker, signal.SIGKILL)
                killed.add(worker)

    killer = threading.Thread(target=kill)
    killer.start()
    engine = engine_on_ray(Bundle.open(default_bundle()), places, address=None, workers=2)
    said = run(begun(places), places, engine, began=time.monotonic(), price_per_hour=None)
    done.set()
    killer.join()
    assert len(killed) >= 2
    assert (said.photos, said.failed) == (NUM_PHOTOS, 0)
    assert parts(tmp_path / "out") == parts(whole / "out")


def test_a_shard_that_kills_every_worker_ends_the_run(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = places_of(whole / "photos", tmp_path / "out")
    monkeypatch.setattr(counting, "_count_on_worker", _die)
    monkeypatch.setattr("binsight.engines.ray.cluster.RETRIES", 1)
    engine = engine_on_ray(Bundle.open(default_bundle()), places, address=None, workers=1)
    with pytest.raises(EngineFailed, match="lost its worker 2 times"):
        run(begun(places), places, engine, began=time.monotonic(), price_per_hour=None)
    assert not ray.is_initialized()


def _die(*_: object) -> None:
    os._exit(1)


@pytest.mark.slow
def test_a_cluster_that_is_there_is_used(whole: Path, tmp_path: Path, cluster: str) -> None:
    """And what a worker raises arrives as it is: here that a list of photos is not the job's."""
    out = tmp_path / "out"
    words = ["count", whole / "photos", "--out", out, "--shard-photos", SHARD, "--on", "ray"]
    result = CliRunner().invoke(cli, [str(word) for word in words], env={"RAY_ADDRESS": cluster})
    assert result.exception is None, result.exception
    assert parts(out) == parts(whole / "out")
    (out / next(iter(parts(out)))).unlink()
    for one in (out / "_job").glob("photos-*.parquet"):
        one.write_bytes(b"other")
    result = CliRunner().invoke(cli, [str(word) for word in words], env={"RAY_ADDRESS": cluster})
    assert isinstance(result.exception, StorageFailure)
    assert "was changed; begin again" in str(result.exception)


def test_a_cluster_that_is_not_there_is_said(whole: Path, tmp_path: Path) -> None:
    words = ["count", whole / "photos", "--out", tmp_path / "out", "--on", "ray", "--ray-address", "127.0.0.1:1"]
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert isinstance(result.exception, EngineFailed)
    assert "no Ray cluster at 127.0.0.1:1" in str(result.exception)
