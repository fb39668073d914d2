"""Variants of the counter beside each other: each trained shortly on the same photos, judged on bins that none has seen.

    python -m bench.variants train DATASET OUT NAME…  [--fold 0] [--seed 0] [--size 96] [--epochs 3]
    python -m bench.variants table OUT                 every variant beside `base`, paired, intervals by chain
    python -m bench.variants list

A third of the chains of `train` and `val` is held out; `test` takes no part. A variant differs from `base` in one thing:
overrides of its recipe, or what `bench/variant_parts.py` adds to the network, the loss or the photos. All train for as many
epochs, in one process of one thread (two may run at once on two cores), and the last epoch's moving average is judged, so
that nothing is chosen on the photos that judge. A variant that is done is not trained again.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench import variant_parts as parts
from torch import Tensor, nn

from binsight.dataset.folds import deal, fold_photos, write_fold
from binsight.dataset.manifest import Dataset
from binsight.decision.calibrate import fit_temperature, temper
from binsight.decision.resample import difference_intervals, score_intervals
from binsight.decision.scores import Floats, photo_scores
from binsight.model.augment import augment
from binsight.model.batches import Photos, batch_order, batches
from binsight.model.memory import keep_freed_memory
from binsight.model.network import CountNetwork, FlipAverage, build_network
from binsight.model.objective import Objective
from binsight.model.optimise import make_optimizer, make_scheduler, moving_average
from binsight.model.recipe import Recipe, load_recipe
from binsight.model.run import predict

RECIPE = Path(__file__).parent / "variants.toml"
NUM_FOLDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What differs from `base`: overrides of the recipe, and parts that no recipe has."""

    overrides: tuple[str, ...] = ()
    network: Callable[[Recipe], CountNetwork] = lambda recipe: build_network(recipe.model)
    change: Callable[[Tensor], Tensor] = lambda images_BCHW: images_BCHW
    begin: Callable[[CountNetwork, Photos, Recipe], None] = lambda *_: None
    order: Callable[[Photos, Recipe, int], Any] = lambda photos, recipe, epoch: batch_order(
        len(photos), recipe.training.batch_size, seed=recipe.seed, epoch=epoch
    )
    more_loss: Callable[[Photos, Tensor, Tensor], Tensor | float] = lambda *_: 0.0
    asked_again: Callable[[CountNetwork, Photos, Tensor, Tensor], Tensor | float] = lambda *_: 0.0


