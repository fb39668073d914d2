"""One worker of a search: what it makes sure of before a trial, and what becomes of a trial that it does not end."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from optuna.trial import TrialState
from tests.dataset_support import real_dataset
from tests.train_support import SEARCH
from tests.tune_support import Course, play, searched, sqlite

from binsight.dataset.manifest import Dataset, write_manifest
from binsight.errors import BadInput, BadRecipe, MissingObject
from binsight.model.search import load_search
from binsight.model.tune import DATASET_ATTRIBUTE, open_study, tune

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def dataset(abid: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return real_dataset(abid, tmp_path_factory.mktemp("dataset"), {"train": 32, "val": 16})


@pytest.fixture
def file(dataset: Dataset, tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SEARCH.format(dataset=dataset.folder, trials=2))
    return path


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Callable[[Course], None]:
    return partial(play, monkeypatch)


def made_anew(dataset: Dataset) -> Dataset:
    """Another dataset at the same place: its `train` and `val` photos have changed places."""
    photos = tuple(replace(one, split="val" if one.split == "train" else "train") for one in dataset.photos)
    digest = write_manifest(dataset.folder / "manifest.parquet", photos)
    (dataset.folder / "dataset.json").write_text(json.dumps({"sha256": digest}))
    return Dataset.open(dataset.folder)


@pytest.fixture
def bins(dataset: Dataset, tmp_path: Path) -> Dataset:
    """The dataset in a place of its own, where another one may come to lie."""
    return Dataset.open(shutil.copytree(dataset.folder, tmp_path / "bins"))


def test_trials_on_two_datasets_do_not_stand_in_one_study(
    file: Path, bins: Dataset, tmp_path: Path, played: Callable[[Course], None]
) -> None:
    """Another worker's machine may have another one at the same path, and this one may have been made anew."""
    played(lambda _: [1.0])
    place = f"data.dataset={bins.folder}"
    _, study = searched(file, tmp_path, place)
    assert study.user_attrs[DATASET_ATTRIBUTE] == bins.digest
    other = made_anew(bins)
    searched(file, tmp_path, place)  # enough trials: nothing is trained, and the report can be had
    says = f"small holds trials on the dataset with the sha256 {bins.digest}, but .*/bins has {other.digest}"
    with pytest.raises(BadInput, match=says):
        searched(file, tmp_path, place, "search.trials=3")
    assert len(study.trials) == 2


def test_a_dataset_that_is_made_anew_during_a_search_ends_it(
    file: Path, bins: Dataset, tmp_path: Path, played: Callable[[Course], None]
) -> None:
    def course(_: object) -> list[float]:
        made_anew(Dataset.open(bins.folder))
        return [1.0]

    played(course)
    with pytest.raises(BadInput, match="holds trials on the dataset"):
        searched(file, tmp_path, f"data.dataset={bins.folder}")


def test_a_study_that_does_not_say_which_dataset_it_is_on_says_so_once(
    file: Path, dataset: Dataset, tmp_path: Path, played: Callable[[Course], None]
) -> None:
    played(lambda _: [1.0])
    search, study = searched(file, tmp_path, "search.trials=1")
    study.set_user_attr(DATASET_ATTRIBUTE, None)
    said: list[str] = []
    tune(replace(search, search=search.search.model_copy(update={"trials": 3})), study, tmp_path, say=said.append)
    assert len([line for line in said if "do not say which dataset they are on" in line]) == 1
    assert study.user_attrs[DATASET_ATTRIBUTE] == dataset.digest


@pytest.mark.parametrize(
    ("override", "kind", "says"),
    [
        ("data.dataset=nowhere", MissingObject, "nowhere holds no manifest.parquet"),
        ("data.where={colection=['complete']}", BadRecipe, "but names colection"),
        ("data.weight=widht", BadRecipe, "but names widht"),
        ("model.auxiliary=['item_lins']", BadRecipe, "but names item_lins"),
    ],
)
def test_what_no_trial_could_be_trained_by_ends_the_search_before_the_first(
    file: Path, tmp_path: Path, override: str, kind: type[Exception], says: str
) -> None:
    search = load_search(file, [override])
    study = open_study(sqlite(tmp_path), search)
    with pytest.raises(kind, match=says):
        tune(search, study, tmp_path)
    assert study.trials == []
    assert [trial.state for trial in open_study(sqlite(tmp_path), load_search(file)).trials] == list[TrialState]()
