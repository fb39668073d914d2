"""Labelled photos whose record is probably wrong, ranked, each judged by a network that never saw its bin.

```
dataset ─▶ folds by chain ─▶ a training run on the others of each ─▶ estimates of those held out ─▶ doubts, ranked
```
```
OUT/
├── index.html, suspects.csv    the report: every photo, the most doubtful first
├── search.json                 which dataset, recipe and folds; another search needs another folder
└── folds/N                     a run folder, and
    ├── dataset/                what it trained on: a dataset of links (`dataset/folds.py`)
    └── estimates.npy           what it says of the photos held out; written last, and then the fold is done
```
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from binsight.dataset.folds import deal, fold_photos, write_fold
from binsight.dataset.manifest import Dataset, LabelledPhoto, Split
from binsight.decision.calibrate import fit_temperature, temper
from binsight.decision.scores import Floats
from binsight.decision.suspects import record_doubts, record_probs
from binsight.errors import BadDataset, BadInput, BadRecipe, StorageFailure
from binsight.model.batches import check_chosen_by, matches
from binsight.model.predictor import predict_all, predictor
from binsight.model.recipe import Recipe
from binsight.model.train import is_first_process, train
from binsight.model.trainer import Say
from binsight.records import CountEstimate
from binsight.storage.files import make_folder, written_whole

SEARCH_NAME = "search.json"
ESTIMATES_NAME = "estimates.npy"


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspectSearch:
    """Which records are judged, and how. The same search gives the same folds, on any machine."""

    dataset: Dataset
    recipe: Recipe
    splits: tuple[Split, ...] = ("train", "val")
    num_folds: int = 5
    seed: int = 0

    @property
    def photos(self) -> tuple[LabelledPhoto, ...]:
        """The photos that are judged: those of the splits that the recipe asks for. No other takes any part."""
        where = self.recipe.data.where
        return self.dataset.select(where=lambda photo: photo.split in self.splits and matches(photo, where))

    def as_json(self) -> dict[str, Any]:
        """All that decides the result; where the dataset lies does not."""
        return {
            "dataset": self.dataset.digest,
            "splits": list(self.splits),
            "folds": self.num_folds,
            "seed": self.seed,
            "recipe": self.recipe.model_dump(mode="json", exclude={"data": {"dataset"}}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A photo, its estimate out of fold, and how much that speaks against its record (`record_doubts`)."""

    photo: LabelledPhoto
    estimate: CountEstimate
    p_record: float
    score: float
    fold: int


def find_suspects(search: SuspectSearch, out: Path, *, say: Say = lambda _: None) -> tuple[Suspect, ...]:
    """Judge every record, training what is not trained yet below `out`; the most doubtful first.

    Where the recipe trains in several processes, all but the first get nothing. Raises `BadInput` where `out` holds
    something else, `BadRecipe` for a recipe whose networks have seen the photos before or that chooses by a column which is
    not there, and as `train` does.
    """
    check_recipe(search.recipe)
    check_chosen_by(search.dataset, search.recipe)
    check_out(search, out)
    if not search.photos:
        raise BadInput(
            f"{search.dataset.folder} has no photo in {' and '.join(search.splits)} that the recipe's data.where asks "
            "for; choose another --split"
        )
    fold_of = deal(search.photos, num_folds=search.num_folds, seed=search.seed)
    if is_first_process():
        _begin(search, out, fold_of)
    for fold in range(search.num_folds):
        _judge(search, fold, _fold_folder(out, fold), say)
    return _ranked(search, out, fold_of) if is_first_process() else ()


def check_recipe(recipe: Recipe) -> None:
    """Raises `BadRecipe` where the networks would begin with, or learn from, what has seen the held-out photos."""
    named = {
        f"model.weights={recipe.model.weights}": recipe.model.weights.startswith("run:"),
        "training.teachers": bool(recipe.training.teachers),
    }
    if recipe.model.weights.startswith("file:"):
        raise BadRecipe(
            "the recipe must not begin with weights of which nobody knows what photos they have seen, which may be those "
            f"that are to be judged, but has model.weights={recipe.model.weights}; take package:NAME, hub or none"
        )
    for field, is_named in named.items():
        if is_named:
            raise BadRecipe(
                f"the recipe must not name earlier runs, which may have seen the photos that are to be judged, but "
                f"has {field}; judge by a recipe that trains from the start"
            )


def check_out(search: SuspectSearch, out: Path) -> None:
    """Raises `BadInput` where `out` holds something else than what has been done of this search."""
    if out.exists() and not out.is_dir():
        raise BadInput(f"{out} is a file; name a folder for the report with --out")
    path = out / SEARCH_NAME
    if not path.is_file():
        if out.is_dir() and any(out.iterdir()):
            raise BadInput(f"{out} holds other files; name a new or empty folder for the report with --out")
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read ({error}); name another folder with --out") from None
    differing = [name for name, value in search.as_json().items() if found.get(name) != value]
    if differing:
        raise BadInput(
            f"{out} holds a search with another {' and another '.join(differing)}; name another folder with --out, "
            "or delete this one"
        )