VARIANTS = {
    "base": Variant(),
    "letterbox": Variant(overrides=("data.preprocessing.fit=letterbox",)),
    "plain-labels": Variant(overrides=("model.soft_sigma=0",)),
    "sharp-answers": Variant(overrides=("training.blur_answers=true",)),
    "cumulative": Variant(overrides=("model.head=cumulative",)),
    "cumulative-prior": Variant(overrides=("model.head=cumulative",), begin=parts.thresholds_of_the_prior),
    "continuation": Variant(overrides=("model.head=continuation",)),
    "no-auxiliary": Variant(overrides=("model.auxiliary=[]",)),
    "natural-only": Variant(overrides=('data.where={collection=["complete","list"]}',)),
    "scratch": Variant(overrides=("model.weights=none",)),
    "no-augmentation": Variant(
        overrides=tuple(
            f"augment.{name}=0"
            for name in ("rotate_degrees", "shift", "zoom_out", "brightness", "contrast", "colour", "blur", "noise")
        )
    ),
    "saved-again": Variant(overrides=("augment.jpeg=0.5",)),
    "tape-and-glare": Variant(change=parts.tape_and_glare),
    "token-sum": Variant(network=parts.token_sum),
    "known-change": Variant(order=parts.chain_order, more_loss=parts.known_change),
    "chain-batches": Variant(order=parts.chain_order),
    # Half as much work more a step, as drawn has half as many steps more:
    "pairs": Variant(asked_again=parts.pairs),
    "self-supervised": Variant(begin=parts.self_supervised),
    "self-supervised-twins": Variant(begin=parts.self_supervised_by_twins),
    "drawn": Variant(overrides=("data.drawn=4000",)),
    "drawn-2-epochs": Variant(overrides=("data.drawn=4000", "training.epochs=2")),  # as many steps as base
    "5-epochs": Variant(overrides=("training.epochs=5",)),  # somewhat more than drawn
    "mobilenet-v2": Variant(
        overrides=(
            "data.preprocessing.mean=[0.485, 0.456, 0.406]",
            "data.preprocessing.std=[0.229, 0.224, 0.225]",
        ),
        network=parts.mobilenet_v2,
    ),
    "lite2": Variant(
        overrides=("model.backbone=timm:tf_efficientnet_lite2", "model.weights=package:efficientnet-lite2")
    ),
    "128": Variant(overrides=("data.preprocessing.size=128",)),
    "160": Variant(overrides=("data.preprocessing.size=160",)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Variants of the counter beside each other.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("train", "table", "list"):
        command = commands.add_parser(name)
        if name == "train":
            command.add_argument("dataset", type=Path)
        if name != "list":
            command.add_argument("out", type=Path)
        if name == "train":
            command.add_argument("names", nargs="+", choices=VARIANTS)
            command.add_argument("--fold", type=int, default=0, choices=range(NUM_FOLDS))
            command.add_argument("--seed", type=int, default=0)
            command.add_argument("--size", type=int, default=96)
            command.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    if args.command == "list":
        print("\n".join(VARIANTS))
    elif args.command == "table":
        print_table(args.out)
    else:
        torch.set_num_threads(1)
        keep_freed_memory()
        dataset = fold_dataset(Dataset.open(args.dataset), args.out, args.fold)
        for name in args.names:
            train_variant(
                name, dataset, args.out, fold=args.fold, seed=args.seed, size=args.size, epochs=args.epochs
            )


def fold_dataset(dataset: Dataset, out: Path, fold: int) -> Dataset:
    """The photos of `train` and `val` with one fold held out as `test`, and all others to train on."""
    folder = out / f"fold-{fold}"
    photos = dataset.select(where=lambda photo: photo.split in ("train", "val"))
    split = fold_photos(photos, deal(photos, num_folds=NUM_FOLDS, seed=0), fold, seed=0)
    if not folder.exists():
        write_fold(dataset, split, folder, fold=fold, folds=NUM_FOLDS, seed=0)
    return Dataset.open(folder)


def train_variant(name: str, dataset: Dataset, out: Path, *, fold: int, seed: int, size: int, epochs: int) -> None:
    """Train one variant and keep its answers, unless they are there."""
    path = out / f"{name}-{fold}-{seed}.npz"
    if path.is_file():
        return
    variant = VARIANTS[name]
    fixed = (f"data.dataset={dataset.folder}", f"data.preprocessing.size={size}", f"training.epochs={epochs}")
    recipe = load_recipe(RECIPE, (*fixed, f"seed={seed}", *variant.overrides))
    torch.manual_seed(seed)
    train, held_out = Photos(dataset, recipe, "train"), Photos(dataset, recipe, "test")
    network = variant.network(recipe)
    variant.begin(network, train, recipe)
    began = time.process_time()
    averaged = fit(network, train, recipe, variant)
    seconds = time.process_time() - began
    ways: dict[str, nn.Module] = {"probs": FlipAverage(averaged)}
    if name == "base":
        ways |= {"unflipped": averaged, "last": FlipAverage(network)}
    np.savez(
        path,
        **{way: predict(asked.eval(), held_out.pixels, recipe.data.preprocessing) for way, asked in ways.items()},
        counts=held_out.counts,
        groups=np.array([photo.group for photo in held_out.chosen]),
        listed=np.array([photo.extras.get("in_file_list") == "1" for photo in held_out.chosen]),
        native=np.array([photo.extras.get("kind") == "original" for photo in held_out.chosen]),
        photos_per_s=len(train) * recipe.training.epochs / seconds,
    )
    print(json.dumps({"variant": name, "fold": fold, "seed": seed, "cpu_seconds": round(seconds)}), flush=True)


def fit(network: CountNetwork, photos: Photos, recipe: Recipe, variant: Variant) -> nn.Module:
    """The moving average of the network's weights after the recipe's epochs; on the processor, one process."""
    training = recipe.training
    objective = Objective(
        recipe,
        photos.counts,
        photos.is_natural,
        photos.auxiliary_NA(recipe.model.auxiliary),
        weights_N=photos.weights,
        num_drawn=photos.num_drawn,
    )
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    ema = moving_average(network, training, torch.device("cpu"))
    optimizer = make_optimizer(network, training)
    orders = [variant.order(photos, recipe, epoch) for epoch in range(training.epochs)]
    scheduler = make_scheduler(optimizer, training, sum(map(len, orders)))
    step = 0
    for epoch, order in enumerate(orders):
        network.train()
        losses = []
        for images, places in batches(
            photos.pixels, recipe.data.preprocessing, list(order), jpeg=recipe.augment.jpeg
        ):
            torch.manual_seed(hash((recipe.seed, step)))
            changed = variant.change(augment(images, recipe.augment))
            answers, told = network.forward_all(changed.contiguous(memory_format=torch.channels_last))
            loss = objective.loss(answers, told, places) + variant.more_loss(photos, answers, places)
            loss = loss + variant.asked_again(network, photos, changed, places)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), training.gradient_clip)
            optimizer.step()
            scheduler.step()
            if ema is not None:
                ema.update(network, step=step)
            step += 1
            losses.append(float(loss.detach()))
        print(f"  epoch {epoch + 1}/{training.epochs}: loss {np.mean(losses):.3f}", flush=True)
    judged: nn.Module = network if ema is None else ema.module
    return judged.eval()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A variant's tempered answers over every fold and seed that it has."""

    probs_BK: Floats
    counts_B: np.ndarray
    groups: list[str]
    listed_B: np.ndarray
    native_B: np.ndarray


