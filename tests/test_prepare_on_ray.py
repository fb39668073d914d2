"""`binsight data prepare --on ray`: the same dataset as without, killed workers or not."""

import os
import signal
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.batch_support import processes_below
from tests.prepare_support import drawn_source, run, tree

from binsight.cli import cli
from binsight.errors import BadDataset, MissingExtra

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

NUM_PHOTOS = 600


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = drawn_source(
        tmp_path_factory.mktemp("source") / "bins", {f"{n:05}": [f"item {n}"] for n in range(1, NUM_PHOTOS, 2)}
    )
    (folder / "bin-images" / "00003.jpg").write_bytes(b"no photo")
    return folder


@pytest.mark.slow
def test_workers_make_the_same_dataset_where_one_is_killed_too(source: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not here: pip install 'binsight[ray,data]' -c constraints.txt")
    killed, over = list[int](), threading.Event()

    def kill() -> None:
        while not killed and not over.wait(0.005):
            for worker in processes_below(os.getpid(), "ray::check_batch")[:1]:
                os.kill(worker, signal.SIGKILL)
                killed.append(worker)

    killer = threading.Thread(target=kill)
    killer.start()
    words = ["data", "prepare", str(source), str(tmp_path / "on-ray" / "bins"), "--on", "ray"]
    result = CliRunner().invoke(cli, words, env={"RAY_ADDRESS": None})
    over.set()
    killer.join()
    assert result.exit_code == 0, (result.output, result.exception)
    assert killed
    run(source, tmp_path / "here" / "bins")
    assert tree(tmp_path / "on-ray" / "bins") == tree(tmp_path / "here" / "bins")


@pytest.mark.slow
def test_what_fails_on_a_worker_is_the_commands_error(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not here: pip install 'binsight[ray,data]' -c constraints.txt")
    folder = drawn_source(tmp_path / "source", {"00001": ["one"]})
    (folder / "bin-images" / "00001.jpg").write_bytes(b"no photo")
    words = ["data", "prepare", str(folder), str(tmp_path / "bins"), "--on", "ray"]
    result = CliRunner().invoke(cli, words, env={"RAY_ADDRESS": None})
    assert isinstance(result.exception, BadDataset)
    assert not (tmp_path / "bins").exists()


def test_preparing_on_ray_needs_its_library(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("binsight.cli.options.find_spec", lambda module: None if module == "ray" else True)
    result = CliRunner().invoke(cli, ["data", "prepare", str(source), str(tmp_path / "bins"), "--on", "ray"])
    assert isinstance(result.exception, MissingExtra)
    assert "binsight[ray]" in str(result.exception)
