"""`binsight retrain --on sagemaker`: what needs the ledger is done here, the rest by the pipeline, and the ledger knows the
end. S3 is SeaweedFS, the endpoint moto's; executions of pipelines, which moto has not, are told by the tests."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.aws_pipelines import FIRST, REASON, Pipelines, Ran
from tests.aws_support import NOW, Cloud, deployment, running_cloud
from tests.bundle_support import changed_bundle
from tests.retrain_support import Site, a_site, counted, fresh_photos
from tests.s3_server import CREDENTIALS, READER, running_s3_server
from tests.sagemaker_tree import make_tree

from binsight.counting.bundle import Bundle
from binsight.counting.registry import Registry
from binsight.dataset.manifest import Dataset
from binsight.engines.container.evaluation import frozen_set
from binsight.engines.container.opt_ml import OptMl
from binsight.engines.container.training import recipe_of
from binsight.engines.sagemaker.apply import deploy
from binsight.engines.sagemaker.plan import Plan, make_plan
from binsight.engines.sagemaker.retraining import retrain_there
from binsight.errors import AccessRefused, BadInput, ChangedMeanwhile, GateFailed, MissingObject
from binsight.lifecycle.retrain import Ended, retrain
from binsight.records import CHAMPION
from binsight.settings import settings
from binsight.storage.ledger import Ledger, Retrainings
from binsight.storage.objects import open_store

Retrain = Callable[..., Ended]


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
def plan() -> Plan:
    return make_plan(deployment())


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


@pytest.fixture
def challenger(tmp_path: Path) -> Path:
    return changed_bundle(tmp_path / "challenger", "card.md", b"a challenger")


@pytest.fixture
def aws(cloud: Cloud, plan: Plan, challenger: Path, monkeypatch: pytest.MonkeyPatch) -> Pipelines:
    """Whose pipelines find the challenger better."""
    cloud.as_deployed(plan)
    found = Pipelines(cloud, monkeypatch)
    found.ends = ("promote", challenger)
    return found


@pytest.fixture
def retrained(
    site: Site, registry: Registry, ledger: Ledger, aws: Pipelines, monkeypatch: pytest.MonkeyPatch
) -> Retrain:
    """Sixteen photos would judge nobody; here nobody asks."""
    monkeypatch.setattr("binsight.lifecycle.beginning.check_judges", lambda *_: None)

    def run(*overrides: str, **asked: Any) -> Ended:
        d = asked.pop("d", deployment())
        given = {"by": "ann", "say": lambda _: None, "pace": NOW, **asked}
        return retrain_there(site.load(*overrides), d, site.work, registry, ledger, aws, **given)

    return run


def fetched(url: str, folder: Path) -> Path:
    store = open_store(url)
    for one in store.list():
        (folder / one.name).parent.mkdir(parents=True, exist_ok=True)
        (folder / one.name).write_bytes(store.read(one.name))
    return folder


def champion(registry: Registry) -> str:
    pointed = registry.pointed(CHAMPION)
    assert pointed is not None
    return pointed.version


def test_the_pipeline_is_given_all_that_its_jobs_need(
    retrained: Retrain, site: Site, ledger: Ledger, registry: Registry, aws: Pipelines, tmp_path: Path
) -> None:
    ended = retrained("export.name=small", "export.weights=int8", "export.size=64", "train.threads=1")
    assert ended.state == "promoted" and Retrainings(ledger).get(ended.id).state == "promoted"  # type: ignore[union-attr]
    assert champion(registry) == ended.challenger == Bundle.open(tmp_path / "challenger").version
    (started,) = aws.all
    given = started.given
    exported = [given[name] for name in ("ExportName", "ExportWeights", "ExportSize", "Threads")]
    assert exported == ['"small"', '"int8"', "64", "1"]
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
    retrained: Retrain, aws: Pipelines, challenger: Path
) -> None:
    aws.ends = ("keep", challenger)
    ended = retrained()
    assert (ended.state, ended.sentence) == ("kept", REASON)
    assert retrained().state == "nothing_to_do" and len(aws.all) == 1


def test_a_job_that_fails_is_told_and_the_next_call_begins_again(
    retrained: Retrain, ledger: Ledger, aws: Pipelines, challenger: Path
) -> None:
    aws.ends = ("broken", None)
    with pytest.raises(GateFailed, match="the pipeline failed: Train: the loss is nan; mend that"):
        retrained()
    (row,) = Retrainings(ledger).newest(5)
    assert row.state == "dropped"
    aws.ends = ("promote", challenger)
    ended = retrained()
    assert ended.state == "promoted" and ended.id != row.id


def test_a_pipeline_that_lacks_a_parameter_is_to_be_deployed_again(
    retrained: Retrain, aws: Pipelines, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> Ran:
        raise BadInput("AWS refused sagemaker StartPipelineExecution (no such parameter)")

    monkeypatch.setattr(aws, "begin", refused)
    with pytest.raises(
        BadInput, match=r"no such parameter.*deployed the pipeline, deploy it again: binsight deploy"
    ):
        retrained()


class Killed(BaseException): ...


def begun_and_killed(retrained: Retrain, aws: Pipelines) -> Ran:
    """Killed while the pipeline runs."""

    def killed(_: str) -> None:
        raise Killed

    aws.ends = None
    with pytest.raises(Killed), pytest.MonkeyPatch.context() as patch:
        patch.setattr("binsight.engines.sagemaker.retraining._wait_until_ended", lambda *_: killed(""))
        retrained()
    (ran,) = aws.all
    return ran


def test_killed_while_the_pipeline_runs_the_next_call_waits_for_the_same(
    retrained: Retrain, ledger: Ledger, aws: Pipelines, challenger: Path
) -> None:
    ran = begun_and_killed(retrained, aws)
    ended = retrained(say=lambda line: aws.run(ran, "promote", challenger) if ran.arn in line else None)
    (row,) = Retrainings(ledger).newest(5)
    assert row.id == ended.id == ran.token, "AWS starts one execution for a token"
    assert ended.state == "promoted" and len(aws.all) == 1


@pytest.mark.parametrize("when_due", [False, True])
def test_killed_and_ended_since_the_outcome_comes_home_with_the_next_call(
    retrained: Retrain, registry: Registry, aws: Pipelines, challenger: Path, when_due: bool
) -> None:
    aws.run(begun_and_killed(retrained, aws), "promote", challenger)
    ended = retrained(when_due=when_due)
    assert ended.state == "promoted" and champion(registry) == Bundle.open(challenger).version
    assert len(aws.all) == 1 and len(registry.models.moves(CHAMPION)) == 2


def test_with_its_folder_lost_the_outcome_comes_home_all_the_same(
    retrained: Retrain, registry: Registry, ledger: Ledger, aws: Pipelines, challenger: Path, site: Site
) -> None:
    ran = begun_and_killed(retrained, aws)
    shutil.rmtree(site.work)
    with pytest.raises(ChangedMeanwhile, match="another retraining runs on SageMaker"):
        retrained()
    aws.run(ran, "promote", challenger)
    assert retrained(when_due=True).state == "nothing_to_do"
    (row,) = Retrainings(ledger).newest(5)
    assert row.id == ran.token and row.state == "promoted" and champion(registry) == row.challenger


def test_a_pipeline_that_a_dataset_started_comes_home_before_anything_else(
    retrained: Retrain, registry: Registry, ledger: Ledger, aws: Pipelines, challenger: Path, tmp_path: Path
) -> None:
    pushed = aws.dataset_pushed()
    with pytest.raises(ChangedMeanwhile, match=f"runs on SageMaker \\({pushed.arn}\\); let it end"):
        retrained()
    aws.run(pushed, "promote", challenger)
    better = changed_bundle(tmp_path / "better", "card.md", b"better still")
    aws.cloud.client("sagemaker").describe_endpoint(EndpointName="bins")  # its update ends
    aws.ends, aws.compared = ("promote", better), Bundle.open(challenger).version
    ended = retrained()
    assert ended.state == "promoted" and champion(registry) == Bundle.open(better).version
    assert aws.all[1].given["Champion"] == aws.model(pushed), "compared with what came home"
    assert [row.state for row in Retrainings(ledger).newest(5)] == ["promoted", "promoted"]


def test_a_retraining_that_is_there_is_not_gone_on_with_here(
    retrained: Retrain, registry: Registry, ledger: Ledger, aws: Pipelines, site: Site
) -> None:
    begun_and_killed(retrained, aws)
    with pytest.raises(ChangedMeanwhile, match="go on with it by --on sagemaker"):
        retrain(site.load(), site.work, registry, ledger, by="ann", say=lambda _: None)


def test_an_endpoint_that_answers_with_another_model_than_the_champion_is_not_compared_with(
    retrained: Retrain, registry: Registry, aws: Pipelines, challenger: Path
) -> None:
    seen = registry.pointed(CHAMPION)
    other = registry.register(challenger, by="ann").version
    registry.point(CHAMPION, other, by="ann", reason="", seen=seen)
    with pytest.raises(
        BadInput, match=f"the endpoint bins answers with {FIRST}, but the champion is {other}: .*deploy"
    ):
        retrained()
    assert not aws.all


def test_without_an_endpoint_a_pipeline_or_the_champions_run_nothing_is_begun(
    retrained: Retrain, ledger: Ledger, site: Site
) -> None:
    with pytest.raises(MissingObject, match="there is no endpoint elsewhere; make it first"):
        retrained(d=deployment(name="elsewhere"))
    with pytest.raises(BadInput, match=r"needs the section \[training\]"):
        retrained(d=deployment(training=None))
    with pytest.raises(BadInput, match=r"its run is not in .*nor is it of a training job below s3://"):
        retrained("train.begin=champion")
    assert not Retrainings(ledger).newest(5) and not site.work.joinpath("plan").exists()


def test_a_bucket_that_may_not_be_written_to_is_said_with_the_permission_and_then_gone_on_from(
    retrained: Retrain, aws: Pipelines, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        for name, value in READER.items():
            patch.setenv(name, value)
        with pytest.raises(
            AccessRefused, match=r"s3://warehouse/.* was refused .*s3:PutObject is missing; have it given"
        ):
            retrained()
    assert not aws.all
    assert retrained().state == "promoted" and len(aws.all) == 1


def test_due_is_asked_here(retrained: Retrain, aws: Pipelines) -> None:
    ended = retrained(when_due=True)
    assert ended.state == "nothing_to_do" and "counts" in ended.sentence and not aws.all
