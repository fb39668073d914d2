"""Training: a run folder, exact resumption, clear ends."""

import csv
import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.dataset_support import real_dataset
from tests.forked import Forked
from tests.train_support import RECIPE

from binsight.dataset.manifest import Dataset
from binsight.decision.scores import photo_scores, score
from binsight.errors import BadDataset, BadInput, BadRecipe, GateFailed, MissingObject, Stopped, StorageFailure
from binsight.model.batches import Photos, batch_order, wanted_photos
from binsight.model.network import build_network
from binsight.model.recipe import Recipe, load_recipe
from binsight.model.run import Run, has_learnt
from binsight.model.train import train
from binsight.model.trainer import Trainer
from binsight.settings import settings

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def dataset(abid: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return real_dataset(abid, tmp_path_factory.mktemp("dataset"), {"train": 96, "val": 40})


@pytest.fixture
def file(dataset: Dataset, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE.format(dataset=dataset.folder))
    return path


@pytest.fixture
def recipe(file: Path) -> Recipe:
    return load_recipe(file)


@pytest.fixture(scope="module")
def said() -> list[str]:
    """What the training of `whole` said."""
    return []


@pytest.fixture(scope="module")
def whole(dataset: Dataset, said: list[str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run of the recipe from its beginning to its end."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "tiny.toml").write_text(RECIPE.format(dataset=dataset.folder))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BINSIGHT_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "cache"))
        settings.cache_clear()
        return train(load_recipe(folder / "tiny.toml"), folder / "run", say=said.append)


def metrics(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_folder_holds_all_that_it_promises(whole: Run, said: list[str], recipe: Recipe) -> None:
    found = {path.name for path in whole.folder.iterdir()}
    assert {
        "recipe.toml",
        "environment.json",
        "metrics.csv",
        "metrics.svg",
        "health.json",
        "best.safetensors",
        "last.safetensors",
    } <= found
    assert not [name for name in found if name.endswith(".part")]
    rows = metrics(whole.folder)
    assert [row["epoch"] for row in rows] == ["1", "2"]
    environment = whole.environment()
    assert environment["dataset"]["sha256"] == Dataset.open(recipe.data.dataset).digest
    assert "torch" in environment["packages"]
    assert [line for line in said if line.startswith("epoch 2/2")]
    assert whole.recipe == recipe


def test_the_run_answers_as_its_metrics_say(whole: Run, dataset: Dataset) -> None:
    """The best weights, opened again, score on val what the best row says."""
    photos = dataset.select("val")
    scores = score(whole.predict(dataset, photos), np.array([photo.count for photo in photos]))
    best = min(metrics(whole.folder), key=lambda row: float(row["val_rps"]))
    assert scores.rps == pytest.approx(float(best["val_rps"]), abs=1e-4)
    assert scores.exact == pytest.approx(float(best["val_exact"]))


def test_a_stopped_run_goes_on_to_the_very_same_weights(
    whole: Run, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause = Trainer._pause

    def stop_after_second_epochs_third_batch(self: Trainer) -> None:
        self.stop_wanted = self.position.epoch == 1 and self.position.batch == 3
        pause(self)

    monkeypatch.setattr(Trainer, "_pause", stop_after_second_epochs_third_batch)
    with pytest.raises(Stopped, match="run the same command again"):
        train(recipe, tmp_path / "parts")
    monkeypatch.setattr(Trainer, "_pause", pause)
    said: list[str] = []
    parts = train(recipe, tmp_path / "parts", say=said.append)
    assert said[0] == "going on at epoch 2, batch 4"
    assert same_weights(whole, parts)


def same_weights(one: Run, other: Run) -> bool:
    return all(
        all(torch.equal(value, again[name]) for name, value in load_file(one.folder / file).items())
        for file in ("best.safetensors", "last.safetensors")
        for again in [load_file(other.folder / file)]
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_goes_on_to_the_very_same_weights(
    whole: Run, file: Path, tmp_path: Path, number: signal.Signals
) -> None:
    override = "training.checkpoint_minutes=0.00001"  # a checkpoint after every batch
    command = ["train", file, override, "--out", tmp_path / "parts"]
    killed = Forked(*command, folder=tmp_path / "killed")
    killed.wait_for(tmp_path / "parts" / "checkpoint.pt")
    killed.send_signal(number)
    assert killed.end() == (-signal.SIGKILL if number == signal.SIGKILL else 130), killed.stderr
    assert not (tmp_path / "parts" / "metrics.csv").is_file(), "it was killed too late to mean anything"
    again = Forked(*command, folder=tmp_path / "again")
    assert again.end() == 0, again.stderr
    assert same_weights(whole, Run.open(tmp_path / "parts"))


def test_a_finished_run_is_left_as_it_is(whole: Run, recipe: Recipe, tmp_path: Path) -> None:
    run = shutil.copytree(whole.folder, tmp_path / "run")
    before = (run / "last.safetensors").stat().st_mtime_ns
    said: list[str] = []
    train(recipe, run, say=said.append)
    assert (run / "last.safetensors").stat().st_mtime_ns == before
    assert said == [f"{run} is trained to its end already, epoch 2 of 2; nothing is left to do"]


def test_a_folder_with_a_run_of_another_recipe_is_not_touched(whole: Run, file: Path) -> None:
    with pytest.raises(BadInput, match="another recipe"):
        train(load_recipe(file, ["seed=4"]), whole.folder)


def test_two_processes_train_one_network(file: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "binsight", "train", str(file), "training.devices=2", "training.epochs=1"]
    command.append("model.auxiliary=['original_width']")  # each process needs the gradients of all of it
    subprocess.run([*command, "--out", str(tmp_path / "run")], check=True, capture_output=True, timeout=300)
    rows = metrics(tmp_path / "run")
    assert len(rows) == 1
    assert np.isfinite(float(rows[0]["val_nll"]))


@pytest.mark.parametrize("option", ["model.frozen=true", "model.head=cumulative", "model.head=continuation"])
def test_every_way_to_train_goes_through(file: Path, tmp_path: Path, option: str) -> None:
    run = train(load_recipe(file, [option, "training.epochs=1", "data.most=32"]), tmp_path / "run")
    assert (run.folder / "best.safetensors").is_file()


def test_training_goes_on_from_an_earlier_runs_whole_network(whole: Run, file: Path, tmp_path: Path) -> None:
    """Head included, and only where the network is the same."""
    weights = f"model.weights=run:{whole.folder}"
    network = build_network(load_recipe(file, [weights]).model)
    saved = load_file(whole.folder / "best.safetensors")
    assert all(torch.equal(value, saved[name]) for name, value in network.state_dict().items())
    with pytest.raises(BadRecipe, match="do not fit the network"):
        train(load_recipe(file, [weights, "model.max_count=9"]), tmp_path / "second")


def test_only_photos_with_one_of_the_wanted_values_are_trained_on(dataset: Dataset, file: Path) -> None:
    kinds = {photo.extras["collection"] for photo in dataset.photos}
    assert kinds == {"complete"}
    both = load_recipe(file, ["data.where={collection=['complete', 'list']}"])
    assert wanted_photos(dataset, both, "train") == dataset.select("train")
    listed = load_recipe(file, ["data.where={in_file_list=['1']}"])
    found = wanted_photos(dataset, listed, "train")
    assert found == dataset.select("train", where=lambda photo: photo.extras["in_file_list"] == "1")
    assert 2 <= len(found) < len(dataset.select("train"))


def test_photos_that_do_not_come_naturally_are_trained_on_and_not_judged_by(
    dataset: Dataset, file: Path, tmp_path: Path
) -> None:
    recipe = load_recipe(file, ["data.natural={in_file_list=['1']}"])
    listed = dataset.select("val", where=lambda photo: photo.extras["in_file_list"] == "1")
    assert wanted_photos(dataset, recipe, "train") == dataset.select("train")
    assert wanted_photos(dataset, recipe, "val") == listed != dataset.select("val")
    photos = Photos(dataset, recipe, "train")
    assert 0 < photos.is_natural.sum() < len(photos)
    run = train(recipe, tmp_path / "run")
    counts = np.array([photo.count for photo in listed])
    judged = score(run.predict(dataset, listed), counts)
    assert judged.rps == pytest.approx(min(float(row["val_rps"]) for row in metrics(run.folder)), rel=1e-3)
    with pytest.raises(BadDataset, match=r"no train photo of those that data\.natural asks for"):
        train(load_recipe(file, ["data.natural={kind=['no such kind']}"]), tmp_path / "none")


def test_a_loss_that_is_no_number_ends_the_run_in_a_sentence(file: Path, tmp_path: Path) -> None:
    with pytest.raises(GateFailed, match=r"lower training\.lr"):
        train(
            load_recipe(file, ["training.lr=1e30", "training.optimizer=sgd", "training.gradient_clip=1e30"]),
            tmp_path / "r",
        )


def test_weights_that_the_last_step_of_an_epoch_breaks_end_the_run_in_a_sentence_and_are_not_kept(
    file: Path, tmp_path: Path
) -> None:
    breaking = ["training.lr=1e30", "training.optimizer=sgd", "training.schedule=constant", "training.epochs=1"]
    with pytest.raises(
        GateFailed, match=r"answers for val are no numbers after epoch 1; lower training\.lr \(now 1e\+30"
    ):
        train(load_recipe(file, [*breaking, "training.batch_size=96"]), tmp_path / "run")
    assert not has_learnt(tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            ["model.backbone=timm:vit_tiny_patch16_224"],
            r"of 48 × 48 pixels .*Input height \(48\) .*preprocessing\.size",
        ),
        (
            ["model.backbone=torchvision:googlenet"],
            "torchvision:googlenet .* one tensor of features.*another network",
        ),
        (["training.optimizer=adahessian"], "training.optimizer must do with first derivatives"),
        (["training.optimizer=best"], "no optimizer 'best'"),
    ],
)
def test_values_that_do_not_train_are_named_before_any_photo_is_opened(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], says: str
) -> None:
    monkeypatch.setattr("binsight.model.trainer.Photos", lambda *_: pytest.fail("photos were opened"))
    with pytest.raises(BadRecipe, match=says):
        train(load_recipe(file, options), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_dataset_that_is_not_there_or_has_too_few_photos_is_named(file: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingObject, match="binsight data prepare"):
        train(load_recipe(file, [f"data.dataset={tmp_path}"]), tmp_path / "run")
    with pytest.raises(BadDataset, match="at least 2 train photos"):
        train(load_recipe(file, ["data.where={kind=['no such kind']}"]), tmp_path / "run2")


def test_a_photo_that_vanished_from_the_dataset_is_named(abid: Path, tmp_path: Path, file: Path) -> None:
    made = real_dataset(abid, tmp_path / "d", {"train": 8, "val": 8})
    (made.folder / made.photos[3].file).unlink()
    with pytest.raises(BadDataset, match=made.photos[3].photo):
        train(load_recipe(file, [f"data.dataset={made.folder}", "training.batch_size=4"]), tmp_path / "run")


@pytest.mark.parametrize("minutes", [2, 0.00001], ids=["weights", "checkpoint"])
def test_a_full_disk_ends_the_run_in_a_sentence_and_leaves_no_half_file(
    file: Path, whole: Run, tmp_path: Path, minutes: float
) -> None:
    """No file may grow beyond 200 kB: neither weights nor a checkpoint after the first batch can be written.

    The pixel cache is there already, of the whole run.
    """
    out, override = tmp_path / "run", f"training.checkpoint_minutes={minutes}"
    ended = Forked("train", file, override, "--out", out, folder=tmp_path, most_file_bytes=200_000)
    assert ended.end() == 1
    assert "could not be written" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not list(out.glob("*.part")) + list(out.glob(".*.part"))


def test_a_cache_folder_that_cannot_be_made_is_named(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in-the-way").write_text("")
    monkeypatch.setenv("BINSIGHT_CACHE_DIR", str(tmp_path / "in-the-way"))
    settings.cache_clear()
    with pytest.raises(StorageFailure, match="BINSIGHT_CACHE_DIR"):
        train(load_recipe(file), tmp_path / "run")


def test_an_epoch_sees_every_photo_once_in_an_order_of_its_own() -> None:
    first, second = (batch_order(100, 16, seed=1, epoch=epoch) for epoch in (0, 1))
    assert first.shape == (6, 16)
    assert len(set(first.ravel().tolist())) == 96
    assert (first != second).any()
    assert (first == batch_order(100, 16, seed=1, epoch=0)).all()


LEARNING = """
name = "learning"
seed = 1
[data]
dataset = "{dataset}"
[data.preprocessing]
size = 64
fit = "squash"
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
[model]
backbone = "timm:tf_efficientnet_lite0"
weights = "package:efficientnet-lite0"
soft_sigma = 0.6
[training]
epochs = 3
batch_size = 32
lr = 1e-3
precision = "fp32"
channels_last = true
ema_decay = 0.98
"""


def test_a_small_run_beats_the_majority_class_on_photos_it_has_not_seen(abid: Path, tmp_path: Path) -> None:
    """Counts 1–5 of the listed photos, trained on 1,300 of them, judged on 730 others of other bins.

    It must do so by more than luck: two standard errors above the majority. Labels in another order must not.
    """
    dataset = real_dataset(
        abid, tmp_path / "d", {"train": 1300, "val": 100, "test": 730}, where={"in_file_list": "1"}
    )
    path = tmp_path / "learning.toml"
    path.write_text(LEARNING.format(dataset=dataset.folder))
    run = train(load_recipe(path), tmp_path / "run")
    photos = dataset.select("test")
    counts = np.array([photo.count for photo in photos])
    exact = photo_scores(run.predict(dataset, photos), counts).exact
    train_counts = np.array([photo.count for photo in dataset.select("train")])
    majority = (counts == np.bincount(train_counts).argmax()).mean()
    error = np.sqrt(majority * (1 - majority) / len(counts))
    print(json.dumps({"exact": exact.mean(), "majority": majority}))
    assert exact.mean() > majority + 2 * error
    shifted = np.roll(run.predict(dataset, photos), 1, axis=1)  # a broken label order: every answer one too high
    assert photo_scores(shifted, counts).exact.mean() < majority + error


def test_photos_weigh_what_their_column_says_and_one_on_average(recipe: Recipe, dataset: Dataset) -> None:
    weighed = Photos(dataset, with_weight(recipe, "original_width"), "train")
    widths = np.array([float(photo.extras["original_width"]) for photo in weighed.chosen])
    assert weighed.weights == pytest.approx(widths / widths.mean())
    assert set(Photos(dataset, recipe, "train").weights.tolist()) == {1.0}
    with pytest.raises(BadDataset, match="column kind must hold numbers"):
        Photos(dataset, with_weight(recipe, "kind"), "train")


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "heavy"])
def test_a_weight_that_is_no_number_is_named_with_its_photo_and_an_empty_one_is_1(
    recipe: Recipe, dataset: Dataset, text: str
) -> None:
    def weighed(weight: str) -> Dataset:
        texts = [weight, *["1"] * (len(dataset.photos) - 1)]
        photos = (replace(one, extras={"w": w}) for one, w in zip(dataset.photos, texts, strict=True))
        return replace(dataset, photos=tuple(photos))

    assert set(Photos(weighed(""), with_weight(recipe, "w"), "train").weights.tolist()) == {1.0}
    says = (
        rf"column w must hold numbers of 0 or more, but holds '{text}' for photo {dataset.photos[0].photo}; prepare"
    )
    with pytest.raises(BadDataset, match=says):
        Photos(weighed(text), with_weight(recipe, "w"), "train")


@pytest.mark.parametrize(
    ("override", "field", "named"),
    [
        ("data.weight=widht", "data.weight", "widht"),
        ("data.where={colection=['complete']}", "data.where", "colection"),
        ("data.where={count=['1','2']}", "data.where", "count"),
        ("data.natural={in_list=['1']}", "data.natural", "in_list"),
        ("model.auxiliary=['item_lines']", "model.auxiliary", "item_lines"),
    ],
)
def test_a_column_that_came_with_no_photo_is_named_beside_those_that_did(
    file: Path, dataset: Dataset, override: str, field: str, named: str
) -> None:
    says = f"{field} must name columns .* {dataset.folder} are collection, in_file_list, kind, .* but names {named}"
    with pytest.raises(BadRecipe, match=says):
        Photos(dataset, load_recipe(file, [override]), "train")


def with_weight(recipe: Recipe, column: str) -> Recipe:
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"weight": column})})
