"""Tuning: trials of a search until there are enough, and the best recipe.

```
search ─▶ study (a database) ─▶ values ─▶ recipe ─▶ run ─▶ ranked probability score on val, epoch by epoch ─┐
            ▲                                                     │ given up early where it lags             │
            └─────────────────────────────────────────────────────┴──────────────────────────────────────────┘
```
The study is all that workers share: start the command again, anywhere, with the same study, and it takes part. A
trial that was stopped or killed is tried again with the same values, by whoever comes first, and goes on from its
checkpoint where its run folder is at hand.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from binsight.dataset.manifest import Dataset
from binsight.errors import BadInput, MissingObject
from binsight.model.batches import check_columns
from binsight.model.run import CHECKPOINT_NAME
from binsight.model.sampler import NumberedTPE
from binsight.model.search import Between, Search, SearchFile, Value, parse_search
from binsight.model.studies import experiments, open_storage, sqlite_file
from binsight.model.tune_trial import (
    DATASET_ATTRIBUTE,
    REASON,
    SCORES,
    TakenOver,
    TrialFailed,
    is_ours,
    run_trial,
    trial_folder,
)

Say = Callable[[str], None]
Ended = Callable[[optuna.Study, FrozenTrial], None]

SEARCH_ATTRIBUTE = "search"


@dataclass(slots=True)
class _Attempt:
    """What became of a trial in this process, whatever the study says of it."""

    trial: optuna.Trial | None = None
    error: BaseException | None = None


_ENDS_A_TRIAL = (TrialFailed, TakenOver, optuna.TrialPruned, optuna.exceptions.UpdateFinishedTrialError)
"""What ends a trial, and not the worker."""


def open_study(url: str, search: SearchFile) -> optuna.Study:
    """The study of a search, made if it is not there; one of another search in which nothing has been learnt makes room.

    Raises `BadInput` for a URL that is none or a study of another search, `StorageFailure` for a database that cannot
    be reached, `MissingExtra` where its driver is not installed.
    """
    storage = open_storage(url)
    study = _study_in(storage, search)
    kept = study.user_attrs.get(SEARCH_ATTRIBUTE)
    if kept is not None and not _same(kept, search):
        if _has_learnt(study):
            raise BadInput(
                f"the study {search.name} in {url} holds trials of another recipe or other values; give another name= or "
                "--study and with it another --out, or the search as it was"
            )
        optuna.delete_study(study_name=search.name, storage=storage)
        study, kept = _study_in(storage, search), None
    if kept != search.dump():  # who gives the study alone gets what was last asked for
        study.set_user_attr(SEARCH_ATTRIBUTE, search.dump())
    return study


def _study_in(storage: RDBStorage, search: SearchFile) -> optuna.Study:
    return optuna.create_study(
        storage=storage,
        study_name=search.name,
        load_if_exists=True,
        direction="minimize",
        sampler=NumberedTPE(search.search.seed),
        pruner=_pruner(search.search),
    )


def _has_learnt(study: optuna.Study) -> bool:
    """Whether a trial has come to the end of an epoch, or may be about to."""
    with experiments():
        optuna.storages.fail_stale_trials(study)
    return any(trial.state == TrialState.RUNNING or SCORES in trial.user_attrs for trial in study.trials)


def _same(kept: str, search: SearchFile) -> bool:
    """Whether trials of both can stand side by side: all but the number of trials and how they are chosen is equal.

    Where the dataset lies tells nothing: it may have moved. Which one it is, is checked by its hash before each trial.
    """
    return _tried(kept) == _tried(search.dump())


def _tried(dumped: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The recipe without the place of its dataset, and the values of the fields."""
    found = json.loads(dumped)
    found["base"].get("data", {}).pop("dataset", None)
    return found["base"], found["search"]["fields"]


def kept_search(url: str) -> SearchFile:
    """The search of the one study at `url`.

    Raises `BadInput` where there is none, or several, and `MissingObject` for a file that is not there: opening makes it.
    """
    if (file := sqlite_file(url)) is not None and not file.exists():
        raise MissingObject(f"there is no study in {file}; check --study, or name the search file")
    names = optuna.get_all_study_names(storage=open_storage(url))
    if len(names) != 1:
        have = f"{len(names)} studies ({', '.join(names)})" if names else "no study"
        raise BadInput(f"{url} must hold one study to go on without a search file, but holds {have}; name the file")
    study = optuna.load_study(study_name=names[0], storage=open_storage(url))
    kept = study.user_attrs.get(SEARCH_ATTRIBUTE)
    if kept is None:
        raise BadInput(f"the study {names[0]} in {url} was not made by binsight tune; name another")
    return parse_search(kept, source=url)


def _pruner(search: Search) -> optuna.pruners.BasePruner:
    match search.pruner:
        case "median":
            return optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2)
        case "halving":
            return optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
        case "none":
            return optuna.pruners.NopPruner()


