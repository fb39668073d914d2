"""Training: a recipe and a dataset in, a run folder out.

```
recipe ─▶ pixels (cached) ─▶ batches ─▶ augment ─▶ network ─▶ loss ─▶ weights, their moving average
                                                                          │ each epoch
                             run folder ◀── metrics, health, best weights ◀── val
```
A run stops safely on Ctrl-C or SIGTERM, and the same command goes on from there, as it does after a kill. A folder in which
nothing has been learnt yet is begun anew: a value that was mended since holds nothing back. Epochs and steps are
`trainer.py`'s.
"""

import fcntl
import json
import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from binsight.dataset.manifest import Dataset
from binsight.errors import BadInput, BinsightError, MissingObject
from binsight.model.batches import Photos, batch_order
from binsight.model.memory import keep_freed_memory
from binsight.model.network import build_network, check_takes
from binsight.model.optimise import make_optimizer
from binsight.model.recipe import Recipe, dump_recipe
from binsight.model.run import ENVIRONMENT_NAME, RECIPE_NAME, Run, describe_environment, has_learnt
from binsight.model.teachers import TAUGHT_NAME, ask_teachers
from binsight.model.trainer import AfterEpoch, Say, Trainer, check_shares
from binsight.storage.files import make_folder, written_whole

PRECISIONS: dict[str, Any] = {"bf16": "bf16-mixed", "fp16": "16-mixed", "fp32": "32-true"}


def train(
    recipe: Recipe,
    folder: Path,
    *,
    say: Say = lambda _: None,
    before_keeping: Callable[[], None] = lambda: None,
    after_epoch: AfterEpoch = lambda _: None,
    threads: int | None = None,
    fabric: Fabric | None = None,
) -> Run:
    """Train by the recipe into `folder`, or go on with the run that is there.

    `threads` is how many this process computes with: sums are added up in another order by another number of them, and
    so the weights differ in their last digits. `fabric` is the group of processes, where others started them. `say` gets
    a line an epoch and every health finding. `before_keeping` is called when an epoch was judged and nothing of it is
    written, `after_epoch` gets its metrics when all is; an error that either raises ends the run, which can be gone on
    with. Raises `BadInput` where `folder` holds other things, or a run of another recipe or on another dataset that has
    learnt something; `BadRecipe` for values that do not train, `Stopped` on Ctrl-C or SIGTERM, `GateFailed` where the loss,
    or what the network answers, is no longer a number.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # its greetings are not for users
    if threads is not None:
        torch.set_num_threads(threads)
    dataset = Dataset.open(recipe.data.dataset)
    fabric = fabric or make_fabric(recipe, devices=recipe.training.devices)
    with ExitStack() as held:
        # What fails should fail before there are further processes, each of which would say so again.
        begins = _starts_the_others(fabric)
        if begins:
            _begin(folder, recipe, dataset, held)
            if recipe.training.devices > 1:
                _rehearse(recipe, dataset)
        fabric.launch()
        if fabric.is_global_zero and not begins:
            _begin(folder, recipe, dataset, held)
        if fabric.device.type == "cpu":
            keep_freed_memory()
        fabric.barrier()
        if not (folder / RECIPE_NAME).is_file():
            raise MissingObject(
                f"{folder.absolute()} is not the run folder that the first process wrote to; name a folder that all "
                "machines share"
            )
        trainer = Trainer(recipe, folder, dataset, fabric, say if fabric.is_global_zero else lambda _: None)
        with _stopping(trainer):
            trainer.run(before_keeping, after_epoch)
    return Run.open(folder)


def make_fabric(recipe: Recipe, *, devices: int, machines: int = 1) -> Fabric:
    """The group of processes that train together: as many on each machine."""
    return Fabric(devices=devices, num_nodes=machines, precision=PRECISIONS[recipe.training.precision])


def is_first_process() -> bool:
    """Whether this is not one of the further processes that a run of several devices starts."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def _starts_the_others(fabric: Fabric) -> bool:
    """Whether this process is alone, or starts those that train with it; else they have been started with it already."""
    environment = getattr(fabric.strategy, "cluster_environment", None)
    return fabric.is_global_zero and (environment is None or not environment.creates_processes_externally)


