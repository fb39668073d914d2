"""What a network learns beside the count: numbers of the records."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.dataset_support import real_dataset
from tests.train_support import RECIPE

from binsight.dataset.manifest import Dataset
from binsight.errors import BadDataset
from binsight.model.batches import Photos
from binsight.model.recipe import Recipe, load_recipe
from binsight.model.train import train

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def dataset(abid: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return real_dataset(abid, tmp_path_factory.mktemp("dataset"), {"train": 96, "val": 40})


@pytest.fixture
def file(dataset: Dataset, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE.format(dataset=dataset.folder))
    return path


@pytest.fixture
def recipe(file: Path) -> Recipe:
    return load_recipe(file, ["training.epochs=1"])


@pytest.fixture
def also_widths(file: Path) -> Recipe:
    learnt = ["model.auxiliary=['original_width']", "training.auxiliary_weight=1"]
    return load_recipe(file, [*learnt, "training.epochs=1"])


def test_what_is_learnt_beside_the_count_teaches_the_network_and_is_not_asked_for(
    recipe: Recipe, also_widths: Recipe, dataset: Dataset, tmp_path: Path
) -> None:
    plain, run = train(recipe, tmp_path / "plain"), train(also_widths, tmp_path / "run")
    network, images = run.load_network(), torch.randn(2, 3, 48, 48)
    assert network(images).shape == (2, 21)
    other = load_file(plain.folder / "best.safetensors")["backbone.conv_stem.weight"]
    assert not torch.equal(load_file(run.folder / "best.safetensors")["backbone.conv_stem.weight"], other)
    further = train(  # other things beside the count do not keep a run from starting with these weights
        also_widths.model_copy(update={"model": recipe.model.model_copy(update={"weights": f"run:{run.folder}"})}),
        tmp_path / "further",
    )
    assert "auxiliary.weight" not in load_file(further.folder / "best.safetensors")
    recipe = also_widths.model_copy(
        update={"model": also_widths.model.model_copy(update={"weights": f"run:{further.folder}"})}
    )
    assert train(recipe, tmp_path / "again").load_network()(images).shape == (2, 21)


def test_auxiliary_values_are_standardised_logarithms(dataset: Dataset, also_widths: Recipe) -> None:
    chosen = dataset.select("train")
    (values,) = Photos(dataset, also_widths, "train").auxiliary_NA(["original_width"]).T
    known = np.array([bool(photo.extras["original_width"]) for photo in chosen])
    assert (~np.isnan(values)).tolist() == known.tolist()
    widths = np.array([float(photo.extras["original_width"] or 0) for photo in chosen])
    assert np.corrcoef(values[known], np.log(widths[known]))[0, 1] == pytest.approx(1, abs=1e-4)
    assert (values[known].mean(), values[known].std()) == pytest.approx((0, 1), abs=1e-5)


@pytest.mark.parametrize(
    ("column", "says"),
    [
        ("kind", "must hold numbers of 0 or more, but holds 'original'"),
        ("in_file_list", "has fewer than 2 different"),
    ],
)
def test_an_auxiliary_column_without_numbers_is_named(file: Path, tmp_path: Path, column: str, says: str) -> None:
    with pytest.raises(BadDataset, match=f"column {column} {says}"):
        train(
            load_recipe(file, [f"model.auxiliary=['{column}']", "data.where={in_file_list=['1']}"]),
            tmp_path / "run",
        )
