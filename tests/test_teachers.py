"""Learning from what trained models say beside the records."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tests.dataset_support import real_dataset

from binsight.counting import Counter, default_bundle
from binsight.dataset.manifest import Dataset, LabelledPhoto
from binsight.errors import BadDataset, BadRecipe, MissingObject
from binsight.model import teachers
from binsight.model.batches import wanted_photos
from binsight.model.objective import Objective, targets_BK
from binsight.model.recipe import Recipe
from binsight.model.run import Run
from binsight.model.teachers import TAUGHT_NAME, ask_teachers, taught_NK
from binsight.model.train import train

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def dataset(abid: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return real_dataset(abid, tmp_path_factory.mktemp("dataset"), {"train": 48, "val": 16})


def a_recipe(folder: Path, *, name: str = "tiny", max_count: int = 20, **training: object) -> Recipe:
    fields = {
        "name": name,
        "data": {
            "dataset": folder,
            "preprocessing": {"size": 48, "mean": [0.5] * 3, "std": [0.5] * 3, "fit": "squash"},
        },
        "model": {"backbone": "timm:lcnet_035", "max_count": max_count},
        "training": {"epochs": 1, "batch_size": 16, "precision": "fp32", "ema_decay": 0.9} | training,
    }
    return Recipe.model_validate(fields)


def a_run(dataset: Dataset, folder: Path, **fields: object) -> Run:
    return train(a_recipe(dataset.folder, **fields), folder)  # type: ignore[arg-type]


class Said:
    """A teacher that answers as told."""

    def __init__(self, probs_NK: npt.NDArray[np.float64], unreadable: Sequence[str] = ()) -> None:
        self.probs_NK, self.unreadable = probs_NK, unreadable

    def predict(self, dataset: Dataset, photos: Sequence[LabelledPhoto]) -> npt.NDArray[np.float64]:
        for photo in photos:
            if photo.photo in self.unreadable:
                raise BadDataset(f"{photo.photo} is cut short")
        return self.probs_NK[: len(photos)]


def test_the_network_learns_the_mean_of_what_its_teachers_say_about_its_training_photos(
    dataset: Dataset, tmp_path: Path
) -> None:
    run = a_run(dataset, tmp_path / "one", lr=1e-2, ema_decay=0)
    recipe = a_recipe(dataset.folder, teachers=[run.folder, default_bundle()])
    ask_teachers(recipe, dataset, tmp_path)
    photos = wanted_photos(dataset, recipe, "train")
    bundle_says = Counter.load(default_bundle()).probs([dataset.read_bytes(photo) for photo in photos])
    assert bundle_says.std(axis=0).max() > 0.1, "it says the same of all photos"
    taught = taught_NK(tmp_path)
    assert taught is not None
    assert taught == pytest.approx((run.predict(dataset, photos) + bundle_says) / 2, abs=1e-5)


def test_a_bundle_teaches_as_a_run_does_and_is_asked_once(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = a_recipe(dataset.folder, teachers=[default_bundle()], epochs=2)
    run = train(recipe, tmp_path / "run")
    kept = (run.folder / TAUGHT_NAME).read_bytes()
    monkeypatch.setattr(teachers, "predictor", lambda _: pytest.fail("it was asked again"))
    train(recipe, tmp_path / "run")
    assert (run.folder / TAUGHT_NAME).read_bytes() == kept


def test_a_network_taught_by_its_teacher_alone_comes_to_answer_as_it_does(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the records say: the teacher here says 7 of every photo."""
    photos = wanted_photos(dataset, a_recipe(dataset.folder), "train")
    seven_NK = np.tile(np.eye(21)[7] * 0.8 + 0.2 / 21, (len(photos), 1))
    monkeypatch.setattr(teachers, "predictor", lambda _: Said(seven_NK))
    recipe = a_recipe(dataset.folder, teachers=["any"], teacher_share=1, epochs=12, lr=5e-3, ema_decay=0)
    run = train(recipe, tmp_path / "run")
    assert (run.predict(dataset, photos).argmax(axis=1) == 7).mean() > 0.9


def test_the_loss_shares_out_records_and_teachers_and_shifts_the_records_alone() -> None:
    counts, is_natural = np.array([1, 1, 2, 3]), np.array([True, True, False, False])
    taught_NK = np.array([[0.1, 0.2, 0.3, 0.4]] * 4, dtype=np.float32)
    said = torch.tensor([[0.25, 0.25, 0.3, 0.2], [0.4, 0.3, 0.2, 0.1]]).log()
    places, nothing = torch.tensor([0, 3]), torch.zeros(2, 0)

    def loss(share: float) -> float:
        recipe = a_recipe(Path("bins"), max_count=3, teachers=["t"], teacher_share=share)
        none_N0 = np.zeros((4, 0), dtype=np.float32)
        return float(Objective(recipe, counts, is_natural, none_N0, taught_NK).loss(said, nothing, places))

    by_hand = -float((torch.from_numpy(taught_NK[:2]) * said).sum(dim=1).mean())
    assert loss(1.0) == pytest.approx(by_hand, rel=1e-5)
    assert loss(0.25) == pytest.approx(0.75 * loss(0.0) + 0.25 * loss(1.0), rel=1e-5)
    unshifted = -float((targets_BK(torch.tensor([1, 3]), num_counts=4, soft_sigma=0) * said).sum(dim=1).mean())
    assert loss(0.0) != pytest.approx(unshifted, abs=0.01)


def test_a_teacher_that_counts_to_another_number_is_refused(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teachers, "predictor", lambda _: Said(np.full((64, 6), 1 / 6)))
    with pytest.raises(BadRecipe, match=r"must answer counts 0 to 20, as model.max_count says, but answers 0 to 5"):
        a_run(dataset, tmp_path / "run", teachers=["five"])
    assert not (tmp_path / "run" / TAUGHT_NAME).exists()


def test_a_photo_that_a_teacher_cannot_read_is_named(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = dataset.select("train")[3].photo
    monkeypatch.setattr(teachers, "predictor", lambda _: Said(np.full((64, 21), 1 / 21), [damaged]))
    with pytest.raises(BadDataset, match=f"1 training photos .* first {damaged}: .* cut short"):
        a_run(dataset, tmp_path / "run", teachers=["five"])


def test_a_teacher_that_is_not_there_is_named(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(MissingObject, match="nowhere is not a folder"):
        a_run(dataset, tmp_path / "run", teachers=["nowhere"])
