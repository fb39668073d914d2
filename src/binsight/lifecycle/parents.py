"""The run that the champion came from, and the datasets that its weights have seen."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from binsight.counting.bundle import SPEC_NAME, Bundle, file_digest, seen_by
from binsight.errors import BadInput, BinsightError
from binsight.model.recipe import load_recipe

WEIGHTS, RECIPE = "best.safetensors", "recipe.toml"


FindRun = Callable[[Path, Iterable[Path]], Path]
"""Finds the run of a bundle, be it in one of some folders or elsewhere."""


def champions_run(champion: Path, folders: Iterable[Path]) -> Path:
    """The run whose weights the bundle holds, looked for in folders of runs. Raises `BadInput` where it is in none."""
    wanted = Bundle.open(champion).spec.lineage.get("weights_sha256")
    looked = [folder for folder in folders if folder.is_dir()]
    for folder in looked:
        for run in _runs(folder):
            if file_digest(run / WEIGHTS) == wanted:
                return run
    where = ", ".join(map(str, looked)) or "no folder that is there"
    raise BadInput(
        f"training is to begin with the weights of {Bundle.open(champion).name}, but its run is not in {where}; name the "
        "folder with train.runs, or begin afresh: train.begin=fresh"
    )


def _runs(folder: Path) -> Iterator[Path]:
    """Runs in a folder of runs, the folder itself if it is one, and those that retrainings made in it."""
    for run in (folder, *sorted(folder.glob("*")), *sorted(folder.glob("steps/train-*/run"))):
        if (run / WEIGHTS).is_file() and (run / RECIPE).is_file():
            yield run.resolve()


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """Datasets that weights have seen: the hashes of all, and the folders of those that are still where they were."""

    hashes: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()


def learned(run: Path | None) -> Learned:
    """What a run and the runs before it were trained on. Where a bundle's description lies beside a run, it says so.

    A hash without a folder is told where it counts: no comparison passes a challenger whose training photos are not known.
    """
    hashes: dict[str, None] = {}
    folders: dict[str, None] = {}
    seen: set[Path] = set()
    while run is not None and run not in seen:
        seen.add(run)
        if (run / SPEC_NAME).is_file():
            hashes |= dict.fromkeys(seen_by(json.loads((run / SPEC_NAME).read_text(encoding="utf-8"))["lineage"]))
            break
        try:
            recipe = load_recipe(run / RECIPE)
            environment = json.loads((run / "environment.json").read_text(encoding="utf-8"))
            hashes[environment["dataset"]["sha256"]] = None
        except (BinsightError, OSError, ValueError, KeyError) as error:
            raise BadInput(f"{run} is no whole run ({error}); begin afresh: train.begin=fresh") from None
        if isinstance(recipe.data.dataset, Path) and recipe.data.dataset.is_dir():
            folders[str(recipe.data.dataset.resolve())] = None
        source, _, where = recipe.model.weights.partition(":")
        run = Path(where) if source == "run" else None
    return Learned(hashes=tuple(hashes), folders=tuple(folders))