def print_table(out: Path) -> None:
    """Each variant's figures, and its differences to `base` on the folds and seeds that both have."""
    done: dict[str, dict[str, Path]] = {}
    for path in sorted(out.glob("*.npz")):
        name, fold, seed = path.stem.rsplit("-", 2)
        done.setdefault(name, {})[f"{fold}-{seed}"] = path
    for name in sorted(done, key=list(VARIANTS).index):
        common = sorted(done[name].keys() & done["base"].keys())
        print(json.dumps({"variant": name, "runs": common, **compared(done[name], done["base"], common)}))
    for way in ("unflipped", "last"):
        common = sorted(done["base"])
        print(json.dumps({"variant": way, "runs": common, **compared(done["base"], done["base"], common, way)}))


def compared(
    ours: dict[str, Path], theirs: dict[str, Path], common: list[str], way: str = "probs"
) -> dict[str, Any]:
    """Figures of ours, and ours minus theirs with intervals, over all held-out photos of the common runs."""
    mine, base = judged([ours[key] for key in common], way), judged([theirs[key] for key in common])
    row: dict[str, Any] = {"photos": len(mine.counts_B)}
    few_B = mine.listed_B & (mine.counts_B >= 1) & (mine.counts_B <= 5)
    for part, chosen_B in (
        ("all", np.ones(len(few_B), bool)),
        ("listed 1-5", few_B),
        ("native", mine.native_B),
        ("squashed", ~mine.native_B),
    ):
        scores = photo_scores(mine.probs_BK[chosen_B], mine.counts_B[chosen_B])
        others = photo_scores(base.probs_BK[chosen_B], base.counts_B[chosen_B])
        groups = [group for group, chosen in zip(mine.groups, chosen_B, strict=True) if chosen]
        found, differences = score_intervals(scores, groups), difference_intervals(scores, others, groups)
        assert found is not None and differences is not None
        for score in ("nll", "rps", "exact", "within_one"):
            mean, gain = getattr(scores, score).mean(), (getattr(scores, score) - getattr(others, score)).mean()
            interval = differences[score]
            row[f"{part} {score}"] = (
                f"{mean:.4f} ({gain:+.4f}: {interval.low:+.4f} to {interval.high:+.4f})"
                if ours is not theirs or way != "probs"
                else f"{mean:.4f} ({found[score].low:.4f} to {found[score].high:.4f})"
            )
    return row


def judged(paths: list[Path], way: str = "probs") -> Judged:
    """The answers of several runs one after the other, each tempered by itself."""
    files = [np.load(path) for path in paths]
    return Judged(
        probs_BK=np.concatenate([temper(file[way], fit_temperature(file[way], file["counts"])) for file in files]),
        counts_B=np.concatenate([file["counts"] for file in files]),
        groups=[str(group) for file in files for group in file["groups"]],
        listed_B=np.concatenate([file["listed"] for file in files]),
        native_B=np.concatenate([file["native"] for file in files]),
    )


if __name__ == "__main__":
    main()
