"""`binsight retrain --on sagemaker`: what needs the ledger is done here, the rest by the pipeline, and the ledger knows the
end. S3 is SeaweedFS, the endpoint moto's; executions of pipelines, which moto has not, are told by the tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.aws_support import NOW, Cloud, deployment, running_cloud
from tests.retrain_support import Site, a_site, counted, fresh_photos
from tests.s3_server import CREDENTIALS, running_s3_server
from tests.sagemaker_tree import make_tree

from binsight.counting.registry import Registry
from binsight.dataset.manifest import Dataset
from binsight.engines.container.evaluation import frozen_set
from binsight.engines.container.opt_ml import OptMl
from binsight.engines.container.training import recipe_of
from binsight.engines.sagemaker.apply import deploy
from binsight.engines.sagemaker.aws import Aws
from binsight.engines.sagemaker.calls import Call
from binsight.engines.sagemaker.checking import faults
from binsight.engines.sagemaker.plan import make_plan
from binsight.engines.sagemaker.retraining import retrain_there
from binsight.errors import BadInput, GateFailed, MissingObject
from binsight.settings import settings
from binsight.storage.ledger import Ledger, Retrainings
from binsight.storage.objects import open_store

EXECUTION = "arn:aws:sagemaker:eu-central-1:123456789012:pipeline/bins/execution/abcdefghijkl"
PROMOTED = ("Succeeded", "", [("Train", "Succeeded", ""), ("UpdateEndpoint", "Succeeded", "")])
KEPT = ("Failed", "step failure", [("Train", "Succeeded", ""), ("NotPromoted", "Failed", "the champion stays: no")])
BROKEN = ("Failed", "Train: the loss is nan", [("Train", "Failed", "the loss is nan")])


class WithPipelines(Aws):
    """AWS whose pipeline ends as the test says; every call must be in form."""

    def __init__(self, region: str, ends: Any) -> None:
        super().__init__(region)
        self.ends, self.started = ends, []  # type: ignore[var-annotated]

    def ask(self, call: Call) -> Any:
        assert faults(call) == []
        status, reason, steps = self.ends
        match call.operation:
            case "StartPipelineExecution":
                self.started.append(call.arguments)
                return {"PipelineExecutionArn": EXECUTION}
            case "DescribePipelineExecution":
                assert call.arguments["PipelineExecutionArn"] == EXECUTION
                found = {"PipelineExecutionArn": EXECUTION, "PipelineExecutionStatus": status}
                return found | ({"FailureReason": reason} if reason else {})
            case "ListPipelineExecutionSteps":
                names = ("StepName", "StepStatus", "FailureReason")
                return {"PipelineExecutionSteps": [dict(zip(names, step, strict=True)) for step in steps]}
        return super().ask(call)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """An endpoint, and a real S3 server for what is pushed."""
    with pytest.MonkeyPatch.context() as patch, running_cloud(patch) as made:
        deploy(deployment(), made.aws(), pace=NOW)
        with running_s3_server(tmp_path_factory.mktemp("s3")) as s3:
            s3.put("warehouse", {"begun": b""})
            patch.setenv("BINSIGHT_ENDPOINT_URL", s3.endpoint_url)
            for name, value in CREDENTIALS.items():
                patch.setenv(name, value)
            yield made


@pytest.fixture(scope="module")
def world(abid: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    return a_site(abid, tmp_path_factory.mktemp("site"), {"train": 24, "val": 16, "test": 16})


@pytest.fixture
def site(world: Site, tmp_path: Path) -> Site:
    return Site(folder=tmp_path, terms=world.terms)


@pytest.fixture
def ledger(cloud: Cloud, registry: Registry, places: dict[str, str], site: Site, abid: Path) -> Iterator[Ledger]:
    """With four bins that people counted."""
    settings.cache_clear()
    opened = Ledger.open(places["BINSIGHT_LEDGER"])
    base = site.load().data.base
    counted(opened, fresh_photos(abid, 4, not_in=base, folder=site.folder / "new"), folder=site.folder)
    yield opened
    opened.close()


def retrained(site: Site, registry: Registry, ledger: Ledger, ends: Any, **asked: Any) -> tuple[Any, WithPipelines]:
    aws = WithPipelines("eu-central-1", ends)
    said: list[str] = []
    d = asked.pop("d", deployment())
    ended = retrain_there(
        site.load(), d, site.work, registry, ledger, aws, by="ann", say=said.append, pace=NOW, **asked
    )
    return ended, aws


def fetched(url: str, folder: Path) -> Path:
    store = open_store(url)
    for one in store.list():
        (folder / one.name).parent.mkdir(parents=True, exist_ok=True)
        (folder / one.name).write_bytes(store.read(one.name))
    return folder


def test_the_pipeline_is_given_all_that_its_jobs_need(
    site: Site, registry: Registry, ledger: Ledger, tmp_path: Path
) -> None:
    ended, aws = retrained(site, registry, ledger, PROMOTED)
    assert ended.state == "promoted" and Retrainings(ledger).get(ended.id).state == "promoted"  # type: ignore[union-attr]
    (started,) = aws.started
    given = {one["Name"]: one["Value"] for one in started["PipelineParameters"]}
    assert given["Champion"] == make_plan(deployment()).first
    assert given["Parent"] == deployment().s3("parents", "none"), "its terms begin afresh"
    assert "/datasets/" not in given["Dataset"], "the rule would start a second execution"
    dataset = fetched(given["Dataset"], tmp_path / "dataset")
    base = Dataset.open(site.load().data.base)
    assert len(Dataset.open(dataset).photos) == len(base.photos) + 4
    tree = OptMl(
        make_tree(tmp_path / "ml", {"dataset": dataset, "recipe": fetched(given["Recipe"], tmp_path / "r")}, {})
    )
    recipe = recipe_of(tree, tree.hyperparameters())
    assert recipe.training.epochs == 1 and recipe.data.weight
    judges, policy = frozen_set(fetched(given["Promotion"], tmp_path / "promotion"))
    assert judges.sha256 == judges.frozen_sha256 and policy.min_photos == 100


def test_that_the_champion_stays_is_a_decision_and_nothing_is_new_afterwards(
    site: Site, registry: Registry, ledger: Ledger
) -> None:
    ended, _ = retrained(site, registry, ledger, KEPT)
    assert (ended.state, ended.sentence) == ("kept", "the champion stays: no")
    again, aws = retrained(site, registry, ledger, KEPT)
    assert again.state == "nothing_to_do" and not aws.started


def test_a_job_that_fails_is_told_and_the_next_call_begins_again(
    site: Site, registry: Registry, ledger: Ledger
) -> None:
    with pytest.raises(GateFailed, match="the pipeline failed: Train: the loss is nan; mend that"):
        retrained(site, registry, ledger, BROKEN)
    (row,) = Retrainings(ledger).newest(5)
    assert row.state == "dropped"
    ended, _ = retrained(site, registry, ledger, PROMOTED)
    assert ended.state == "promoted" and ended.id != row.id


def test_killed_while_the_pipeline_runs_the_next_call_starts_no_other(
    site: Site, registry: Registry, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException): ...

    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("binsight.engines.sagemaker.retraining._ended", killed)
        retrained(site, registry, ledger, PROMOTED)
    ended, aws = retrained(site, registry, ledger, PROMOTED)
    (row,) = Retrainings(ledger).newest(5)
    assert row.id == ended.id == aws.started[0]["ClientRequestToken"], "AWS starts one execution for a token"


def test_without_an_endpoint_a_pipeline_or_the_champions_run_nothing_is_begun(
    site: Site, registry: Registry, ledger: Ledger
) -> None:
    with pytest.raises(MissingObject, match="there is no endpoint elsewhere; make it first"):
        retrained(site, registry, ledger, PROMOTED, d=deployment(name="elsewhere"))
    with pytest.raises(BadInput, match=r"needs the section \[training\]"):
        retrained(site, registry, ledger, PROMOTED, d=deployment(training=None))
    with pytest.raises(BadInput, match=r"its run is not in .*nor is it of a training job below s3://"):
        retrain_there(
            site.load("train.begin=champion"),
            deployment(),
            site.work,
            registry,
            ledger,
            WithPipelines("eu-central-1", PROMOTED),
            by="ann",
            say=print,
            pace=NOW,
        )
    assert not Retrainings(ledger).newest(5) and not site.work.joinpath("plan").exists()


def test_due_is_asked_here(site: Site, registry: Registry, ledger: Ledger) -> None:
    ended, aws = retrained(site, registry, ledger, PROMOTED, when_due=True)
    assert ended.state == "nothing_to_do" and "counts" in ended.sentence and not aws.started
