"""One trial of a search: its run folder, its training, and what the study keeps of how it ended."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import optuna
import torch
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from binsight.errors import BadRecipe, BinsightError, GateFailed
from binsight.model.health import EpochMetrics
from binsight.model.recipe import Recipe
from binsight.model.run import CHECKPOINT_NAME, METRICS_NAME, Run
from binsight.model.search import SearchFile, Value
from binsight.model.studies import experiments
from binsight.model.train import train

DATASET_ATTRIBUTE, REASON, SCORES = "dataset_sha256", "reason", "scores"


class TrialFailed(Exception):
    """A trial whose values do not train; the reason stands in the study."""


class TakenOver(Exception):
    """A trial that another worker took for dead, and goes on with."""


_OF_THE_STUDY = (TakenOver, optuna.exceptions.OptunaError, SQLAlchemyError)
"""What the study says of a trial, or cannot say: it gave the trial away or up, or its database does not answer."""

_TOLD = (GateFailed, BadRecipe, torch.OutOfMemoryError)
"""How values that do not train are told, in a sentence."""


def trial_folder(folder: Path, trial: FrozenTrial) -> Path:
    """The run folder of a trial; that of the first try where it is one more try of the same values."""
    with experiments():
        first = RetryHeartbeatStaleTrialCallback.retried_trial_number(trial)
    return folder / "trials" / f"{(trial.number if first is None else first) + 1:04}"


def is_ours(trial: optuna.Trial) -> bool:
    """Whether no other worker took the trial for dead."""
    return bool(trial.study.get_trials(deepcopy=False)[trial.number].state == TrialState.RUNNING)


def run_trial(trial: optuna.Trial, search: SearchFile, values: Mapping[str, Value], folder: Path) -> float:
    """Train by the values into `folder`; the score of the best epoch.

    Raises `TrialFailed` for values that do not train, `TakenOver` or `TrialPruned` where the trial is given away or up,
    and what would end every further trial too (a photo that is gone, a full disk): these values are tried again then.
    """
    reported: set[int] = set()

    def before_keeping() -> None:  # the other one has the run folder too
        if not is_ours(trial):
            raise TakenOver

    def after_epoch(_: EpochMetrics) -> None:
        rows = Run.open(folder).metrics()  # also those from before this trial was stopped
        trial.set_user_attr(SCORES, asdict(_best(rows)))
        for row in rows:
            if row.epoch not in reported:
                trial.report(row.val_rps, row.epoch)
                reported.add(row.epoch)
        if len(rows) < recipe.training.epochs and trial.should_prune():
            raise optuna.TrialPruned

    try:
        recipe = search.recipe(values)
        _make_room(folder, recipe, trial.study.user_attrs.get(DATASET_ATTRIBUTE))
        run = train(recipe, folder, before_keeping=before_keeping, after_epoch=after_epoch)
    except _OF_THE_STUDY:
        raise
    except (Exception, KeyboardInterrupt) as error:
        if not _is_of_its_values(error):
            _put_back(trial)
            raise
        trial.set_user_attr(REASON, _reason(error))
        raise TrialFailed from None
    best = _best(run.metrics())
    trial.set_user_attr(SCORES, asdict(best))
    return best.val_rps


def _is_of_its_values(error: BaseException) -> bool:
    """Whether other values may train all the same; else every further trial would end so, on this machine."""
    if isinstance(error, _TOLD):
        return True
    # A disk that failed; or a device that, after one such error, fails at whatever this process asks of it.
    return not (isinstance(error, BinsightError | OSError | KeyboardInterrupt) or "CUDA error" in str(error))


def _reason(error: BaseException) -> str:
    """One line; with its kind where a library raised it, whose messages say little without."""
    first = next(iter(str(error).splitlines()), "")
    return first if isinstance(error, _TOLD) else ": ".join(filter(None, (type(error).__name__, first)))


def _make_room(folder: Path, recipe: Recipe, dataset_sha256: str | None) -> None:
    """Let go of the part of a first epoch that another recipe, or another dataset, left in a trial's run folder.

    A search makes room for the mended one until an epoch has ended; its runs do too. Training begins such a folder anew.
    """
    has_ended_an_epoch = (folder / METRICS_NAME).is_file() or any(folder.glob("*.safetensors"))
    if not has_ended_an_epoch and not _was_begun(folder, recipe, dataset_sha256):
        (folder / CHECKPOINT_NAME).unlink(missing_ok=True)


def _was_begun(folder: Path, recipe: Recipe, dataset_sha256: str | None) -> bool:
    """Whether the folder holds a run of this recipe on the dataset of that hash, wherever it lay then."""
    try:
        run = Run.open(folder)
        begun_on = run.environment().get("dataset", {}).get("sha256")
    except BinsightError:
        return False
    data = run.recipe.data.model_copy(update={"dataset": recipe.data.dataset})
    return begun_on == dataset_sha256 and run.recipe.model_copy(update={"data": data}) == recipe


def _best(rows: Sequence[EpochMetrics]) -> EpochMetrics:
    return min(rows, key=lambda row: row.val_rps)


def _put_back(trial: optuna.Trial) -> None:
    """Have the same values tried again, by the next who asks the study; another worker may have seen to that."""
    if is_ours(trial):
        RetryHeartbeatStaleTrialCallback()(trial.study, trial.study.trials[trial.number])
