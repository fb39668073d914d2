"""Searches for tests: where their study lies, and trials that are played instead of trained."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from binsight.model import tune_trial
from binsight.model.curves import write_metrics
from binsight.model.health import EpochMetrics
from binsight.model.recipe import Recipe
from binsight.model.run import Run
from binsight.model.search import SearchFile, load_search
from binsight.model.tune import open_study, tune

Course = Callable[[Recipe], Iterable[float]]
"""The scores of a trial, epoch by epoch."""


def sqlite(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / 'study.db'}"


def searched(file: Path, folder: Path, *overrides: str) -> tuple[SearchFile, optuna.Study]:
    search = load_search(file, overrides)
    study = open_study(sqlite(folder), search)
    tune(search, study, folder)
    return search, study


def play(monkeypatch: pytest.MonkeyPatch, course: Course) -> None:
    """Trials whose scores by epoch are told, with no training."""

    def fake(recipe: Recipe, folder: Path, *, after_epoch: Callable[[EpochMetrics], None], **_: Any) -> Run:
        folder.mkdir(parents=True, exist_ok=True)
        rows: list[EpochMetrics] = []
        for epoch, rps in enumerate(course(recipe), 1):
            values = dict.fromkeys(EpochMetrics.__slots__, 0.0)
            rows.append(replace(EpochMetrics(**values | {"epoch": epoch}), val_rps=rps))  # type: ignore[arg-type]
            write_metrics(folder, rows)
            after_epoch(rows[-1])
        return Run(folder=folder, recipe=recipe)

    class FakeRun(Run):
        @classmethod
        def open(cls, folder: Path) -> Run:
            return Run(folder=folder, recipe=None)  # type: ignore[arg-type]

    monkeypatch.setattr(tune_trial, "train", fake)
    monkeypatch.setattr(tune_trial, "Run", FakeRun)
