"""The pipeline: compiled from the steps of a retraining, checked, and run here through both of its branches."""

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.aws_support import deployment
from tests.dataset_support import real_dataset
from tests.pipeline_interpreter import Failed, Interpreter
from tests.sagemaker_tree import ENTRY, HYPERPARAMETERS, environment, make_tree, run_train

from binsight.counting.bundle import DEFAULT_FOLDER, Bundle
from binsight.engines.container.opt_ml import OptMl
from binsight.engines.container.training import Asked, export_of, threads_of
from binsight.engines.contract import EVALUATION, EVALUATION_FILE, FROZEN_FILE, LEARNED, LEARNED_FILE
from binsight.engines.sagemaker import pipeline
from binsight.engines.sagemaker.parents import KEPT
from binsight.engines.sagemaker.pipeline import (
    EVALUATED,
    HERE,
    PLACES,
    PROMOTE,
    TRAIN,
    begun_with,
    definition,
    set_by,
)
from binsight.engines.sagemaker.pipeline_check import check_pipeline, pipeline_faults
from binsight.engines.sagemaker.pipeline_settings import said_by
from binsight.errors import BadInput
from binsight.lifecycle.promotion_set import PromotionSet
from binsight.lifecycle.steps import GIVEN, STEPS, makers
from binsight.lifecycle.terms import Terms

BUCKET = "warehouse/binsight"
RECIPE, CHAMPION = f"s3://{BUCKET}/recipes/one", f"s3://{BUCKET}/models/first/model.tar.gz"


def compiled() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(definition(deployment(), recipe=RECIPE, champion=CHAMPION)))
    return made


def test_every_step_of_a_retraining_has_its_place() -> None:
    assert set(PLACES) == {step.name for step in STEPS}
    without_command = {step.name for step in STEPS if not step.command}
    assert {name for name, place in PLACES.items() if place in (HERE, PROMOTE)} == without_command


@pytest.mark.parametrize(("place", "step"), [(TRAIN, "Train"), (EVALUATED, "Evaluate")])
def test_a_job_is_given_what_its_steps_need_and_do_not_make(place: str, step: str) -> None:
    (found,) = [one for one in compiled()["Steps"] if one["Name"] == step]
    given = [one["ChannelName"] for one in found["Arguments"].get("InputDataConfig", ())]
    given += [one["InputName"] for one in found["Arguments"].get("ProcessingInputs", ())]
    made = {one.makes for one in STEPS if PLACES[one.name] == place}
    needed = {need for one in STEPS if PLACES[one.name] == place for need in one.needs} - made
    seen = {LEARNED} if place == EVALUATED else set()
    assert set(given) == needed | seen and needed <= set(GIVEN) | set(makers())


