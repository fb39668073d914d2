"""One worker of a search: what it makes sure of before a trial, and what becomes of a trial that it does not end."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import TrialState
from tests.dataset_support import real_dataset
from tests.train_support import SEARCH
from tests.tune_support import Course, play, searched, sqlite

from binsight.dataset.manifest import Dataset, write_manifest
from binsight.errors import BadInput, BadRecipe, MissingObject, Stopped
from binsight.model.recipe import Recipe
from binsight.model.run import CHECKPOINT_NAME, Run
from binsight.model.search import load_search
from binsight.model.trainer import Trainer
from binsight.model.tune import kept_search, open_study, tune
from binsight.model.tune_trial import DATASET_ATTRIBUTE, REASON

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
    says = f"small holds trials on the dataset {bins.digest[:12]}…, but .*/bins is {other.digest[:12]}…, and"
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


def take_over(file: Path, folder: Path) -> None:
    """What another worker does with a trial under way that was silent for too long, as a paused process is."""
    study = open_study(sqlite(folder), load_search(file))
    (under_way,) = [trial for trial in study.trials if trial.state == TrialState.RUNNING]
    study.tell(under_way.number, state=TrialState.FAIL)
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        RetryHeartbeatStaleTrialCallback()(study, under_way)


def once(what: Callable[[], None]) -> Callable[[], None]:
    left = [what]
    return lambda: left.pop()() if left else None


@pytest.mark.parametrize("epochs", [2, 1], ids=["before its last epoch", "when it has ended"])
def test_a_paused_worker_leaves_its_trial_to_the_one_that_took_it_over_and_goes_on(
    file: Path, tmp_path: Path, played: Callable[[Course], None], epochs: int
) -> None:
    taken = once(lambda: take_over(file, tmp_path))

    def course(_: Recipe) -> Iterator[float]:
        yield 1.0
        taken()
        yield from [0.5] * (epochs - 1)

    played(course)
    search = load_search(file)
    study, said = open_study(sqlite(tmp_path), search), list[str]()
    tune(search, study, tmp_path, say=said.append)
    assert "trial 1: another worker took this one for dead, and goes on with it" in said
    assert [trial.state for trial in study.trials] == [TrialState.FAIL] + [TrialState.COMPLETE] * 2
    assert study.trials[0].params == study.trials[1].params, "tried again by whoever came first, here by the same"


@pytest.mark.parametrize("ending", [Stopped("stopped"), KeyboardInterrupt(), OSError("a disk that fails")])
def test_what_ends_a_worker_ends_it_though_its_trial_was_taken_over(
    file: Path, tmp_path: Path, played: Callable[[Course], None], ending: BaseException
) -> None:
    """And the values do not wait to be tried twice."""

    def course(_: Recipe) -> Iterator[float]:
        take_over(file, tmp_path)
        raise ending
        yield 1.0

    played(course)
    with pytest.raises(type(ending)):
        searched(file, tmp_path)
    study = open_study(sqlite(tmp_path), load_search(file))
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.WAITING]


def test_a_worker_whose_trial_was_taken_over_writes_nothing_more_into_its_run(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one may have ended the trial by now, with better weights than those of this epoch."""
    folder, kept = tmp_path / "trials" / "0001", dict[Path, bytes]()
    train_epoch = Trainer._train_epoch

    def paused(self: Trainer) -> None:
        train_epoch(self)
        if self.position.epoch == 1 and not kept:
            kept.update({path: path.read_bytes() for path in folder.iterdir() if path.is_file()})
            take_over(file, tmp_path)
        elif kept and not seen:
            seen.update({path: path.read_bytes() for path in kept})

    seen: dict[Path, bytes] = {}
    monkeypatch.setattr(Trainer, "_train_epoch", paused)
    _, study = searched(file, tmp_path, "search.trials=1")
    assert kept and seen == kept, "as the next try found it"
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.COMPLETE]
    assert len(Run.open(folder).metrics()) == 2


