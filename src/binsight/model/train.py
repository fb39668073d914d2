"""Training: a recipe and a dataset in, a run folder out.

```
recipe ─▶ pixels (cached) ─▶ batches ─▶ augment ─▶ network ─▶ loss ─▶ weights, their moving average
                                                                          │ each epoch
                             run folder ◀── metrics, health, best weights ◀── val
```
A run stops safely on Ctrl-C or SIGTERM, and the same command goes on from there, as it does after a kill. Epochs and
steps are `trainer.py`'s.
"""

import json
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from binsight.dataset.manifest import Dataset
from binsight.errors import BadRecipe, MissingObject
from binsight.model.memory import keep_freed_memory
from binsight.model.recipe import Recipe, dump_recipe, load_recipe
from binsight.model.run import RECIPE_NAME, Run, describe_environment
from binsight.model.teachers import ask_teachers
from binsight.model.trainer import AfterEpoch, Say, Trainer
from binsight.storage.files import make_folder, written_whole

PRECISIONS: dict[str, Any] = {"bf16": "bf16-mixed", "fp16": "16-mixed", "fp32": "32-true"}


def train(
    recipe: Recipe,
    folder: Path,
    *,
    say: Say = lambda _: None,
    after_epoch: AfterEpoch = lambda _: None,
    threads: int | None = None,
    fabric: Fabric | None = None,
) -> Run:
    """Train by the recipe into `folder`, or go on with the run that is there.

    `threads` is how many this process computes with: sums are added up in another order by another number of them, and
    so the weights differ in their last digits. `fabric` is the group of processes, where others started them. `say` gets
    a line an epoch and every health finding, `after_epoch` each epoch's metrics when they are written; an error that it
    raises ends the run, which can be gone on with. Raises `BadRecipe` where `folder` holds a run of another recipe,
    `Stopped` on Ctrl-C or SIGTERM, `GateFailed` where the loss is no longer a number.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # its greetings are not for users
    if threads is not None:
        torch.set_num_threads(threads)
    fabric = fabric or make_fabric(recipe, devices=recipe.training.devices)
    fabric.launch()
    if fabric.device.type == "cpu":
        keep_freed_memory()
    dataset = Dataset.open(recipe.data.dataset)
    if fabric.is_global_zero:
        _begin(folder, recipe, dataset)
        ask_teachers(recipe, dataset, folder)
    fabric.barrier()
    if not (folder / RECIPE_NAME).is_file():
        raise MissingObject(
            f"{folder.absolute()} is not the run folder that the first process wrote to; name a folder that all machines "
            "share"
        )
    trainer = Trainer(recipe, folder, dataset, fabric, say if fabric.is_global_zero else lambda _: None)
    with _stopping(trainer):
        trainer.run(after_epoch)
    return Run.open(folder)


def make_fabric(recipe: Recipe, *, devices: int, machines: int = 1) -> Fabric:
    """The group of processes that train together: as many on each machine."""
    return Fabric(devices=devices, num_nodes=machines, precision=PRECISIONS[recipe.training.precision])


def _begin(folder: Path, recipe: Recipe, dataset: Dataset) -> None:
    recipe_path = folder / RECIPE_NAME
    if recipe_path.is_file():
        if load_recipe(recipe_path) != recipe:
            raise BadRecipe(f"{folder} holds a run of another recipe; choose another folder, or delete this one")
        return
    make_folder(folder)
    with written_whole(folder / "environment.json") as part:
        part.write_text(json.dumps(describe_environment(dataset), indent=2))
    with written_whole(recipe_path) as part:
        part.write_text(dump_recipe(recipe))


@contextmanager
def _stopping(trainer: Trainer) -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into a wish that the trainer sees after the batch at hand."""

    def wish(*_: object) -> None:
        trainer.stop_wanted = True

    before = {number: signal.signal(number, wish) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
