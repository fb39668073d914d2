"""`<image> train`: hyperparameters and channels in, a bundle out.

```
input/config, input/data ─▶ recipe ─▶ checkpoints/run-… (goes on there) ─▶ bundle ─▶ model/ (the bundle's files)
                                              └─▶ output/data/ (metrics, health, report, best weights)
```
"""

import json
import re
import shutil
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from binsight.engines.container.opt_ml import OptMl
from binsight.engines.contract import (
    DATASET,
    EXPORT_NAME,
    EXPORT_SIZE,
    EXPORT_WEIGHTS,
    LEARNED,
    LEARNED_FILE,
    METRICS,
    PARENT,
    RECIPE,
    THREADS,
    metric_line,
)
from binsight.errors import BadInput, MissingObject

if TYPE_CHECKING:
    from binsight.model.health import EpochMetrics
    from binsight.model.recipe import Recipe

KEPT = ("metrics.csv", "metrics.svg", "health.json", "recipe.toml", "environment.json", "best.safetensors")
"""What of the run goes into output/data: enough to explain it, and to begin another run from its weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How the bundle is exported; called as the recipe is where it has no name of its own."""

    name: str | None
    weights: Literal["fp32", "fp16", "int8"]
    size: int | None

    @property
    def key(self) -> str:
        """Tells bundles of one run apart: trials of a tuning job may differ in this alone."""
        return sha256(json.dumps(asdict(self)).encode()).hexdigest()[:12]


def train(tree: OptMl) -> None:
    """Train, export, and lay out what SageMaker takes away. Raises `Stopped` on SIGTERM with the checkpoint written."""
    tree.channel(DATASET)  # said before anything that takes long to load
    from binsight.model.export import export
    from binsight.model.recipe import dump_recipe
    from binsight.model.train import train as train_model

    given = tree.hyperparameters()
    threads, asked = threads_of(given), export_of(given)
    recipe = recipe_of(tree, given)
    tree.checkpoints.mkdir(parents=True, exist_ok=True)
    # Trials of a tuning job may be given one place for their checkpoints.
    key = sha256(dump_recipe(recipe).encode()).hexdigest()[:12]
    run = train_model(recipe, tree.checkpoints / f"run-{key}", say=_say, after_epoch=_tell, threads=threads)
    _take_away(run.folder, tree.output_data)
    bundle = tree.checkpoints / f"bundle-{key}-{asked.key}"
    if not bundle.exists():
        export(run, bundle, name=asked.name or recipe.name, weights=asked.weights, size=asked.size)
    _lay_out(bundle, tree.model)
    from binsight.engines.container.report import measured, training_page

    training_page(run, bundle).write(tree.output_data)
    measured(run, tree.output_data / "evaluation")
    _say(f"the model is in {tree.model}; the report in {tree.output_data}")


def recipe_of(tree: OptMl, given: dict[str, Any]) -> "Recipe":
    """The recipe file of the channel `recipe`, where there is one, under the hyperparameters by their dotted names.

    Raises `BadRecipe` naming what is wrong, `MissingObject` where there is no dataset.
    """
    from binsight.model.recipe import Recipe, checked, read_fields, set_field

    channels = tree.channels()
    fields: dict[str, Any] = {"name": "sagemaker"}
    if RECIPE in channels:
        files = sorted(channels[RECIPE].glob("*.toml"))
        if len(files) != 1:
            raise BadInput(
                f"the channel {RECIPE} must hold one .toml file, but holds {len(files)}; leave one there"
            )
        fields = read_fields(files[0])
        fields.pop("search", None)  # the tuning job's part: its choices come as hyperparameters
    for name, value in given.items():
        set_field(fields, name, value)
    set_field(fields, "data.dataset", str(tree.channel(DATASET)))
    if PARENT in channels and _has_weights(channels[PARENT]):
        set_field(fields, "model.weights", f"run:{channels[PARENT]}")
    return checked(Recipe, fields, source="the job's hyperparameters")


def _has_weights(parent: Path) -> bool:
    """A pipeline has the channel always: what was put there for a beginning afresh says so, and nothing else does."""
    if (parent / "best.safetensors").is_file():
        return True
    if not (parent / LEARNED / LEARNED_FILE).is_file():
        raise MissingObject(
            f"the channel {PARENT} must hold a run with best.safetensors, but holds none; name a run's folder, or leave "
            "the channel out"
        )
    return False


def export_of(given: dict[str, Any]) -> Asked:
    """How to export, taken out of the hyperparameters. Raises `BadInput`: before hours of training, not after."""
    name, weights, size = (given.pop(one, None) for one in (EXPORT_NAME, EXPORT_WEIGHTS, EXPORT_SIZE))
    if name is not None and not (isinstance(name, str) and re.fullmatch(r"[\w.\-]+", name)):
        raise BadInput(
            f"{EXPORT_NAME} must be a text of letters, digits, _, . and -, but is {name!r}; change the hyperparameter"
        )
    if weights not in (None, "fp32", "fp16", "int8"):
        raise BadInput(
            f"{EXPORT_WEIGHTS} must be fp32, fp16 or int8, but is {weights!r}; change the hyperparameter"
        )
    if size is not None and (not isinstance(size, int) or size < 16):
        raise BadInput(
            f"{EXPORT_SIZE} must be a whole number from 16 on, but is {size!r}; change the hyperparameter"
        )
    return Asked(name=name, weights=weights or "fp32", size=size)


def threads_of(given: dict[str, Any]) -> int | None:
    """How many threads compute, taken out of the hyperparameters. Raises `BadInput`."""
    threads = given.pop(THREADS, None)
    if threads is not None and (type(threads) is not int or threads < 1):
        raise BadInput(f"{THREADS} must be a whole number from 1 on, but is {threads!r}; change the hyperparameter")
    return threads


def _take_away(run: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        if (run / name).is_file():
            shutil.copyfile(run / name, target / name)


def _lay_out(bundle: Path, model: Path) -> None:
    """The bundle's files at the root of the model's folder, which the platform has made already; bundle.json last."""
    files = [path for path in bundle.rglob("*") if path.is_file()]
    for path in sorted(files, key=lambda path: path.name == "bundle.json"):
        target = model / path.relative_to(bundle)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _say(line: str) -> None:
    print(line, flush=True)


def _tell(row: "EpochMetrics") -> None:
    for name in METRICS:
        _say(metric_line(name, getattr(row, name), row.epoch))