def tune(search: SearchFile, study: optuna.Study, folder: Path, *, say: Say = lambda _: None) -> None:
    """Add trials to the study until it holds as many as wanted, whoever made them; run folders in `folder`/trials.

    `say` gets a line a trial. Raises `BadInput` where the study's trials are on another dataset, `BadRecipe` for a column
    that is not in it, `Stopped` on Ctrl-C or SIGTERM, and what keeps every trial from training (a photo that is gone, a
    full disk): the trial under way is tried again by the next worker or the same command.
    """

    def objective(trial: optuna.Trial) -> float:
        values = {name: suggest(trial, name, space) for name, space in search.search.fields.items()}
        say(f"trial {trial.number + 1}: " + " · ".join(f"{name}={value}" for name, value in values.items()))
        return run_trial(trial, search, values, trial_folder(folder, study.trials[trial.number]))

    def ended(study: optuna.Study, trial: FrozenTrial) -> None:
        say(told(study, trial))
        # A search leaves many runs: what is needed to go on with one is four times its weights.
        (trial_folder(folder, trial) / CHECKPOINT_NAME).unlink(missing_ok=True)

    while not _wait_for_others(study, search.search.trials):
        _check_dataset(search, study, say)
        taken_over = _try_one(study, objective, ended)
        if taken_over is not None:
            say(f"trial {taken_over + 1}: another worker took this one for dead, and goes on with it")


def _try_one(study: optuna.Study, objective: Callable[[optuna.Trial], float], ended: Ended) -> int | None:
    """Try some values; the trial's number where another worker took it over meanwhile. Raises what `objective` does."""
    attempt = _Attempt()

    def noted(trial: optuna.Trial) -> float:
        attempt.trial = trial
        try:
            return objective(trial)
        except BaseException as error:
            attempt.error = error
            raise

    try:
        with experiments():
            study.optimize(noted, n_trials=1, catch=(TrialFailed,), callbacks=[ended])
    except ValueError as error:
        if attempt.trial is None or error is attempt.error or is_ours(attempt.trial):
            raise
        # Optuna's own, which cannot tell a study of the end of a trial that has ended.
        if attempt.error is None or isinstance(attempt.error, _ENDS_A_TRIAL):
            return attempt.trial.number
        raise attempt.error from None
    return None


def _check_dataset(search: SearchFile, study: optuna.Study, say: Say) -> None:
    """Asked before each trial, because each opens the dataset anew, on this machine.

    Raises `BadInput` where it is not the one that the study's trials so far are on, `BadRecipe` for a column that is not
    there.
    """
    recipes = list(search.corners())
    dataset = Dataset.open(recipes[0].data.dataset)
    for recipe in recipes:
        check_columns(dataset, recipe)
    kept = study.user_attrs.get(DATASET_ATTRIBUTE)
    if kept == dataset.digest:
        return
    if _has_learnt(study):
        if kept is not None:
            raise BadInput(
                f"the study {study.study_name} holds trials on the dataset {kept[:12]}…, but {dataset.folder} is "
                f"{dataset.digest[:12]}…, and scores on other photos cannot be compared; name that dataset, or give "
                "another name= or --study and with it another --out"
            )
        say(
            f"the trials so far do not say which dataset they are on; it is taken to be {dataset.folder} as it is now"
        )
    study.set_user_attr(DATASET_ATTRIBUTE, dataset.digest)


def suggest(trial: optuna.Trial, name: str, space: list[Value] | Between) -> Value:
    """The study's choice for one field."""
    if isinstance(space, Between):
        if space.is_whole:
            return trial.suggest_int(name, int(space.low), int(space.high), log=space.log)
        return trial.suggest_float(name, space.low, space.high, log=space.log)
    chosen = trial.suggest_categorical(name, space)
    assert chosen is not None  # a choice that TOML cannot write
    return chosen


def is_done(trial: FrozenTrial) -> bool:
    """Whether the trial ended by itself: well, given up early, or with values that do not train."""
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or REASON in trial.user_attrs


def _wait_for_others(study: optuna.Study, trials: int) -> bool:
    """Whether there are enough trials; waits while those that others have under way may be the last ones wanted."""
    while True:
        with experiments():
            optuna.storages.fail_stale_trials(study)
        found = study.get_trials(deepcopy=False)
        num_done = sum(map(is_done, found))
        if num_done >= trials:
            return True
        num_running = sum(trial.state == TrialState.RUNNING for trial in found)
        if num_done + num_running < trials or any(trial.state == TrialState.WAITING for trial in found):
            return False
        time.sleep(1)


def told(study: optuna.Study, trial: FrozenTrial) -> str:
    """A line about a trial that has ended, and the best one so far."""
    if REASON in trial.user_attrs:
        return f"trial {trial.number + 1} does not train: {trial.user_attrs[REASON]}"
    scores = trial.user_attrs[SCORES]
    how = "given up, " if trial.state == TrialState.PRUNED else ""
    line = f"trial {trial.number + 1}: {how}rps {scores['val_rps']:.3f}, exact {scores['val_exact']:.1%}"
    best = best_trial(study)
    return line if best is None else f"{line} · best so far: trial {best.number + 1}, rps {best.value:.3f}"


def best_trial(study: optuna.Study) -> FrozenTrial | None:
    """The trial with the lowest score among those that trained to their end; None before there is one."""
    try:
        return study.best_trial
    except ValueError:
        return None
