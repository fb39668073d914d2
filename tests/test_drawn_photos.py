"""Drawn bins as photos to learn from: true counts, of which the network does not learn how often they occur."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.dataset_support import real_dataset
from tests.test_objective import fitted_shares
from tests.train_support import RECIPE

from binsight.dataset.manifest import Dataset
from binsight.imaging import Preprocessing, pixels_HWC
from binsight.imaging.drawn import drawn_photo
from binsight.model.batches import Photos
from binsight.model.drawn_photos import drawn_counts, drawn_pixels
from binsight.model.objective import Objective
from binsight.model.recipe import Recipe, load_recipe
from binsight.model.train import train

pytestmark = pytest.mark.usefixtures("cache")

SMALL = Preprocessing(size=48, fit="squash", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


@pytest.fixture(scope="module")
def dataset(abid: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return real_dataset(abid, tmp_path_factory.mktemp("drawn") / "bins", {"train": 48, "val": 24})


def recipe_of(dataset: Dataset, folder: Path, *overrides: str) -> Recipe:
    path = folder / "tiny.toml"
    path.write_text(RECIPE.format(dataset=dataset.folder))
    return load_recipe(path, overrides)


def test_bins_are_drawn_in_order_and_alike_by_any_number_of_processes() -> None:
    assert drawn_counts(15).tolist() == [*range(13), 0, 1]
    drawn = list(drawn_pixels(20, SMALL, num_jobs=2))
    assert len(drawn) == 20
    for number in (0, 5, 18):
        photo = drawn_photo(number % 13, seed=number, size=(320, 240))
        np.testing.assert_array_equal(drawn[number], pixels_HWC(photo, SMALL))


def test_drawn_bins_come_after_the_photos_of_train_alone(dataset: Dataset, tmp_path: Path) -> None:
    columns = 'model.auxiliary=["original_width"]'
    plain = Photos(dataset, recipe_of(dataset, tmp_path, columns), "train")
    with_drawn = recipe_of(dataset, tmp_path, columns, "data.drawn=20")
    photos = Photos(dataset, with_drawn, "train")
    assert len(photos) == len(photos.pixels) == len(photos.weights) == len(photos.is_natural) == 68
    assert photos.counts.tolist() == [*plain.counts, *drawn_counts(20)]
    np.testing.assert_array_equal(photos.pixels[:48], plain.pixels)
    np.testing.assert_array_equal(photos.pixels[48:], list(drawn_pixels(20, SMALL, num_jobs=1)))
    assert photos.is_natural.tolist() == [True] * 48 + [False] * 20
    known_NA = photos.auxiliary_NA(["original_width"])
    np.testing.assert_array_equal(known_NA[:48], plain.auxiliary_NA(["original_width"]))
    assert np.isnan(known_NA[48:]).all()
    val = Photos(dataset, with_drawn, "val")
    assert (len(val), val.num_drawn) == (24, 0)


def an_objective(counts: list[int], is_natural: list[bool], num_drawn: int, **further: object) -> Objective:
    fields = {"name": "five", "data": {"dataset": "bins"}, "model": {"backbone": "timm:any", "max_count": 4}}
    recipe = Recipe.model_validate(fields | further)
    unknown_NA = np.full((len(counts), 1), np.nan, np.float32)
    taught_NK = None
    if recipe.training.teachers:
        taught_NK = np.tile(np.array([0.1, 0.2, 0.3, 0.2, 0.2], np.float32), (len(counts) - num_drawn, 1))
    return Objective(recipe, np.array(counts), np.array(is_natural), unknown_NA, taught_NK, num_drawn=num_drawn)


def test_how_often_counts_are_drawn_is_not_learnt_nor_mixed_up_with_what_was_collected() -> None:
    natural, collected, drawn = [1] * 600 + [3] * 200, [3] * 300 + [1] * 100, [0, 1, 2, 3, 4] * 100
    counts = [*natural, *collected, *drawn]
    is_natural = [True] * 800 + [False] * 900
    objective = an_objective(counts, is_natural, 500)
    assert fitted_shares(objective, len(counts)) == pytest.approx([0, 0.75, 0, 0.25, 0], abs=0.011)
    natural_shares = (
        (torch.tensor([[0.0, 600, 0, 200, 0]]) + 0.2) / 801
    ).log()  # one photo's worth is spread evenly
    for place, by_hand in (
        (0, 0.75),
        (800, 0.75),
        (1100, 0.25),
        (1200, 0.2),
        (1203, 0.2),
    ):  # of its own source, each
        loss = objective.loss(natural_shares, torch.zeros(1, 1), torch.tensor([place]))
        assert float(loss) == pytest.approx(-np.log(by_hand), abs=0.02)


def test_teachers_say_nothing_of_drawn_bins() -> None:
    said = torch.tensor([[0.25, 0.25, 0.3, 0.1, 0.1], [0.4, 0.3, 0.1, 0.1, 0.1]]).log()
    places, nothing = torch.tensor([1, 3]), torch.zeros(2, 1)

    def loss(**training: object) -> list[float]:
        objective = an_objective([1, 1, 2, 3], [True, True, True, False], 1, training=training)
        return [float(objective.loss(said[i : i + 1], nothing[i : i + 1], places[i : i + 1])) for i in (0, 1)]

    alone, taught = loss(), loss(teachers=["t"], teacher_share=0.75)
    assert taught[1] == pytest.approx(alone[1]), "the drawn bin's count is known"
    by_teacher = -float((torch.tensor([0.1, 0.2, 0.3, 0.2, 0.2]) * said[0]).sum())
    assert taught[0] == pytest.approx(0.25 * alone[0] + 0.75 * by_teacher, rel=1e-5)


def test_a_network_learns_from_photos_and_drawn_bins_and_teachers(dataset: Dataset, tmp_path: Path) -> None:
    first = train(recipe_of(dataset, tmp_path, "data.drawn=20"), tmp_path / "first")
    second = train(
        recipe_of(dataset, tmp_path, "data.drawn=20", f"training.teachers=['{first.folder}']"), tmp_path / "second"
    )
    with (second.folder / "metrics.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 2
    assert np.load(second.folder / "teachers.npy").shape == (48, 21)
