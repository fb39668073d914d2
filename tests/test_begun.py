"""A training begins: in which folders, over what was begun there before, and by several processes with one voice."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.dataset_support import real_dataset
from tests.train_support import RECIPE

from binsight.dataset.manifest import Dataset, write_manifest
from binsight.errors import BadInput, BadRecipe, MissingObject
from binsight.model.recipe import Recipe, dump_recipe, load_recipe
from binsight.model.run import Run, has_learnt
from binsight.model.teachers import TAUGHT_NAME
from binsight.model.train import train
from binsight.model.trainer import Trainer

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def dataset(abid: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return real_dataset(abid, tmp_path_factory.mktemp("dataset"), {"train": 32, "val": 8})


@pytest.fixture
def file(dataset: Dataset, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE.format(dataset=dataset.folder).replace("epochs = 2", "epochs = 1"))
    return path


@pytest.fixture
def recipe(file: Path) -> Recipe:
    return load_recipe(file)


@pytest.fixture
def begun(file: Path, tmp_path: Path) -> Path:
    """A run by another recipe that ended before its first batch."""
    folder = tmp_path / "run"
    with pytest.raises(MissingObject):
        train(load_recipe(file, ["training.teachers=['nowhere']"]), folder)
    assert (folder / "recipe.toml").is_file() and not has_learnt(folder)
    return folder


@pytest.mark.parametrize(
    ("override", "error"),
    [
        ("training.optimizer=adamv", BadRecipe),
        ("model.weights=file:none.safetensors", MissingObject),
        ("training.teachers=['nowhere']", MissingObject),
    ],
)
def test_a_value_that_failed_does_not_hold_the_mended_one_back(
    file: Path, recipe: Recipe, tmp_path: Path, override: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        train(load_recipe(file, [override]), tmp_path / "run")
    run = train(recipe, tmp_path / "run")
    assert Run.open(run.folder).recipe == recipe
    assert [row.epoch for row in run.metrics()] == [1]


def test_a_dataset_that_was_made_anew_before_anything_was_learnt_is_the_runs(
    begun: Path, recipe: Recipe, dataset: Dataset
) -> None:
    """Export asks for the dataset that the environment names."""
    (begun / "recipe.toml").write_text(dump_recipe(recipe))
    kept = json.loads((begun / "environment.json").read_text())
    (begun / "environment.json").write_text(json.dumps(kept | {"dataset": {"sha256": "0" * 64}}))
    assert train(recipe, begun).environment()["dataset"]["sha256"] == dataset.digest


def made_anew(dataset: Dataset) -> Dataset:
    """Another dataset at the same place: its `train` and `val` photos have changed places."""
    photos = tuple(replace(one, split="val" if one.split == "train" else "train") for one in dataset.photos)
    digest = write_manifest(dataset.folder / "manifest.parquet", photos)
    (dataset.folder / "dataset.json").write_text(json.dumps({"sha256": digest}))
    return Dataset.open(dataset.folder)


def test_what_was_learnt_on_a_dataset_is_not_gone_on_with_on_another_at_its_place(
    file: Path, dataset: Dataset, tmp_path: Path
) -> None:
    """The run would name the first one alone, and the photos that it learnt of the other would pass as unseen."""
    place = shutil.copytree(dataset.folder, tmp_path / "bins")
    recipe = load_recipe(file, [f"data.dataset={place}"])
    run = train(recipe, tmp_path / "run")
    other = made_anew(Dataset.open(place))
    before = {path: path.read_bytes() for path in run.folder.iterdir() if path.is_file()}
    says = f"run holds a run on another dataset: .* {dataset.digest[:12]}…, but {place} is now {other.digest[:12]}…; put"
    with pytest.raises(BadInput, match=says):
        train(recipe, run.folder)
    assert {path: path.read_bytes() for path in before} == before


def test_a_run_goes_on_where_its_dataset_has_moved_and_names_the_new_place(
    file: Path, recipe: Recipe, dataset: Dataset, tmp_path: Path
) -> None:
    run = train(recipe, tmp_path / "run")
    moved = shutil.copytree(dataset.folder, tmp_path / "moved")
    said: list[str] = []
    again = train(load_recipe(file, [f"data.dataset={moved}"]), run.folder, say=said.append)
    assert said == [f"{run.folder} is trained to its end already, epoch 1 of 1; nothing is left to do"]
    assert again.recipe.data.dataset == moved
    assert Run.open(run.folder).recipe == again.recipe


def test_what_teachers_said_stays_for_the_same_training_alone(begun: Path, recipe: Recipe, file: Path) -> None:
    said_NK = np.full((32, 21), 1 / 21, np.float32)
    np.save(begun / TAUGHT_NAME, said_NK)
    same = train(
        load_recipe(file, ["training.teachers=['nowhere']"]), Path(shutil.copytree(begun, begun.parent / "same"))
    )
    np.testing.assert_array_equal(np.load(same.folder / TAUGHT_NAME), said_NK)
    train(recipe, begun)
    assert not (begun / TAUGHT_NAME).exists()


def test_a_run_that_another_process_has_just_begun_is_not_written_over(begun: Path, recipe: Recipe) -> None:
    before = (begun / "recipe.toml").read_bytes()
    other = os.open(begun, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(BadInput, match="holds a run of another recipe"):
        train(recipe, begun)
    os.close(other)
    assert (begun / "recipe.toml").read_bytes() == before
    train(recipe, begun)


def test_a_folder_is_held_while_a_network_trains_in_it(
    recipe: Recipe, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[str] = []

    def begin_another(self: Trainer) -> None:
        with pytest.raises(BadInput) as error:
            train(load_recipe(file, ["seed=4"]), tmp_path / "run")
        refused.append(str(error.value))

    monkeypatch.setattr(Trainer, "_pause", begin_another)
    run = train(load_recipe(file, ["training.batch_size=32"]), tmp_path / "run")
    assert len(refused) == 1
    assert "holds a run of another recipe" in refused[0]
    assert Run.open(run.folder).recipe.seed == 3


def test_a_folder_of_other_things_is_not_trained_into(recipe: Recipe, tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c.txt", "thesis"):
        (tmp_path / "work" / name).mkdir(parents=True)
    with pytest.raises(BadInput, match=r"must be empty or hold a run, but holds a\.txt, b\.txt, c\.txt, …; choose"):
        train(recipe, tmp_path / "work")
    assert len(list((tmp_path / "work").iterdir())) == 4


def test_a_folder_with_nothing_but_hidden_files_is_trained_into(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".recipe.toml.0123456789ab.part").write_text("half a rec")
    assert train(recipe, tmp_path / "run").metrics()


def test_a_folder_with_the_runs_own_dataset_is_trained_into(file: Path, dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "fold").mkdir()
    (tmp_path / "fold" / "dataset").symlink_to(dataset.folder)
    run = train(load_recipe(file, [f"data.dataset={tmp_path}/fold/dataset"]), tmp_path / "fold")
    assert run.metrics()


def by_two(file: Path, out: Path, *overrides: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "binsight", "train", str(file), "--out", str(out), "training.devices=2"]
    return subprocess.Popen([*words, *overrides], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("data.dataset=nowhere", "nowhere holds no manifest.parquet"),
        ("training.teachers=['nowhere']", "nowhere is not a folder"),
    ],
)
def test_two_processes_that_cannot_begin_say_so_once(file: Path, tmp_path: Path, override: str, says: str) -> None:
    with by_two(file, tmp_path / "run", override) as process:
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 1
    assert errors.startswith(f"error: {says}")
    assert len(errors.splitlines()) == 1, errors


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("training.optimizer=adamv", "no optimizer 'adamv'"),
        ("model.weights=file:none.pth", "there is no weights file none.pth"),
        ("training.batch_size=32", "at most the 1 batches of an epoch, but got 2"),
        ("model.auxiliary=['kind']", "must hold numbers"),
    ],
)
def test_what_no_process_can_train_is_found_before_there_are_others(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, override: str, says: str
) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setattr("lightning_fabric.Fabric.launch", lambda _: pytest.fail("the others were started"))
    with pytest.raises(BadInput if "weights" not in override else MissingObject, match=says):
        train(load_recipe(file, ["training.devices=2", override]), tmp_path / "run")


def test_two_processes_that_are_stopped_say_so_once(file: Path, tmp_path: Path) -> None:
    epochs, often = "training.epochs=500", "training.checkpoint_minutes=0.00001"
    with by_two(file, tmp_path / "run", epochs, often, "training.batch_size=8") as process:
        deadline = time.monotonic() + 300
        while not has_learnt(tmp_path / "run") and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 130, errors
    assert errors.count("error: stopped after epoch") == 1, errors
