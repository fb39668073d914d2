"""`binsight tune --on ray`: the same study and report as without, by several workers at once, killed ones too."""

import json
import os
import signal
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.batch_support import processes_below
from tests.dataset_support import real_dataset
from tests.train_support import SEARCH

from binsight.cli import cli
from binsight.errors import BadInput, MissingExtra
from binsight.model.recipe import load_recipe
from binsight.model.run import Run
from binsight.model.search import load_search
from binsight.model.tune import open_study

pytestmark = [pytest.mark.usefixtures("cache"), pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture
def file(abid: Path, tmp_path: Path) -> Path:
    dataset = real_dataset(abid, tmp_path / "dataset", {"train": 32, "val": 16})
    path = tmp_path / "small.toml"
    path.write_text(SEARCH.format(dataset=dataset.folder, trials=4))
    return path


@pytest.mark.slow
def test_a_search_by_several_workers_ends_as_one_by_one_where_a_worker_is_killed_too(
    file: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason="Ray is not here: pip install 'binsight[ray,tune]' -c constraints.txt")
    out, killed, over = tmp_path / "out", list[int](), threading.Event()

    def kill() -> None:
        while not killed and not over.wait(0.05):
            begun = list(out.glob("trials/*/metrics.csv"))
            for worker in processes_below(os.getpid(), "ray::_work")[: bool(begun)]:
                os.kill(worker, signal.SIGKILL)
                killed.append(worker)

    killer = threading.Thread(target=kill)
    killer.start()
    words = ["tune", str(file), "--out", str(out), "--json", "--on", "ray"]
    result = CliRunner().invoke(cli, words, env={"RAY_ADDRESS": None})
    over.set()
    killer.join()
    assert result.exit_code == 0, result.output
    assert killed
    rows = [json.loads(line) for line in result.stdout.splitlines()]  # and not what Ray says of the killed one
    assert len(rows) == 4
    best = min(rows, key=lambda row: row["rps"])
    assert load_recipe(out / "best.toml").training.lr == best["training.lr"]
    assert (out / "index.html").is_file()
    runs = [Run.open(folder) for folder in sorted((out / "trials").iterdir())]
    assert [len(run.metrics()) for run in runs] == [2] * 4, "the killed trial was gone on with where it was"
    study = open_study(f"sqlite:///{out / 'study.db'}", load_search(file))
    begun = sorted(trial.datetime_start for trial in study.trials if trial.datetime_start)
    ended = sorted(trial.datetime_complete for trial in study.trials if trial.datetime_complete)
    assert begun[1] < ended[0], "two at once"


def test_workers_of_other_machines_do_not_share_a_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("binsight.cli.options.find_spec", lambda module: True)
    words = ["tune", str(file), "--out", str(file.parent / "out"), "--on", "ray", "--ray-address", "10.0.0.5:6379"]
    result = CliRunner().invoke(cli, words)
    assert isinstance(result.exception, BadInput)
    assert "give --study postgresql" in str(result.exception)


def test_tuning_on_ray_needs_its_library(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("binsight.cli.options.find_spec", lambda module: None if module == "ray" else True)
    result = CliRunner().invoke(cli, ["tune", str(file), "--on", "ray"])
    assert isinstance(result.exception, MissingExtra)
    assert "binsight[ray]" in str(result.exception)