def test_a_step_that_needs_something_new_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever adds an artifact to the list of steps has to say where it lies in the bucket."""
    changed = tuple(
        replace(step, needs=(*step.needs, "weather")) if step.name == "train" else step for step in STEPS
    )
    assert "weather" in begun_with(TRAIN, changed)
    monkeypatch.setattr(pipeline, "begun_with", lambda place: begun_with(place, changed))
    with pytest.raises(AssertionError, match="weather"):
        compiled()


def test_a_setting_of_training_that_is_new_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """As what the terms say of the export was once, so that the pipeline exported as it pleased."""
    assert set_by(TRAIN) == ("threads", "export")
    changed = tuple(
        replace(step, parameters=(*step.parameters, "luck")) if step.name == "export" else step for step in STEPS
    )
    monkeypatch.setattr(pipeline, "set_by", lambda place: set_by(place, changed))
    with pytest.raises(KeyError, match="luck"):
        compiled()


def terms(**export: Any) -> Terms:
    data = {"base": "base", "promotion": "promotion"}
    return Terms.model_validate({"data": data, "train": {"recipe": "recipe.toml", "threads": 2}, "export": export})


def test_what_the_terms_say_of_the_export_reaches_the_job_that_exports(s3: Path, tmp_path: Path) -> None:
    run = execution(s3, tmp_path, pretended("promote"), [])
    run.run(**said_by(terms(name="1e5", weights="int8", size=64)))
    given = OptMl(tmp_path / "jobs" / "Train").hyperparameters()
    assert threads_of(given) == 2
    assert export_of(given) == Asked(name="1e5", weights="int8", size=64)
    assert given == {}, "all else is the recipe's"


def test_an_execution_that_says_nothing_of_it_leaves_it_to_the_container(s3: Path, tmp_path: Path) -> None:
    """Such as one that a dataset starts."""
    run = execution(s3, tmp_path, pretended("promote"), [])
    run.run()
    given = OptMl(tmp_path / "jobs" / "Train").hyperparameters()
    assert threads_of(given) is None
    assert export_of(given) == Asked(name=None, weights="fp32", size=None) and given == {}


def test_the_compiled_pipeline_holds_together() -> None:
    text = json.dumps(compiled())
    assert pipeline_faults(text) == []
    check_pipeline(text)


def step_of(made: dict[str, Any], name: str) -> dict[str, Any]:
    steps = list(made["Steps"])
    steps += [
        inner for one in steps for branch in ("IfSteps", "ElseSteps") for inner in one["Arguments"].get(branch, [])
    ]
    return next(one for one in steps if one["Name"] == name)


def on(name: str, change: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda made: change(step_of(made, name))


MISTAKES: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda made: made.update(Version="2021"), "Version must be"),
    (lambda made: made["Parameters"].pop(0), "Parameters.Dataset is no parameter"),
    (lambda made: made["Parameters"][0].update(Type="Text"), "has the type 'Text'"),
    (lambda made: made["Steps"].pop(0), "is of no step"),
    (lambda made: made["Steps"][1].update(Name="Train"), "two steps have one name"),
    (on("Train", lambda step: step.update(DependsOn=["Evaluate"])), "wait for each other"),
    (on("Train", lambda step: step.update(DependsOn=["UpdateEndpoint"])), "wait for each other"),
    (on("Train", lambda step: step.update(Name="Train it")), "must be 1 to 64 letters"),
    (on("Train", lambda step: step["Arguments"].pop("RoleArn")), "lacks RoleArn"),
    (on("Train", lambda step: step["Arguments"]["ResourceConfig"].update(InstanceType="ml.bogus")), "none of its"),
    (on("Train", lambda step: step["Arguments"].update(Hyperparameters={})), "no member Hyperparameters"),
    (
        on("Train", lambda step: step["Arguments"]["CheckpointConfig"].update(S3Uri={"Get": "Execution.Id"})),
        "no property of an execution",
    ),
    (
        on(
            "Evaluate",
            lambda step: step["Arguments"]["ProcessingInputs"][0]["S3Input"].update(
                S3Uri={"Get": "Steps.Train.ModelArtifacts.S3Model"}
            ),
        ),
        "leads nowhere",
    ),
    (on("Evaluate", lambda step: step["PropertyFiles"][0].update(OutputName="other")), "is of no output"),
    (on("Evaluate", lambda step: step.update(PropertyFiles=[])), "PropertyFiles.Decision leads nowhere"),
    (
        on(
            "Evaluate",
            lambda step: step["Arguments"]["ProcessingOutputConfig"]["Outputs"][0].update(OutputName="report"),
        ),
        "leads nowhere",
    ),
    (on("Register", lambda step: step["Arguments"].update(ModelApprovalStatus="Yes")), "none of its"),
    (on("Promote", lambda step: step["Arguments"].update(Conditions=[])), "has no conditions"),
    (on("Promote", lambda step: step["Arguments"]["Conditions"][0].update(Type="Same")), "the type 'Same'"),
    (on("Promote", lambda step: step["Arguments"]["Conditions"][0].pop("RightValue")), "lacks RightValue"),
    (on("Promote", lambda step: step.update(DependsOn=["Compare"])), "depends on Compare, which is no step"),
    (on("UpdateEndpoint", lambda step: step.update(FunctionArn="bins-promote")), "FunctionArn is"),
    (on("UpdateEndpoint", lambda step: step.update(Type="Function")), "the type Function is not known"),
    (on("NotPromoted", lambda step: step["Arguments"].clear()), "lacks ErrorMessage"),
]


@pytest.mark.parametrize(("mistake", "said"), MISTAKES, ids=[said[:24] for _, said in MISTAKES])
def test_each_mistake_in_a_pipeline_is_found(mistake: Callable[[dict[str, Any]], Any], said: str) -> None:
    made = copy.deepcopy(compiled())
    mistake(made)
    assert said in "; ".join(pipeline_faults(json.dumps(made)))
    with pytest.raises(BadInput, match="does not hold together"):
        check_pipeline(json.dumps(made))


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"Version": "2020-12-01", "Steps": [1]}'])
def test_what_is_no_pipeline_is_told_as_such(text: str) -> None:
    assert "no pipeline definition" in pipeline_faults(text)[0]


def test_a_pipeline_that_is_too_long_is_told_as_such() -> None:
    made = compiled()
    made["Metadata"] = {"x": "y" * 2**20}
    assert "at most 1,048,576 characters" in pipeline_faults(json.dumps(made))[0]


@pytest.fixture
def s3(tmp_path: Path) -> Path:
    """The bucket as far as the pipeline needs it; what lies there is the tests' own."""
    for part in ("datasets/current", "promotion/current", "recipes/one", "models/first"):
        (tmp_path / "s3" / BUCKET / part).mkdir(parents=True)
    (tmp_path / "s3" / BUCKET / "models" / "first" / "model.tar.gz").write_bytes(b"")
    put_parent(tmp_path / "s3", "none", {})
    return tmp_path / "s3"


