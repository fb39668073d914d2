"""Tuning: a study that survives everything, shared by workers, and the best recipe at its end."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from click.testing import CliRunner, Result
from matplotlib.figure import Figure
from optuna.trial import TrialState
from tests.dataset_support import real_dataset
from tests.forked import Forked
from tests.train_support import SEARCH
from tests.tune_support import Course, play, searched, sqlite

from binsight.cli import cli
from binsight.dataset.manifest import Dataset
from binsight.decision.scores import score
from binsight.errors import BadDataset, BadInput, BadRecipe, GateFailed, MissingObject, Stopped, StorageFailure
from binsight.model import studies
from binsight.model.recipe import Recipe, dump_recipe, load_recipe
from binsight.model.run import Run
from binsight.model.search import load_search
from binsight.model.trainer import Trainer
from binsight.model.tune import open_study, suggest, tune
from binsight.model.tune_report import done_trials, importances, search_page
from binsight.model.tune_trial import REASON, SCORES, trial_folder
from binsight.report import Page

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def dataset(abid: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return real_dataset(abid, tmp_path_factory.mktemp("dataset"), {"train": 32, "val": 16})


@pytest.fixture
def file(dataset: Dataset, tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SEARCH.format(dataset=dataset.folder, trials=3) + '"training.batch_size" = [8, 16]\n')
    return path


def run_command(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["tune", *map(str, arguments)])


def test_a_search_ends_with_the_best_recipe_a_report_and_every_run(
    file: Path, dataset: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = run_command(file, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert sorted(row["trial"] for row in rows) == [1, 2, 3]
    best = min(rows, key=lambda row: row["rps"])
    recipe = load_recipe(out / "best.toml")
    assert (recipe.training.lr, recipe.training.batch_size) == (best["training.lr"], best["training.batch_size"])
    assert recipe.training.epochs == 2
    page = (out / "index.html").read_text()
    assert "The search small" in page
    for name in ("trials", "course", "epochs", "field_training_lr", "field_training_batch_size"):
        assert (out / f"{name}.csv").is_file()
        assert f"{name}.csv" in page
    photos = dataset.select("val")
    counts = np.array([photo.count for photo in photos])
    for row in rows:  # the same score for every batch size: that of the run's answers, photo by photo
        run = Run.open(out / "trials" / f"{row['trial']:04}")
        assert score(run.predict(dataset, photos), counts).rps == pytest.approx(row["rps"], abs=1e-4)
        assert not (run.folder / "checkpoint.pt").exists()


def test_a_finished_search_is_only_reported_again_and_can_be_continued(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run_command(file, "--out", out, "search.trials=2").exit_code == 0
    (out / "index.html").unlink()
    study = f"sqlite:///{out / 'study.db'}"
    attached = run_command("--study", study, "--out", tmp_path / "elsewhere")
    assert attached.exit_code == 0, attached.output
    assert "best of 2 trials" in attached.output
    assert (tmp_path / "elsewhere" / "index.html").is_file()
    assert not (tmp_path / "elsewhere" / "trials").exists()
    further = run_command(file, "--out", out, "search.trials=3")
    assert "best of 3 trials" in further.output


def test_a_stopped_trial_is_gone_on_with_by_the_same_command(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search, pause = load_search(file), Trainer._pause

    def stop_in_the_second_trials_second_epoch(self: Trainer) -> None:
        self.stop_wanted = self.folder.name == "0002" and self.position.epoch == 1
        pause(self)

    monkeypatch.setattr(Trainer, "_pause", stop_in_the_second_trials_second_epoch)
    study = open_study(sqlite(tmp_path), search)
    with pytest.raises(Stopped):
        tune(search, study, tmp_path)
    monkeypatch.setattr(Trainer, "_pause", pause)
    study = open_study(sqlite(tmp_path), search)
    stopped = study.trials[1]
    tune(search, study, tmp_path)
    again = study.trials[2]
    assert again.params == stopped.params
    assert again.state == TrialState.COMPLETE
    assert trial_folder(tmp_path, again).name == "0002"
    assert len(again.intermediate_values) == 2
    assert len(done_trials(study)) == 3


@pytest.mark.slow
def test_a_killed_worker_costs_no_trial(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "binsight", "tune", str(file), "--out", str(out)]
    command += ["training.checkpoint_minutes=0.00001", "training.epochs=40"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wait_for(lambda: (out / "trials" / "0001" / "metrics.csv").is_file() or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    process.wait()
    monkeypatch.setattr(studies, "HEARTBEAT_S", 1)
    monkeypatch.setattr(studies, "GRACE_S", 2)
    time.sleep(3)
    result = run_command(file, "--out", out, *command[7:], "search.trials=1")
    assert "best of 1 trials" in result.output
    study = optuna.load_study(study_name="small", storage=f"sqlite:///{out / 'study.db'}")
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.COMPLETE]
    assert study.trials[0].params == study.trials[1].params
    assert len(Run.open(out / "trials" / "0001").metrics()) == 40
    assert not (out / "trials" / "0002").exists()


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 180
    while not what() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert what()


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_several_workers_share_one_study(
    file: Path, tmp_path: Path, database: str, request: pytest.FixtureRequest
) -> None:
    url = sqlite(tmp_path / "shared") if database == "sqlite" else request.getfixturevalue("postgres")
    workers = [
        Forked("tune", file, "search.trials=6", "--study", url, "--json", "--out", tmp_path / name, folder=folder)
        for name in ("one", "two")
        for folder in [tmp_path / f"said by {name}"]
    ]
    for worker in workers:
        assert worker.end() == 0, worker.stderr
    rows = [{json.loads(line)["trial"] for line in worker.stdout.splitlines()} for worker in workers]
    assert rows[0] == rows[1], "each worker reports the trials of both"
    assert 6 <= len(rows[0]) <= 7  # both may begin the last one wanted
    runs = [{path.name for path in (tmp_path / name / "trials").iterdir()} for name in ("one", "two")]
    assert runs[0] and runs[1]
    assert not runs[0] & runs[1], "a trial was trained twice"


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Callable[[Course], None]:
    return partial(play, monkeypatch)


def test_a_trial_that_lags_behind_is_given_up(file: Path, tmp_path: Path, played: Callable[[Course], None]) -> None:
    """From the fifth trial on; a bad first epoch alone is forgiven."""
    trials: list[list[float]] = [[2.0, 1.5, 1.2]] * 4 + [[9.0, 1.4, 1.1], [2.0, 1.9, 1.0]]
    played(lambda _: trials.pop(0))
    _, study = searched(file, tmp_path, "search.pruner=median", "search.trials=6", "training.epochs=3")
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.COMPLETE] * 5 + [TrialState.PRUNED]
    assert study.best_trial.number == 4
    assert [trial.value for trial in study.trials[:5]] == [1.2] * 4 + [1.1], "a trial's value is its best epoch's"


def test_the_report_shows_the_best_trial_as_best_and_no_epoch_of_one_that_ended_badly(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial had a better epoch, and then broke; another was given up after one."""
    figures: dict[str, Figure] = {}
    plot = Page.plot

    def kept(self: Page, name: str, figure: Figure, *rest: Any, **named: Any) -> None:
        figures[name] = figure
        plot(self, name, figure, *rest, **named)

    monkeypatch.setattr(Page, "plot", kept)
    search = load_search(file)
    study = optuna.create_study()
    states = [TrialState.PRUNED, TrialState.COMPLETE, TrialState.FAIL]
    for batch_size, state, rps in zip((8, 8, 16), states, (1.1, 1.2, 1.0), strict=True):
        study.enqueue_trial({"training.lr": rps / 1000, "training.batch_size": batch_size})
        trial = study.ask()
        for name, space in search.search.fields.items():
            suggest(trial, name, space)
        trial.report(rps, 1)
        trial.set_user_attr(SCORES, dict.fromkeys(("val_rps", "val_exact", "val_within_one"), rps))
        if state == TrialState.FAIL:
            trial.set_user_attr(REASON, "the loss is nan at epoch 2")
        study.tell(trial, rps if state == TrialState.COMPLETE else None, state)
    tables = search_page(search, study).tables
    assert [(row["trial"], row["best_so_far"]) for row in tables["course"]] == [(1, ""), (2, 1.2)]
    assert [row["trial"] for row in tables["epochs"]] == [1, 2, 3]
    for name, at in (("field_training_lr", 0.0012), ("field_training_batch_size", 0)):
        (ring,) = [one for one in figures[name].axes[0].collections if one.get_label() == "best"]
        assert np.asarray(ring.get_offsets()).tolist() == [[at, 1.2]]
        assert [row["trial"] for row in tables[name]] == [1, 2]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_what_decides_is_found() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(lambda trial: trial.suggest_int("decides", 0, 9) + trial.suggest_float("does_not", 0, 0.1), 60)
    shares = importances(study)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["decides"] > 0.8
    few = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    few.optimize(lambda trial: trial.suggest_float("decides", 0, 1), 3)
    assert importances(few) == {}


