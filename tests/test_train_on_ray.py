"""`binsight train --on ray`: the same weights as by as many local processes, killed workers or not."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner
from lightning_fabric import Fabric
from tests.batch_support import processes_below
from tests.dataset_support import real_dataset
from tests.train_support import RECIPE

from binsight.cli import cli
from binsight.errors import BadInput, EngineFailed, MissingExtra, MissingObject
from binsight.model.recipe import load_recipe
from binsight.model.train import train

pytestmark = [pytest.mark.usefixtures("cache"), pytest.mark.filterwarnings("ignore::ResourceWarning")]

NEEDS_RAY = "Ray is not here: pip install 'binsight[ray,train]' -c constraints.txt"


@pytest.fixture
def recipe(abid: Path, tmp_path: Path) -> Path:
    dataset = real_dataset(abid, tmp_path / "dataset", {"train": 96, "val": 32})
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE.format(dataset=dataset.folder).replace("epochs = 2", "epochs = 4\ndevices = 2"))
    return path


def on_ray(recipe: Path, out: Path, *further: str) -> list[str]:
    return ["train", str(recipe), *further, "--out", str(out), "--on", "ray", "--json"]


@pytest.mark.slow
def test_two_workers_make_the_weights_of_two_processes_where_one_is_killed_too(
    recipe: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason=NEEDS_RAY)
    out, killed, over = tmp_path / "on ray", list[int](), threading.Event()

    def kill() -> None:
        while not killed and not over.wait(0.02):
            begun = list(out.glob("metrics.csv"))
            for worker in processes_below(os.getpid(), "ray::_Worker")[-1:] if begun else ():
                os.kill(worker, signal.SIGKILL)
                killed.append(worker)

    killer = threading.Thread(target=kill)
    killer.start()
    result = CliRunner().invoke(cli, on_ray(recipe, out), env={"RAY_ADDRESS": None})
    over.set()
    killer.join()
    assert result.exit_code == 0, (result.output, result.exception)
    assert killed
    assert "a worker was lost; all begin again from the last checkpoint" in result.stderr
    assert "epoch 4/4" in result.stderr
    assert json.loads(result.stdout)["run"] == str(out)
    here = tmp_path / "here"
    subprocess.run([sys.executable, "-m", "binsight", "train", str(recipe), "--out", str(here)], check=True)
    assert (out / "last.safetensors").read_bytes() == (here / "last.safetensors").read_bytes()


@pytest.mark.slow
def test_what_a_worker_raises_is_told_once_and_at_once(recipe: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason=NEEDS_RAY)
    nothing = f"data.dataset={tmp_path / 'nothing'}"
    result = CliRunner().invoke(cli, on_ray(recipe, tmp_path / "out", nothing), env={"RAY_ADDRESS": None})
    assert isinstance(result.exception, MissingObject)
    assert "binsight data prepare" in str(result.exception)
    assert "lost" not in result.stderr
    out = tmp_path / "another"
    out.mkdir()
    (out / "recipe.toml").write_text(recipe.read_text())
    (out / "metrics.csv").write_text("epoch\n")  # something was learnt there
    result = CliRunner().invoke(cli, on_ray(recipe, out, "training.lr=1e-4"), env={"RAY_ADDRESS": None})
    assert isinstance(result.exception, BadInput), "the first raises, the others wait for it"
    assert "holds a run of another recipe" in str(result.exception)


@pytest.mark.slow
def test_more_workers_than_the_cluster_has_are_refused(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason=NEEDS_RAY)
    import ray

    monkeypatch.setattr("binsight.engines.ray.training._PLACE_S", 2)
    ray.init(address="local", num_cpus=1, include_dashboard=False, logging_level="error")
    try:
        result = CliRunner().invoke(cli, on_ray(recipe, tmp_path / "out"), env={"RAY_ADDRESS": None})
    finally:
        ray.shutdown()
    assert isinstance(result.exception, EngineFailed)
    assert "training.devices=2 needs as many cores of the Ray cluster, which has 1 in all" in str(result.exception)


def test_a_machine_that_does_not_share_the_run_folder_says_so(recipe: Path, tmp_path: Path) -> None:
    class Second(Fabric):
        """As another machine sees it: not the first process."""

        @property
        def is_global_zero(self) -> bool:
            return False

    loaded = load_recipe(recipe, ["training.devices=1"])
    with pytest.raises(MissingObject, match="name a folder that all machines share"):
        train(loaded, tmp_path / "elsewhere", fabric=Second(devices=1))


def test_training_on_ray_needs_its_library(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("binsight.cli.options.find_spec", lambda module: None if module == "ray" else True)
    result = CliRunner().invoke(cli, ["train", str(recipe), "--on", "ray"])
    assert isinstance(result.exception, MissingExtra)
    assert "binsight[ray]" in str(result.exception)