def _begin(search: SuspectSearch, out: Path, fold_of: dict[str, int]) -> None:
    """Write what is searched for, and every fold's dataset before any further process may look for it."""
    make_folder(out)
    with written_whole(out / SEARCH_NAME) as part:
        part.write_text(json.dumps(search.as_json(), indent=2) + "\n", encoding="utf-8")
    photos = search.photos
    for fold in range(search.num_folds):
        split_anew = fold_photos(photos, fold_of, fold, seed=search.seed)
        folder = _fold_folder(out, fold) / "dataset"
        write_fold(search.dataset, split_anew, folder, fold=fold, folds=search.num_folds, seed=search.seed)


def _judge(search: SuspectSearch, fold: int, folder: Path, say: Say) -> None:
    """Train the fold's network and keep its estimates of the photos held out, unless that is done."""
    if (folder / ESTIMATES_NAME).is_file():
        return
    if is_first_process():
        say(f"fold {fold + 1}/{search.num_folds}")
    recipe = search.recipe.model_copy(
        update={
            "name": f"{search.recipe.name}-fold-{fold}",
            "data": search.recipe.data.model_copy(update={"dataset": (folder / "dataset").resolve()}),
        }
    )
    run = train(recipe, folder, say=say)
    if not is_first_process():
        return
    held_out = Dataset.open(folder / "dataset")
    answers = predict_all(
        predictor(run.folder), held_out, held_out.select("test"), doing=f"judging fold {fold + 1}"
    )
    if answers.unreadable:
        first = answers.unreadable[0]
        raise BadDataset(
            f"{search.dataset.folder} holds {len(answers.unreadable)} photos that cannot be read, first {first.photo}: "
            f"{first.reason}; prepare the dataset again"
        )
    with written_whole(folder / ESTIMATES_NAME) as part, part.open("wb") as file:
        np.save(file, answers.probs_BK)


def _ranked(search: SuspectSearch, out: Path, fold_of: dict[str, int]) -> tuple[Suspect, ...]:
    """Every photo with its estimate, the most doubtful first, in the dataset's order where doubts are equal."""
    row_of: dict[str, Floats] = {}
    for fold in range(search.num_folds):
        photos = [photo for photo in search.photos if fold_of[photo.group] == fold]
        row_of |= zip((p.photo for p in photos), _estimates(_fold_folder(out, fold), len(photos)), strict=True)
    photos = list(search.photos)
    probs_BK, records_B = np.stack([row_of[photo.photo] for photo in photos]), [photo.count for photo in photos]
    # One number for all photos, so that a network that is too sure of itself does not call every record wrong.
    probs_BK = temper(probs_BK, fit_temperature(probs_BK, records_B))
    p_records, scores = record_probs(probs_BK, records_B), record_doubts(probs_BK, records_B)
    return tuple(
        Suspect(
            photo=photos[i],
            estimate=CountEstimate(photo=photos[i].photo, probs=tuple(probs_BK[i].tolist())),
            p_record=float(p_records[i]),
            score=float(scores[i]),
            fold=fold_of[photos[i].group],
        )
        for i in np.argsort(-scores, kind="stable").tolist()
    )


def _estimates(folder: Path, num_photos: int) -> Floats:
    path = folder / ESTIMATES_NAME
    try:
        probs_BK: Floats = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise StorageFailure(f"{path} cannot be read ({error}); delete it to have the fold judged again") from None
    if probs_BK.ndim != 2 or len(probs_BK) != num_photos:
        raise StorageFailure(
            f"{path} must hold {num_photos} estimates, but has shape {probs_BK.shape}; delete it to have the fold "
            "judged again"
        )
    return probs_BK


def rows(suspects: Sequence[Suspect]) -> list[dict[str, Any]]:
    """One row a photo, as `suspects.csv`, the page and `--json` have it."""
    return [
        {
            "rank": rank,
            "photo": suspect.photo.photo,
            "file": suspect.photo.file,
            "record": suspect.photo.count,
            "count": suspect.estimate.count,
            "low": suspect.estimate.interval[0],
            "high": suspect.estimate.interval[1],
            "p_record": round(suspect.p_record, 6),
            "p_count": round(suspect.estimate.probs[suspect.estimate.count], 6),
            "score": round(suspect.score, 6),
            "group": suspect.photo.group,
            "fold": suspect.fold,
        }
        for rank, suspect in enumerate(suspects, 1)
    ]


def _fold_folder(out: Path, fold: int) -> Path:
    return out / "folds" / str(fold)