def test_values_that_do_not_train_are_a_row_with_a_reason_and_the_search_goes_on(
    file: Path, tmp_path: Path, played: Callable[[Course], None]
) -> None:
    def course(recipe: Recipe) -> Sequence[float]:
        if recipe.training.batch_size == 8:
            raise GateFailed("the loss is nan at epoch 1")
        return [1.0]

    played(course)
    _, study = searched(file, tmp_path, "search.trials=8")
    failed = [trial for trial in study.trials if trial.state == TrialState.FAIL]
    assert 0 < len(failed) < 8
    assert {trial.user_attrs[REASON] for trial in failed} == {"the loss is nan at epoch 1"}
    assert len(done_trials(study)) == 8


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("Invalid beta parameter: 1.5\nand more"), "ValueError: Invalid beta parameter: 1.5"),
        (RuntimeError("Kernel size can't be greater"), "RuntimeError: Kernel size can't be greater"),
        (AssertionError(), "AssertionError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_a_library_raises_about_some_values_is_the_reason_of_their_trials_alone(
    file: Path, tmp_path: Path, played: Callable[[Course], None], error: Exception, reason: str
) -> None:
    def course(recipe: Recipe) -> Sequence[float]:
        if recipe.training.batch_size == 8:
            raise error
        return [1.0]

    played(course)
    _, study = searched(file, tmp_path, "search.trials=8")
    failed = [trial for trial in study.trials if trial.state == TrialState.FAIL]
    assert 0 < len(failed) < 8
    assert {trial.user_attrs[REASON] for trial in failed} == {reason}
    assert len(done_trials(study)) == 8