def test_values_that_were_interrupted_before_the_training_listens_are_tried_again(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while photos are decoded, say."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("binsight.model.batches.cached_pixels", interrupted)
        with pytest.raises(KeyboardInterrupt):
            searched(file, tmp_path)
    _, study = searched(file, tmp_path)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL] + [TrialState.COMPLETE] * 2
    assert study.trials[0].params == study.trials[1].params
    assert not (tmp_path / "trials" / "0001" / CHECKPOINT_NAME).exists()


def stopped_after_one_batch(file: Path, folder: Path, *overrides: str) -> None:
    """A search that was stopped in the first epoch of its first trial, and left a checkpoint."""
    with pytest.MonkeyPatch.context() as patch:
        pause = Trainer._pause

        def stop(self: Trainer) -> None:
            self.stop_wanted = True
            pause(self)

        patch.setattr(Trainer, "_pause", stop)
        with pytest.raises(Stopped):
            searched(file, folder, *overrides)
    assert (folder / "trials" / "0001" / CHECKPOINT_NAME).exists()


@pytest.mark.parametrize("mended", ["recipe", "dataset"])
def test_a_search_that_was_stopped_in_its_first_epoch_makes_room_in_its_run_folders_too(
    file: Path, bins: Dataset, tmp_path: Path, mended: str
) -> None:
    overrides = [f"data.dataset={bins.folder}", "search.trials=1"]
    stopped_after_one_batch(file, tmp_path, *overrides)
    if mended == "dataset":
        bins = made_anew(bins)
    else:
        overrides += ["training.epochs=1"]
    _, study = searched(file, tmp_path, *overrides)
    assert study.trials[-1].state == TrialState.COMPLETE
    run = Run.open(tmp_path / "trials" / "0001")
    assert len(run.metrics()) == run.recipe.training.epochs == (2 if mended == "dataset" else 1)
    assert run.environment()["dataset"]["sha256"] == bins.digest


def test_a_search_whose_dataset_moved_goes_on_where_it_was(
    file: Path, bins: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = ["training.batch_size=8", "training.epochs=1"]
    place = f"data.dataset={bins.folder}"
    searched(file, tmp_path / "ended", place, *overrides, "search.trials=1")
    stopped_after_one_batch(file, tmp_path / "stopped", place, *overrides, "search.trials=1")
    moved = bins.folder.rename(tmp_path / "moved")
    place, batches, step = f"data.dataset={moved}", list[int](), Trainer._step

    def counted(self: Trainer, *rest: Any) -> float:
        batches.append(self.position.batch)
        return step(self, *rest)

    monkeypatch.setattr(Trainer, "_step", counted)
    searched(file, tmp_path / "stopped", place, *overrides, "search.trials=1")
    assert batches == [1, 2, 3], "the batch before it was stopped is kept"
    _, study = searched(file, tmp_path / "ended", place, *overrides, "search.trials=2")
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 2


def test_a_study_keeps_the_search_as_it_was_last_asked_for(
    file: Path, tmp_path: Path, played: Callable[[Course], None]
) -> None:
    """Who gives the study alone sees one that is finished, and goes on with none for the trials that were left out."""
    played(lambda _: [1.0])
    search = load_search(file, ["search.trials=100"])
    open_study(sqlite(tmp_path), search)
    searched(file, tmp_path, "search.trials=1")
    assert kept_search(sqlite(tmp_path)).search.trials == 1


def test_values_that_together_make_no_recipe_are_a_row_with_a_reason(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, played: Callable[[Course], None]
) -> None:
    """Each of them makes one beside the first of the others, as was checked before any trial."""
    played(lambda _: [1.0])
    search = load_search(file, ["model.max_count=2", "search.fields={'model.soft_sigma'={low=0.0, high=2.0}}"])
    monkeypatch.setattr("binsight.model.tune.suggest", lambda *_: 3.0)
    study = open_study(sqlite(tmp_path), search)
    tune(search, study, tmp_path)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL] * 2
    assert "soft_sigma <= max_count" in study.trials[0].user_attrs[REASON]
