"""What trained models say about the training photos, for a network to learn beside the records.

A record is one number, and often not the one that can be seen; an estimate says how sure one can be. A network that
learns both can become better than its teacher, even where that is a network of its own kind (Hinton et al. 2015,
arXiv:1503.02531; Furlanello et al. 2018, arXiv:1805.04770).

Axes: T teachers, N training photos, K counts.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from binsight.dataset.manifest import Dataset, LabelledPhoto
from binsight.decision.scores import Floats
from binsight.errors import BadDataset, BadRecipe
from binsight.model.batches import wanted_photos
from binsight.model.predictor import predict_all, predictor
from binsight.model.recipe import Recipe
from binsight.storage.files import written_whole

TAUGHT_NAME = "teachers.npy"


def ask_teachers(recipe: Recipe, dataset: Dataset, folder: Path) -> None:
    """Keep the mean of the teachers' estimates for the training photos in the run's folder, where it is not there yet.

    Raises `BadRecipe` where a teacher counts otherwise than to `model.max_count`, `BadDataset` where it cannot read
    one of the photos, and as `predictor` does.
    """
    teachers, kept = recipe.training.teachers, folder / TAUGHT_NAME
    if not teachers or kept.is_file():
        return
    photos = wanted_photos(dataset, recipe, "train")
    answers_TNK = [_ask(teacher, dataset, photos, recipe.model.num_counts) for teacher in teachers]
    with written_whole(kept) as part, part.open("wb") as file:
        np.save(file, np.mean(answers_TNK, axis=0).astype(np.float32))


def taught_NK(folder: Path) -> npt.NDArray[np.float32] | None:
    """What `ask_teachers` kept in the run's folder; None where the recipe names no teacher."""
    path = folder / TAUGHT_NAME
    return np.load(path) if path.is_file() else None


def _ask(teacher: Path, dataset: Dataset, photos: Sequence[LabelledPhoto], num_counts: int) -> Floats:
    answers = predict_all(predictor(teacher), dataset, photos, doing=f"asking {teacher.name}")
    if answers.unreadable:
        first = answers.unreadable[0]
        raise BadDataset(
            f"{teacher} cannot be asked about {len(answers.unreadable)} training photos of {dataset.folder}, first "
            f"{first.photo}: {first.reason}; prepare the dataset again"
        )
    if answers.probs_BK.shape[1] != num_counts:
        raise BadRecipe(
            f"training.teachers: {teacher} must answer counts 0 to {num_counts - 1}, as model.max_count says, but "
            f"answers 0 to {answers.probs_BK.shape[1] - 1}"
        )
    return answers.probs_BK