@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left on device"), RuntimeError("CUDA error: device-side assert triggered")],
    ids=["disk", "device"],
)
def test_a_disk_or_a_device_that_fails_ends_the_search_and_costs_no_trial(
    file: Path, tmp_path: Path, played: Callable[[Course], None], error: Exception
) -> None:
    def course(_: Recipe) -> Sequence[float]:
        raise error

    played(course)
    with pytest.raises(type(error), match=str(error.args[-1])):
        searched(file, tmp_path)
    study = open_study(sqlite(tmp_path), load_search(file))
    assert not done_trials(study)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.WAITING]


def test_a_search_in_which_nothing_trains_fails(
    file: Path, tmp_path: Path, played: Callable[[Course], None]
) -> None:
    def course(_: Recipe) -> Sequence[float]:
        raise GateFailed("the loss is nan at epoch 1")

    played(course)
    result = run_command(file, "--out", tmp_path / "out")
    assert isinstance(result.exception, GateFailed)
    assert "none of the 3 trials of small trained to its end; first reason: the loss is nan" in str(
        result.exception
    )


def test_what_keeps_every_trial_from_training_ends_the_search_and_costs_no_trial(
    abid: Path, file: Path, tmp_path: Path
) -> None:
    made = real_dataset(abid, tmp_path / "bins", {"train": 30, "val": 16})  # whose pixels no other test has cached
    (made.folder / made.photos[3].file).unlink()
    search = load_search(file, [f"data.dataset={made.folder}"])
    study = open_study(sqlite(tmp_path), search)
    with pytest.raises(BadDataset, match=made.photos[3].photo):
        tune(search, study, tmp_path)
    assert not done_trials(study)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.WAITING]


