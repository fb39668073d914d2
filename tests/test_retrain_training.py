"""Training as a step: from the champion's weights, in several processes, diverging, or killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest
from tests.bundle_support import changed_bundle
from tests.dataset_support import real_dataset
from tests.train_support import RECIPE

from binsight.errors import BadInput, GateFailed
from binsight.lifecycle.parents import champions_run, learned
from binsight.lifecycle.runner import Work
from binsight.lifecycle.training import train_in_processes
from binsight.lifecycle.work import given_recipe, train
from binsight.model.recipe import load_recipe

pytestmark = pytest.mark.usefixtures("cache")

TINY = RECIPE.replace("lcnet_035", "test_efficientnet")
WEIGHED = TINY.replace("[data]", '[data]\nweight = "original_width"')
"""By a column of its own: a retraining's dataset has the one that the recipe is given otherwise."""


def a_run(folder: Path, weights: bytes, *, dataset: Path, parent: Path | None = None) -> Path:
    """What of a run is looked at: its weights, its recipe, and which dataset it saw."""
    folder.mkdir(parents=True)
    (folder / "best.safetensors").write_bytes(weights)
    text = TINY.format(dataset=dataset)
    if parent is not None:
        text = text.replace("[model]", f'[model]\nweights = "run:{parent}"')
    (folder / "recipe.toml").write_text(text)
    digest = sha256(str(dataset).encode()).hexdigest()
    (folder / "environment.json").write_text(json.dumps({"dataset": {"sha256": digest}}))
    return folder


def bundle_of(folder: Path, weights: bytes) -> Path:
    """A bundle whose lineage names these weights."""
    changed_bundle(folder, "card.md", weights)
    spec = json.loads((folder / "bundle.json").read_text())
    spec["lineage"]["weights_sha256"] = sha256(weights).hexdigest()
    (folder / "bundle.json").write_text(json.dumps(spec))
    return folder


def test_the_champions_run_is_found_by_its_weights_also_among_those_of_retrainings(tmp_path: Path) -> None:
    a_run(tmp_path / "runs" / "one", b"one", dataset=tmp_path)
    two = a_run(tmp_path / "work" / "steps" / "train-0123" / "run", b"two", dataset=tmp_path)
    champion = bundle_of(tmp_path / "champion", b"two")
    folders = [tmp_path / "runs", tmp_path / "not-there", tmp_path / "work"]
    assert champions_run(champion, folders) == two.resolve()
    assert champions_run(champion, [two]) == two.resolve()
    with pytest.raises(BadInput, match=r"its run is not in .*/runs; name the folder with train.runs"):
        champions_run(champion, [tmp_path / "runs"])


def test_all_that_weights_have_seen_is_known_or_told_to_be_missing(tmp_path: Path) -> None:
    first_data, second_data = tmp_path / "first", tmp_path / "second"
    for folder in (first_data, second_data):
        folder.mkdir()
    first = a_run(tmp_path / "runs" / "first", b"1", dataset=first_data)
    second = a_run(tmp_path / "runs" / "second", b"2", dataset=second_data, parent=first)
    hashes = tuple(sha256(str(folder).encode()).hexdigest() for folder in (second_data, first_data))
    found = learned(second)
    assert (found.hashes, found.folders) == (hashes, (str(second_data), str(first_data)))
    first_data.rmdir()
    assert (learned(second).hashes, learned(second).folders) == (hashes, (str(second_data),))
    assert learned(None).hashes == ()
    (first / "environment.json").unlink()
    with pytest.raises(BadInput, match="is no whole run"):
        learned(second)


def test_the_recipe_gets_dataset_weights_and_first_weights_of_the_retraining(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY.format(dataset="elsewhere"))
    given = given_recipe(tmp_path / "tiny.toml", tmp_path / "dataset", tmp_path / "parent")
    assert given.data.dataset == tmp_path / "dataset"
    assert given.data.weight == "weight"
    assert given.model.weights == f"run:{tmp_path / 'parent'}"
    assert given_recipe(tmp_path / "tiny.toml", tmp_path, None).model.weights == "none"


@pytest.fixture(scope="module")
def dataset(abid: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return real_dataset(abid, tmp_path_factory.mktemp("data") / "data", {"train": 48, "val": 8}).folder


def the_work(dataset: Path, folder: Path, **changes: str) -> Work:
    text = WEIGHED.format(dataset=dataset)
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "tiny.toml").write_text(text)
    return Work(
        inputs={"recipe": folder / "tiny.toml", "dataset": dataset},
        out=folder / "run",
        parameters={"threads": 1},
        open={},
        say=lambda _: None,
    )


def test_a_recipe_that_diverges_ends_in_a_sentence(dataset: Path, tmp_path: Path) -> None:
    work = the_work(dataset, tmp_path, **{"lr = 2e-3": "lr = 1e30\ngradient_clip = 1e30"})
    for _ in range(2):  # and again where it goes on
        with pytest.raises(GateFailed, match=r"the loss is (nan|inf).*lower training.lr"):
            train(work)


@pytest.mark.slow
def test_several_processes_train_as_the_command_does(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY.format(dataset=dataset))
    override = ["training.devices=2", "training.batch_size=8", "training.epochs=1"]
    said: list[str] = []
    train_in_processes(load_recipe(tmp_path / "tiny.toml", override), tmp_path / "run", threads=2, say=said.append)
    assert (tmp_path / "run" / "best.safetensors").is_file()
    assert sum("epoch 1/1" in line for line in said) == 1


def test_what_a_training_process_ended_with_is_the_error(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY.format(dataset=tmp_path / "gone"))
    with pytest.raises(GateFailed, match=r"gone holds no manifest.parquet; make a dataset"):
        train_in_processes(load_recipe(tmp_path / "tiny.toml"), tmp_path / "run", threads=1, say=lambda _: None)


KILLED = """
import sys
from pathlib import Path
from binsight.lifecycle.training import train_in_processes
from binsight.model.recipe import load_recipe
train_in_processes(load_recipe(Path(sys.argv[1]), ["training.epochs=500"]), Path(sys.argv[2]), threads=1, say=print)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parents")
def test_a_killed_retraining_leaves_no_process_that_trains_on(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY.format(dataset=dataset))
    run = tmp_path / "run"
    parent = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "tiny.toml"), str(run)], stdout=subprocess.DEVNULL
    )
    end = time.monotonic() + 120
    while not (run / "best.safetensors").exists():
        assert parent.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    (child,) = children_of(parent.pid)
    os.kill(child, signal.SIGSTOP)  # else it would end by itself, when it finds nobody to tell of its next epoch
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    try:
        end = time.monotonic() + 10
        while is_alive(child):
            assert time.monotonic() < end
            time.sleep(0.02)
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def children_of(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def is_alive(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_try_of_another_recipe_in_this_place_is_thrown_away(dataset: Path, tmp_path: Path) -> None:
    work = the_work(dataset, tmp_path, **{"epochs = 2": "epochs = 1"})
    train(work)
    before = (work.out / "best.safetensors").read_bytes()
    shutil.copytree(dataset, tmp_path / "moved")
    moved = Work(
        inputs={**work.inputs, "dataset": tmp_path / "moved"},
        out=work.out,
        parameters=work.parameters,
        open={},
        say=work.say,
    )
    train(moved)
    assert load_recipe(work.out / "recipe.toml").data.dataset == tmp_path / "moved"
    assert (work.out / "best.safetensors").read_bytes() == before, "the same wherever it lies"