def pretended(word: str) -> Callable[[list[str], Path, Mapping[str, str]], int]:
    """Containers that do nothing but leave what real ones leave; the evaluation decides on `word`."""

    def start(command: list[str], root: Path, given: Mapping[str, str]) -> int:
        if command == ["train"]:
            if word == "broken":
                (root / "output" / "failure").write_text("the loss is nan")
                return 1
            (root / "model" / "bundle.json").write_text("{}")
            return 0
        assert command[-1] == "evaluate" and given["BINSIGHT_LOOKS"].endswith("looks")
        inputs = {path.name for path in (root / "processing" / "input").iterdir()}
        assert inputs == {"challenger", "champion", "promotion", "dataset", "learned"}
        assert (root / "processing" / "input" / "challenger" / "model.tar.gz").is_file()
        out = root / "processing" / "output" / EVALUATION
        out.mkdir(parents=True)
        found = {"decision": {"word": word, "reason": "no photo more is right"}}
        (out / EVALUATION_FILE).write_text(json.dumps(found))
        return 0

    return start


def execution(s3: Path, tmp_path: Path, start: Any, promoted: list[Any]) -> Interpreter:
    def promote(event: Any) -> dict[str, str]:
        promoted.append(event)
        return {"endpoint": "bins", "config": "bins-1"}

    return Interpreter(compiled(), s3, tmp_path / "jobs", start, {"bins-promote": promote})


def test_a_better_model_goes_into_the_endpoint(s3: Path, tmp_path: Path) -> None:
    promoted: list[Any] = []
    run = execution(s3, tmp_path, pretended("promote"), promoted)
    run.run()
    assert run.ran == ["Train", "Evaluate", "Register", "UpdateEndpoint", "Promote"]
    model = f"s3://{BUCKET}/runs/Train/output/model.tar.gz"
    assert promoted == [{"model_data": model, "champion": CHAMPION, "package": run.packages[0]["ModelPackageArn"]}]
    (container,) = run.packages[0]["InferenceSpecification"]["Containers"]
    assert container["ModelDataUrl"] == model
    report = run.packages[0]["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"]
    assert (s3 / report.removeprefix("s3://")).is_file()


@pytest.mark.parametrize("word", ["keep", "refuse"])
def test_else_the_pipeline_ends_with_the_reason_and_the_model_is_registered_all_the_same(
    s3: Path, tmp_path: Path, word: str
) -> None:
    promoted: list[Any] = []
    run = execution(s3, tmp_path, pretended(word), promoted)
    with pytest.raises(Failed, match=r"the champion stays: no photo more is right \( s3://.*/execution1 \)"):
        run.run()
    assert run.ran == ["Train", "Evaluate", "Register", "NotPromoted"] and not promoted and len(run.packages) == 1


def test_a_job_that_fails_ends_the_pipeline_with_its_own_reason(s3: Path, tmp_path: Path) -> None:
    run = execution(s3, tmp_path, pretended("broken"), [])
    with pytest.raises(Failed, match="Train: the loss is nan"):
        run.run()
    assert run.ran == []


def real(command: list[str], root: Path, given: Mapping[str, str]) -> int:
    """Our image's own entry points, as processes."""
    (root / "output").mkdir(exist_ok=True)
    place = [str(ENTRY), "train"] if command == ["train"] else [sys.executable, *command[1:]]
    log = subprocess.run(place, env=environment(root) | dict(given), capture_output=True, text=True, check=False)
    (root / "log").write_text(log.stdout + log.stderr)
    return log.returncode


def put_recipe(s3: Path, **changes: str) -> None:
    """The recipe of the tests as a file, as its hyperparameters say it."""
    import tomli_w

    from binsight.model.recipe import set_field

    fields: dict[str, Any] = {}
    for name, text in (HYPERPARAMETERS | changes).items():
        if not name.startswith(("_", "sagemaker")):
            try:
                set_field(fields, name, json.loads(text))
            except ValueError:
                set_field(fields, name, text)
    (s3 / BUCKET / "recipes" / "one" / "recipe.toml").write_text(tomli_w.dumps(fields))


