"""Training in fp16: its gradients are scaled, and a step whose gradients overflow is skipped."""

from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision
from safetensors.torch import load_file
from tests.dataset_support import real_dataset
from tests.train_support import RECIPE

from binsight.errors import Stopped
from binsight.model.checkpoint import load_checkpoint, save_checkpoint
from binsight.model.recipe import Recipe, load_recipe
from binsight.model.run import CHECKPOINT_NAME, Run
from binsight.model.train import train
from binsight.model.trainer import Trainer

pytestmark = pytest.mark.usefixtures("cache")

TOO_LARGE = 2.0**124
"""A scale under which some gradients overflow."""


@pytest.fixture(scope="module")
def recipe(abid: Path, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    folder = tmp_path_factory.mktemp("recipe")
    dataset = real_dataset(abid, folder / "dataset", {"train": 64, "val": 16})
    (folder / "tiny.toml").write_text(RECIPE.format(dataset=dataset.folder))
    return load_recipe(folder / "tiny.toml", ["training.precision=fp16", "training.batch_size=8"])


def fabric(scale: float = TOO_LARGE) -> Fabric:
    """One that scales as a GPU's does, on the CPU; it raises the scale after so few steps that a short run sees it."""
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=3)
    return Fabric(accelerator="cpu", devices=1, plugins=[MixedPrecision("16-mixed", "cpu", scaler)])


def stopped(recipe: Recipe, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pause = Trainer._pause

    def stop_in_the_second_epoch(self: Trainer) -> None:
        self.stop_wanted = self.position.epoch == 1 and self.position.batch == 3
        pause(self)

    monkeypatch.setattr(Trainer, "_pause", stop_in_the_second_epoch)
    with pytest.raises(Stopped):
        train(recipe, folder, fabric=fabric())
    monkeypatch.setattr(Trainer, "_pause", pause)


def test_a_stopped_run_goes_on_with_its_scale_to_the_very_same_weights(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(recipe, tmp_path / "whole", fabric=fabric())
    stopped(recipe, tmp_path / "parts", monkeypatch)
    parts = train(recipe, tmp_path / "parts", fabric=fabric())
    assert all(torch.equal(value, last(parts)[name]) for name, value in last(whole).items())


def test_a_step_that_is_skipped_is_no_alarm_and_its_norm_not_kept(recipe: Recipe, tmp_path: Path) -> None:
    said: list[str] = []
    run = train(recipe, tmp_path / "run", fabric=fabric(), say=said.append)
    assert all(0 < row.gradient_norm <= row.gradient_norm_max < 1e3 for row in run.metrics())
    assert not [line for line in said if "gradient" in line]


def last(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.folder / "last.safetensors")


def test_a_checkpoint_of_before_which_keeps_no_scale_is_gone_on_with(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(recipe, tmp_path / "run", monkeypatch)
    kept = tmp_path / "run" / CHECKPOINT_NAME
    position, states = load_checkpoint(kept)
    states.pop("precision", None)
    save_checkpoint(kept, position, states)
    assert len(train(recipe, tmp_path / "run", fabric=fabric()).metrics()) == 2


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler")
def test_an_epoch_whose_every_step_is_skipped_has_a_norm_of_0(recipe: Recipe, tmp_path: Path) -> None:
    one = recipe.model_copy(update={"training": recipe.training.model_copy(update={"epochs": 1, "batch_size": 64})})
    (row,) = train(one, tmp_path / "run", fabric=fabric(float("inf"))).metrics()
    assert (row.gradient_norm, row.gradient_norm_max) == (0, 0)