def _begin(folder: Path, recipe: Recipe, dataset: Dataset, held: ExitStack) -> None:
    """Write what the run is of, and ask its teachers; or find it written. The folder is held until `held` ends."""
    _check_is_free(folder, dataset)
    _check_trains(recipe)
    make_folder(folder)
    is_alone = held.enter_context(_holding(folder))
    if (folder / RECIPE_NAME).is_file() and (has_learnt(folder) or not is_alone):
        _go_on(folder, recipe, dataset)
    else:
        environment = describe_environment(dataset)
        if not _was_begun(folder, recipe, environment["dataset"]):
            (folder / TAUGHT_NAME).unlink(missing_ok=True)  # of other teachers, or about other photos
        _write_recipe(folder, recipe)
        with written_whole(folder / ENVIRONMENT_NAME) as part:
            part.write_text(json.dumps(environment, indent=2))
    ask_teachers(recipe, dataset, folder)


def _check_is_free(folder: Path, dataset: Dataset) -> None:
    """Raises `BadInput` for a folder of other things than the run's dataset, among which the run's files would be lost."""
    if not folder.is_dir() or (folder / RECIPE_NAME).is_file():
        return
    seen = [path for path in folder.iterdir() if not path.name.startswith(".")]
    others = sorted(path.name for path in seen if path.resolve() != dataset.folder.resolve())
    if others:
        raise BadInput(
            f"{folder} must be empty or hold a run, but holds {', '.join(others[:3])}{', …' * (len(others) > 3)}; choose "
            "another folder"
        )


def _check_trains(recipe: Recipe) -> None:
    """Try the network and its optimizer on two blank photos, before any photo is opened. Raises `BadRecipe`.

    It is another network than the one that will be trained, so that nothing of that one is moved.
    """
    network = build_network(recipe.model).train()
    make_optimizer(network, recipe.training)
    check_takes(
        network,
        recipe.data.preprocessing.size,
        backbone=recipe.model.backbone,
        mend="set data.preprocessing.size to a size that it takes, or choose another network",
    )


@contextmanager
def _holding(folder: Path) -> Iterator[bool]:
    """Whether no other process trains in the folder; none finds itself alone in it until the block ends.

    False also where a folder cannot be locked, as on NFS: nobody knows then.
    """
    lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_alone = True
        except OSError:
            is_alone = False
        yield is_alone
    finally:
        os.close(lock)


def _go_on(folder: Path, recipe: Recipe, dataset: Dataset) -> None:
    """Make sure that the run in the folder is of this recipe and dataset; the dataset may have moved, and is named anew.

    Raises `BadInput` where it is of another recipe, or was begun on another dataset.
    """
    run = Run.open(folder)
    if _lying_as(recipe, run.recipe) != recipe:
        raise BadInput(f"{folder} holds a run of another recipe; choose another folder, or delete this one")
    if not (has_learnt(folder) or (folder / ENVIRONMENT_NAME).is_file()):
        return  # of another process, which has written its recipe this moment
    begun_on = run.environment().get("dataset", {}).get("sha256")
    if begun_on != dataset.digest:
        raise BadInput(
            f"{folder} holds a run on another dataset: it was begun on {str(begun_on)[:12]}…, but {dataset.folder} is now "
            f"{dataset.digest[:12]}…; put that dataset back, choose another folder, or delete this one"
        )
    if run.recipe != recipe:
        _write_recipe(folder, recipe)


def _lying_as(other: Recipe, recipe: Recipe) -> Recipe:
    """The recipe with its dataset where the other one has it."""
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"dataset": other.data.dataset})})


def _write_recipe(folder: Path, recipe: Recipe) -> None:
    with written_whole(folder / RECIPE_NAME) as part:
        part.write_text(dump_recipe(recipe))


def _was_begun(folder: Path, recipe: Recipe, dataset: dict[str, str]) -> bool:
    """Whether a run by this very recipe on this very dataset was begun in the folder."""
    try:
        run = Run.open(folder)
        return run.recipe == recipe and run.environment().get("dataset") == dataset
    except BinsightError:
        return False


def _rehearse(recipe: Recipe, dataset: Dataset) -> None:
    """Make once what every process makes. Raises as `Trainer` does."""
    photos, _ = Photos(dataset, recipe, "train"), Photos(dataset, recipe, "val")
    photos.auxiliary_NA(recipe.model.auxiliary)
    order = batch_order(len(photos), recipe.training.batch_size, seed=recipe.seed, epoch=0)
    check_shares(len(order), recipe.training.devices)


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
