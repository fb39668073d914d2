"""`<image> train` as a real process over an /opt/ml tree: what comes out, how it fails, how it is stopped and goes on."""

import csv
import io
import json
import re
import shutil
import signal
import tarfile
import time
from contextlib import redirect_stdout
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from tests.dataset_support import real_dataset
from tests.sagemaker_tree import HYPERPARAMETERS, make_tree, run_train, train_process

from binsight.counting import Counter
from binsight.counting.bundle import Bundle
from binsight.engines.container.__main__ import main
from binsight.engines.container.opt_ml import MOST_OF_A_FAILURE, OptMl
from binsight.engines.container.training import export_of, recipe_of
from binsight.engines.contract import DATASET, LEARNED, LEARNED_FILE, METRICS, metric_definitions, metric_line
from binsight.errors import BadInput, BadRecipe, MissingObject
from binsight.imaging.drawn import drawn_photo

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def dataset(abid: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return real_dataset(abid, tmp_path_factory.mktemp("dataset"), {"train": 64, "val": 32}).folder


@pytest.fixture(scope="module")
def job(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A job that ended well, in this process: its tree and its log."""
    root = make_tree(tmp_path_factory.mktemp("ml"), {DATASET: dataset})
    log = io.StringIO()
    with redirect_stdout(log):
        assert run_here(root) == 0
    return root, log.getvalue()


def run_here(root: Path) -> int:
    """The entry point without a process of its own, for libraries that take long to load."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAGEMAKER_BASE_DIR", str(root))
        try:
            return main("train")
        finally:
            signal.signal(signal.SIGTERM, before)


def stopped(root: Path) -> str:
    """SIGTERM after the first epoch: everything is in order, well before SageMaker would kill."""
    with train_process(root) as process:
        assert process.stdout is not None
        log = ""
        for line in process.stdout:
            log += line
            if line.startswith(f"metric {METRICS[-1]}"):
                break
        process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        rest = process.stdout.read()
        assert process.wait(120) == 0, rest
    assert time.monotonic() - begun < 60, "SageMaker kills after 120 s"
    assert "keeps the work" in rest and not (root / "output" / "failure").exists()
    assert list((root / "checkpoints").glob("run-*/checkpoint.pt"))
    assert not list((root / "model").iterdir()), "no half model is taken away"
    return log + rest


@pytest.mark.slow
def test_the_model_is_a_bundle_at_the_root_of_its_tar(job: tuple[Path, str], tmp_path: Path) -> None:
    root, _ = job
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as tar:  # as the platform does
        tar.add(root / "model", arcname=".")
    with tarfile.open(tmp_path / "model.tar.gz") as tar:
        tar.extractall(tmp_path / "model", filter="data")
    assert Bundle.open(tmp_path / "model").spec.name == "tiny"
    assert Counter.load(tmp_path / "model").probs([drawn_photo(2, seed=2)]).shape == (1, 21)


@pytest.mark.slow
def test_every_metric_definition_finds_its_value_in_the_log(job: tuple[Path, str]) -> None:
    root, log = job
    with (root / "output" / "data" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    for definition in metric_definitions():
        found = re.findall(definition["Regex"], log)
        expected = [float(row[definition["Name"]]) for row in rows]
        assert [float(text) for text in found] == pytest.approx(expected, rel=1e-4), definition["Name"]


@pytest.mark.parametrize("value", [1e-7, 123456.0, float("nan"), float("inf"), 0.25])
def test_a_metric_of_any_size_is_found_and_no_other_is(value: float) -> None:
    for definition in metric_definitions():
        name = definition["Name"]
        (text,) = re.findall(definition["Regex"], metric_line(name, value, 3))
        assert float(text) == pytest.approx(value, nan_ok=True)
        others = "\n".join(metric_line(other, 1, 1) for other in METRICS if other != name)
        assert not re.search(definition["Regex"], others)


def test_the_metrics_are_columns_of_a_run() -> None:
    from binsight.model.health import EpochMetrics

    assert set(METRICS) <= {field.name for field in fields(EpochMetrics)}


@pytest.mark.slow
def test_the_report_says_how_healthy_the_training_was(job: tuple[Path, str]) -> None:
    data = job[0] / "output" / "data"
    page = (data / "index.html").read_text()
    assert "Training of tiny" in page and "Health" in page
    for finding in json.loads((data / "health.json").read_text()):
        assert finding["rule"] in page
    assert {"recipe.toml", "environment.json", "best.safetensors", "losses.csv"} <= {p.name for p in data.iterdir()}
    assert not (job[0] / "output" / "failure").exists()


@pytest.mark.slow
def test_a_job_that_spot_took_away_goes_on_and_ends_as_one_that_was_never_stopped(
    job: tuple[Path, str], dataset: Path, tmp_path: Path
) -> None:
    """`<image> train` twice, as processes: SIGTERM after the first epoch, then a container that has its checkpoints."""
    root = make_tree(tmp_path, {DATASET: dataset})
    stopped(root)
    shutil.rmtree(root / "cache")
    status, log = run_train(root)
    assert status == 0 and "going on at epoch 2" in log, log
    made = {Bundle.open(tree / "model").spec.lineage["weights_sha256"] for tree in (job[0], root)}
    assert len(made) == 1


@pytest.mark.slow
def test_a_failed_process_ends_non_zero(dataset: Path, tmp_path: Path) -> None:
    status, log = run_train(make_tree(tmp_path, {DATASET: dataset}, changed(training__lr="quick")))
    assert status == 1 and "training.lr" in log and "training.lr" in (tmp_path / "output" / "failure").read_text()


def changed(**values: str) -> dict[str, str]:
    return HYPERPARAMETERS | {name.replace("__", "."): value for name, value in values.items()}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"training__lr": "quick"}, "training.lr"),
        ({"training__epoch": "3"}, "unknown field training.epoch"),
        ({"export__weights": "int4"}, "must be fp32, fp16 or int8"),
        ({"export__name": "a b"}, "export.name must be a text of letters, digits, _, . and -, but is 'a b'"),
        ({"export__name": "12"}, "export.name must be a text"),
        ({"export__size": "8"}, "export.size must be a whole number from 16 on, but is 8"),
        ({"threads": "0"}, "threads must be a whole number from 1 on, but is 0"),
        ({"model__backbone": "timm:no_such"}, "no_such"),
        ({"model__weights": "file:/nowhere.safetensors"}, "/nowhere.safetensors"),
    ],
)
def test_a_job_that_cannot_train_says_why_where_sagemaker_looks(
    dataset: Path, tmp_path: Path, values: dict[str, str], sentence: str
) -> None:
    root = make_tree(tmp_path, {DATASET: dataset}, changed(**values))
    assert run_here(root) == 1
    reason = (root / "output" / "failure").read_text()
    assert sentence in reason and len(reason) <= MOST_OF_A_FAILURE
    assert "Traceback" not in reason and not list((root / "model").iterdir())


