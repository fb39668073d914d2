"""What each step does: a function from artifacts to one artifact. `steps.py` has them in their order."""

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

from binsight.dataset.manifest import Dataset
from binsight.errors import BadRecipe
from binsight.lifecycle.concluding import conclude_with
from binsight.lifecycle.counted import gather as gather_counts
from binsight.lifecycle.extended import WEIGHT, extend
from binsight.lifecycle.familiar import familiar
from binsight.lifecycle.record import RECORD_NAME
from binsight.lifecycle.runner import Work
from binsight.lifecycle.training import train_here, train_in_processes
from binsight.lifecycle.verdict import compare_on
from binsight.model.recipe import Recipe, load_recipe
from binsight.storage.files import make_folder, written_whole


def gather(work: Work) -> None:
    """Photos and counts of the bins that were counted when the retraining began."""
    gather_counts(work.open["rows"], work.out, work.say)


def prepare(work: Work) -> None:
    """The base dataset, which those photos join."""
    data = work.parameters["joining"]
    extend(
        Dataset.open(work.inputs["base"]),
        Dataset.open(work.inputs["promotion"]),
        data["split"],
        work.inputs["counts"],
        work.out,
        columns=data["columns"],
        most_weight=data["most_weight"],
        say=work.say,
    )


def train(work: Work) -> None:
    """A run; a try that was killed is gone on with, where it was of this recipe in these places."""
    recipe = given_recipe(work.inputs["recipe"], work.inputs["dataset"], work.inputs.get("parent"))
    begun = work.out / "recipe.toml"
    if begun.is_file() and _other(begun, recipe):
        shutil.rmtree(work.out)
    run = train_here if recipe.training.devices == 1 else train_in_processes
    run(recipe, work.out, threads=work.parameters["threads"], say=work.say)


def given_recipe(file: Path, dataset: Path, parent: Path | None) -> Recipe:
    """The recipe with this retraining's dataset, weights of photos and first weights."""
    recipe = load_recipe(file)
    data = recipe.data.model_copy(update={"dataset": dataset, "weight": recipe.data.weight or WEIGHT})
    model = recipe.model if parent is None else recipe.model.model_copy(update={"weights": f"run:{parent}"})
    return recipe.model_copy(update={"data": data, "model": model})


def _other(file: Path, recipe: Recipe) -> bool:
    try:
        return load_recipe(file) != recipe
    except BadRecipe:
        return True


def evaluate(work: Work) -> None:
    """How good the run is on photos of `val`: for people to read; nothing is decided by it."""
    from binsight.model.evaluate import evaluate as measure
    from binsight.model.evaluate import select
    from binsight.model.evaluation_files import write_evaluation
    from binsight.model.predictor import predictor

    dataset, run = Dataset.open(work.inputs["dataset"]), work.inputs["run"]
    look = partial(familiar, run, dataset, "val", ())
    write_evaluation(
        measure("challenger", predictor(run), dataset, select(dataset, "val", {}), look=look), work.out
    )


def export(work: Work) -> None:
    """The challenger: the run as a bundle."""
    from binsight.model.export import export as export_run
    from binsight.model.run import Run

    terms = work.parameters["export"]
    made = export_run(
        Run.open(work.inputs["run"]),
        work.out,
        dataset=Dataset.open(work.inputs["dataset"]),
        name=terms["name"],
        weights=terms["weights"],
        size=terms["size"],
    )
    work.say(f"the challenger is {made.name}")


def compare(work: Work) -> None:
    """Champion and challenger on the frozen photos, and what follows."""
    decision = compare_on(
        work.inputs["champion"],
        work.inputs["challenger"],
        work.inputs["promotion"],
        data=work.parameters["judging"],
        terms=work.parameters["compare"],
        training=work.inputs["dataset"],
        learned=work.open["learned"],
        out=work.out,
        ledger=work.open["ledger"],
        by=work.open["by"],
    )
    work.say(f"{decision.word}: {'; '.join(decision.reasons)}")


def conclude(work: Work) -> None:
    """Act on it: promote, try on a share of the requests, or keep the champion."""
    make_folder(work.out)
    verdict = json.loads((work.inputs["verdict"] / RECORD_NAME).read_text(encoding="utf-8"))
    outcome = conclude_with(
        verdict["decision"],
        work.inputs["challenger"],
        id=work.parameters["id"],
        better=work.parameters["conclude"]["better"],
        seen=work.open["champion"],
        registry=work.open["registry"],
        by=work.open["by"],
    )
    _write(work.out / "outcome.json", outcome)


def _write(path: Path, value: dict[str, Any]) -> None:
    with written_whole(path) as part:
        part.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
