"""Which values a search tries: decided by its seed, and not the same ones again by another worker or after a stop."""

import warnings
from pathlib import Path

import optuna
import pytest
from tests.train_support import SEARCH

from binsight.model.search import SearchFile, load_search
from binsight.model.tune import open_study, suggest


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SEARCH.format(dataset="nowhere", trials=30) + '"model.dropout" = { low = 0.0, high = 0.5 }\n')
    return path


@pytest.fixture
def search(file: Path) -> SearchFile:
    return load_search(file)


def sqlite(path: Path) -> str:
    return f"sqlite:///{path}"


def tried(study: optuna.Study, search: SearchFile, trials: int) -> list[tuple[object, ...]]:
    """The values of so many further trials; the first field's value is the score."""
    found = []

    def objective(trial: optuna.Trial) -> float:
        values = tuple(suggest(trial, name, space) for name, space in search.search.fields.items())
        found.append(values)
        assert isinstance(values[0], float)
        return values[0]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.optimize(objective, n_trials=trials)
    return found


def test_a_search_that_is_gone_on_with_tries_what_it_would_have_tried_unstopped(
    search: SearchFile, tmp_path: Path
) -> None:
    """Drawn blindly at first, then by what did well."""
    whole = tried(open_study(sqlite(tmp_path / "whole.db"), search), search, 16)
    parts = [
        values
        for trials in (3, 9, 4)
        for values in tried(open_study(sqlite(tmp_path / "parts.db"), search), search, trials)
    ]
    assert parts == whole
    assert len(set(whole)) == 16


def test_workers_side_by_side_try_no_values_twice(search: SearchFile, tmp_path: Path) -> None:
    url = sqlite(tmp_path / "shared.db")
    workers = [open_study(url, search) for _ in range(3)]
    found = [values for _ in range(6) for worker in workers for values in tried(worker, search, 1)]
    assert len(set(found)) == 18


def test_another_seed_tries_other_values(search: SearchFile, file: Path, tmp_path: Path) -> None:
    other = load_search(file, [f"search.seed={2**40}"])
    one, two = (
        tried(open_study(sqlite(tmp_path / name), wanted), wanted, 3)
        for name, wanted in (("one.db", search), ("two.db", other))
    )
    assert not set(one) & set(two)