def test_a_study_of_another_search_is_refused(file: Path, tmp_path: Path, played: Callable[[Course], None]) -> None:
    played(lambda _: [1.0])
    searched(file, tmp_path, "search.trials=1")
    open_study(sqlite(tmp_path), load_search(file, ["search.trials=50", "search.pruner=median"]))
    says = "holds trials of another recipe or other values; give another name= or --study and with it another --out"
    with pytest.raises(BadInput, match=says):
        open_study(sqlite(tmp_path), load_search(file, ["training.epochs=3"]))


def test_a_search_in_which_nothing_was_learnt_makes_room_for_the_mended_one(
    file: Path, tmp_path: Path, played: Callable[[Course], None]
) -> None:
    def course(recipe: Recipe) -> Sequence[float]:
        if recipe.training.optimizer == "adamv":
            raise BadRecipe("timm knows no optimizer 'adamv'")
        return [1.0]

    played(course)
    _, failed = searched(file, tmp_path, "training.optimizer=adamv")
    assert [trial.state for trial in failed.trials] == [TrialState.FAIL] * 3
    _, mended = searched(file, tmp_path)
    assert [trial.state for trial in mended.trials] == [TrialState.COMPLETE] * 3


def test_a_search_with_a_trial_under_way_makes_no_room(file: Path, tmp_path: Path) -> None:
    study = open_study(sqlite(tmp_path), load_search(file))
    with pytest.warns(UserWarning, match="Heartbeat"):
        study.ask()
    with pytest.raises(BadInput, match="holds trials of another recipe or other values"):
        open_study(sqlite(tmp_path), load_search(file, ["training.epochs=3"]))


def test_a_trial_whose_folder_holds_something_else_ends_the_search_and_costs_no_trial(
    file: Path, tmp_path: Path
) -> None:
    """Runs of a search whose study was deleted, say: no value of this one is at fault."""
    earlier = tmp_path / "trials" / "0001"
    earlier.mkdir(parents=True)
    (earlier / "recipe.toml").write_text(dump_recipe(load_search(file).recipe({"training.lr": 1.0})))
    (earlier / "best.safetensors").write_bytes(b"hours of work")
    search = load_search(file)
    study = open_study(sqlite(tmp_path), search)
    with pytest.raises(BadInput, match=r"trials/0001 holds a run of another recipe; choose another folder"):
        tune(search, study, tmp_path)
    assert not done_trials(study)


@pytest.mark.parametrize(
    ("arguments", "kind", "sentence"),
    [
        ([], BadInput, "needs a search file, or the --study to go on with"),
        (["--study", "sqlite:///{tmp}/none.db"], MissingObject, "there is no study in .*/none.db; check --study"),
        (["--study", "sqlite:///{tmp}/empty.db"], BadInput, "must hold one study .* but holds no study"),
        (["--study", "what"], BadInput, "must be a database's URL"),
        (["{tmp}/search.toml", "--study", "sqlite:////nowhere/at/all.db"], StorageFailure, "cannot be reached"),
        (
            ["--study", "postgresql+psycopg://me:secret@127.0.0.1:1/x"],
            StorageFailure,
            "127.0.0.1:1/x cannot be reached",
        ),
    ],
)
def test_a_study_that_cannot_be_had_is_one_sentence(
    tmp_path: Path, arguments: list[str], kind: type[Exception], sentence: str
) -> None:
    (tmp_path / "empty.db").touch()
    (tmp_path / "search.toml").write_text(SEARCH.format(dataset="nowhere", trials=1))
    result = run_command(*[argument.format(tmp=tmp_path) for argument in arguments])
    assert isinstance(result.exception, kind), result.exception
    with pytest.raises(kind, match=sentence):
        raise result.exception
    assert "secret" not in str(result.exception)
    assert not (tmp_path / "none.db").exists(), "a mistyped address made a database"
