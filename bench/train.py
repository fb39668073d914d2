"""Throughput of the training loop against a bare PyTorch loop on the same tensors.

python bench/train.py DATASET [--batches 12]

Ours is the trainer's own epoch as `binsight train` runs it: gathering from the pixel cache, normalisation,
augmentation, moving average, gradient norms, checkpoints, progress. The bare loop has the same network, optimizer
and precision, and batches that lie in memory ready to be used: forward, loss, backward, clip, step, nothing else.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch

from binsight.dataset.manifest import Dataset
from binsight.model.batches import batches
from binsight.model.objective import cross_entropy
from binsight.model.recipe import Recipe, load_recipe
from binsight.model.train import make_fabric
from binsight.model.trainer import Trainer
from ratio import Comparison, bench_arguments, compare, report

RECIPE = Path(__file__).parents[1] / "recipes" / "default.toml"


def measure(recipe: Recipe, num_runs: int) -> Comparison:
    with tempfile.TemporaryDirectory() as folder:
        fabric = make_fabric(recipe, devices=1)
        trainer = Trainer(recipe, Path(folder), Dataset.open(recipe.data.dataset), fabric, lambda _: None)
        order = trainer._order(0)
        photos = trainer.train_photos
        ready = [
            (images, trainer.objective.targets_NK[places])
            for images, places in batches(photos.pixels, recipe.data.preprocessing, list(order))
        ]
        num_photos = sum(len(images) for images, _ in ready)

        def ours() -> float:
            trainer.position.batch = 0
            start = time.perf_counter()
            trainer._train_epoch()
            return num_photos / (time.perf_counter() - start)

        def bare() -> float:
            trainer.network.train()
            start = time.perf_counter()
            for images, targets in ready:
                if recipe.training.channels_last:
                    images = images.contiguous(memory_format=torch.channels_last)  # noqa: PLW2901
                loss = cross_entropy(trainer.network(images), targets)
                trainer.optimizer.zero_grad(set_to_none=True)
                fabric.backward(loss)
                torch.nn.utils.clip_grad_norm_(trainer.network.parameters(), recipe.training.gradient_clip)
                trainer.optimizer.step()
            return num_photos / (time.perf_counter() - start)

        return compare(ours, bare, names=("binsight train", "bare loop"), unit="photos/s", num_runs=num_runs)


def parse() -> argparse.Namespace:
    parser = bench_arguments(__doc__, num_runs=5)
    parser.add_argument("dataset", type=Path, help="folder made by `binsight data prepare`")
    parser.add_argument("--batches", type=int, default=12, help="batches of an epoch (default 12)")
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse()
    loaded = load_recipe(RECIPE)
    most = arguments.batches * loaded.training.batch_size
    # A constant rate: the schedule has no more steps than the epochs of a recipe, and a bench takes more.
    overrides = [
        f"data.dataset={arguments.dataset}",
        f"data.most={most}",
        "training.devices=1",
        "training.schedule=constant",
    ]
    report(measure(load_recipe(RECIPE, overrides), arguments.runs), at_least=0.9, as_json=arguments.json)
