"""From which datasets a run has learned beside its own: by the weights that it began with, and by its teachers.

Weights in a file say nothing of the photos that they have seen, so that they count as `UNKNOWN`. Those of a package or of a
library's hub are public ones, which have seen no photo of bins.
"""

import json
from pathlib import Path
from typing import Any

from binsight.counting.bundle import SPEC_NAME, UNKNOWN, seen_by
from binsight.model.recipe import Recipe, load_recipe
from binsight.model.run import RECIPE_NAME, Run


def learned_from(run: Run) -> list[str]:
    """Hashes of the datasets that came in by first weights and teachers, and by theirs; `UNKNOWN` among them if one is."""
    return sorted(_earlier(Run.open(run.folder), seen=set()))


def not_known(recipe: Recipe) -> list[Path]:
    """The first weights and teachers of a recipe of which nobody can say what they have learned from."""
    return [folder for folder in _sources(recipe) if UNKNOWN in _datasets(folder, {folder.resolve()})]


def _sources(recipe: Recipe) -> list[Path]:
    """Runs, bundles and files of weights that a run by this recipe learns from."""
    source, _, where = recipe.model.weights.partition(":")
    return [*([Path(where)] if source in ("run", "file") else []), *recipe.training.teachers]


def datasets_of(folder: Path) -> dict[str, Path | None]:
    """Every dataset that a run or bundle has learned from, itself or by its first weights and teachers: its hash, and the
    folder in which the recipe of a run has it; `UNKNOWN` among them if one is."""
    return _datasets(folder, {folder.resolve()})


def _earlier(run: Run, seen: set[Path]) -> dict[str, Path | None]:
    found: dict[str, Path | None] = {}
    for folder in _sources(run.recipe):
        if folder.resolve() not in seen:
            seen.add(folder.resolve())
            found |= _datasets(folder, seen)
    return found


def _datasets(folder: Path, seen: set[Path]) -> dict[str, Path | None]:
    """What a run or bundle was trained on, and what it has learned from itself; a file does not tell."""
    if (folder / SPEC_NAME).is_file():
        return dict.fromkeys(seen_by(_json(folder / SPEC_NAME).get("lineage", {})))
    if (folder / RECIPE_NAME).is_file():
        digest = _json(folder / "environment.json").get("dataset", {}).get("sha256") or UNKNOWN
        recipe = load_recipe(folder / RECIPE_NAME)
        place = recipe.data.dataset if isinstance(recipe.data.dataset, Path) else None
        return {**_earlier(Run(folder=folder, recipe=recipe), seen), digest: place}
    return {UNKNOWN: None}


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