def put_parent(s3: Path, name: str, seen: Mapping[str, Path], run: Path | None = None) -> str:
    """A parent as a retraining puts it there: a run's weights, and the datasets that they have seen."""
    folder = s3 / BUCKET / "parents" / name
    (folder / LEARNED).mkdir(parents=True)
    for file in KEPT if run else ():
        shutil.copyfile(run / file, folder / file)  # type: ignore[operator]
    listed = [{"sha256": digest, "place": str(place)} for digest, place in seen.items()]
    (folder / LEARNED / LEARNED_FILE).write_text(json.dumps({"datasets": listed}))
    return f"s3://{BUCKET}/parents/{name}"


def put_bundle(s3: Path, bundle: Path) -> None:
    subprocess.run(
        ["tar", "-C", str(bundle), "-czf", str(s3 / BUCKET / "models" / "first" / "model.tar.gz"), "."], check=True
    )


def put_promotion(abid: Path, s3: Path, num_photos: int) -> None:
    folder = s3 / BUCKET / "promotion" / "current"
    real_dataset(abid, folder, {"test": num_photos})
    opened = PromotionSet.open(folder, name="current")
    known = {"name": "current", "split": "test", "where": {}, "sha256": opened.sha256, "shared_with": ""}
    (folder / FROZEN_FILE).write_text(json.dumps(known | {"frozen_at": "2026-11-01T00:00:00+00:00"}))


@pytest.mark.slow
def test_real_containers_keep_a_champion_that_is_better(abid: Path, s3: Path, tmp_path: Path) -> None:
    """Both jobs as real processes. A tiny network after two epochs on 64 photos does not take the default model's place."""
    real_dataset(abid, s3 / BUCKET / "datasets" / "current", {"train": 64, "val": 32})
    put_recipe(s3)
    put_bundle(s3, DEFAULT_FOLDER)
    put_promotion(abid, s3, 450)
    promoted: list[Any] = []
    run = execution(s3, tmp_path, real, promoted)
    with pytest.raises(Failed, match="the champion stays: ") as failed:
        run.run(**said_by(terms(name="small", weights="fp16", size=64)))
    assert run.ran == ["Train", "Evaluate", "Register", "NotPromoted"] and not promoted, failed.value
    spec = Bundle.open(tmp_path / "jobs" / "Train" / "model").spec
    assert (spec.name, spec.preprocessing.size) == ("small", 64)
    assert spec.figures["stored"]["weights"] == "fp16"
    looks = list((s3 / BUCKET / "looks").rglob("*.json"))
    found = json.loads(next((s3 / BUCKET / "runs" / "evaluations").rglob(EVALUATION_FILE)).read_text())
    assert found["decision"]["word"] == "keep", found["decision"]["reason"]
    assert len(looks) == 1 and found["comparison"]["promotion_set"]["look"] == 1


@pytest.mark.slow
def test_real_containers_promote_a_challenger_over_a_champion_that_knows_nothing(
    abid: Path, s3: Path, tmp_path: Path
) -> None:
    """The champion has seen bins of many items alone, and so answers many; the challenger begins with its weights, and has
    seen bins as they are, too."""
    many = real_dataset(abid, tmp_path / "many", {"train": 48, "val": 24}, where={"count": "9"})
    first = tmp_path / "first"
    make_tree(first, {"dataset": many.folder}, HYPERPARAMETERS | {"training.lr": "0.01", "training.epochs": "3"})
    status, log = run_train(first)
    assert status == 0, log
    put_bundle(s3, first / "model")
    real_dataset(abid, s3 / BUCKET / "datasets" / "current", {"train": 600, "val": 120})
    put_recipe(s3)
    put_promotion(abid, s3, 450)
    promoted: list[Any] = []
    parent = put_parent(s3, "first", {many.digest: many.folder}, first / "output" / "data")
    run = execution(s3, tmp_path, real, promoted)
    run.run(Parent=parent)
    assert run.ran == ["Train", "Evaluate", "Register", "UpdateEndpoint", "Promote"] and len(promoted) == 1
    model = s3 / promoted[0]["model_data"].removeprefix("s3://")
    subprocess.run(["tar", "-C", str(tmp_path), "-xzf", str(model)], check=True)
    lineage, before = Bundle.open(tmp_path).spec.lineage, Bundle.open(first / "model").spec.lineage
    assert lineage["first_weights"] == f"run:{before['weights_sha256']}"
    assert lineage["learned_from"] == [many.digest]
    assert list((s3 / BUCKET / "looks").iterdir())