def test_a_failure_is_cut_to_what_sagemaker_shows(tmp_path: Path) -> None:
    OptMl(tmp_path).fail("é" * 5000)
    assert len((tmp_path / "output" / "failure").read_text()) == MOST_OF_A_FAILURE


def test_bundles_of_one_run_that_are_exported_otherwise_are_told_apart() -> None:
    asked = [
        export_of({"export.weights": weights, "export.size": size})
        for weights in ("fp16", "int8")
        for size in (64, 96)
    ]
    assert len({one.key for one in asked}) == len(asked)
    assert export_of({}).key == export_of({"export.weights": "fp32", "export.name": None}).key


def test_hyperparameters_are_json_or_what_they_say(tmp_path: Path) -> None:
    root = make_tree(tmp_path, {DATASET: tmp_path}, changed(model__head='"cumulative"', seed="7"))
    recipe = recipe_of(OptMl(root), OptMl(root).hyperparameters())
    assert (recipe.model.head, recipe.seed, recipe.training.lr) == ("cumulative", 7, 0.002)
    assert recipe.data.preprocessing.mean == (0.5, 0.5, 0.5)
    assert recipe.data.dataset == root / "input" / "data" / DATASET


def test_a_recipe_in_its_channel_is_changed_by_the_hyperparameters(tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    text = 'name = "own"\n[data]\ndataset = "elsewhere"\n[model]\nbackbone = "timm:lcnet_035"\n'
    (folder / "recipe.toml").write_text(text + '[search.fields]\n"training.lr" = [0.1, 0.2]\n')
    run = tmp_path / "run"
    run.mkdir()
    (run / "best.safetensors").touch()
    channels = {DATASET: tmp_path, "recipe": folder, "parent": run}
    root = make_tree(tmp_path / "ml", channels, {"training.epochs": "9"})
    recipe = recipe_of(OptMl(root), OptMl(root).hyperparameters())
    assert (recipe.name, recipe.training.epochs) == ("own", 9)
    assert recipe.model.weights == f"run:{root / 'input' / 'data' / 'parent'}"
    (folder / "second.toml").write_text(text)
    with pytest.raises(BadInput, match="holds 2"):
        recipe_of(OptMl(root), {})


def test_training_begins_afresh_where_the_parents_channel_says_so_and_else_needs_weights(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    tree = OptMl(make_tree(tmp_path / "ml", {DATASET: tmp_path, "parent": tmp_path / "none"}))
    with pytest.raises(MissingObject, match="the channel parent must hold a run with best"):
        recipe_of(tree, tree.hyperparameters())
    (tmp_path / "none" / LEARNED).mkdir()
    (tmp_path / "none" / LEARNED / LEARNED_FILE).write_text('{"datasets": []}')
    assert not recipe_of(tree, tree.hyperparameters()).model.weights.startswith("run:")


@pytest.mark.parametrize(
    ("text", "error"), [("[]", BadInput), ("{", BadInput), ('{"seed": 3}', BadInput), ('{"seed": "x"}', BadRecipe)]
)
def test_what_sagemaker_would_not_write_is_refused(tmp_path: Path, text: str, error: type[Exception]) -> None:
    tree = OptMl(make_tree(tmp_path, {DATASET: tmp_path}))
    (tmp_path / "input" / "config" / "hyperparameters.json").write_text(text)
    with pytest.raises(error):
        recipe_of(tree, tree.hyperparameters())


def test_a_job_without_a_dataset_names_the_channels_it_has(tmp_path: Path) -> None:
    tree = OptMl(make_tree(tmp_path, {"training": tmp_path}))
    given: dict[str, Any] = tree.hyperparameters()
    with pytest.raises(MissingObject, match="a channel dataset, but has training"):
        recipe_of(tree, given)
