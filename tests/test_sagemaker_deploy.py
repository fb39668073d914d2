"""Deploying and destroying over moto's server with unmodified boto3: what is there afterwards, also cut off anywhere."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from moto.s3.models import s3_backends
from moto.sagemaker.models import sagemaker_backends
from tests.aws_support import ACCOUNT, BUCKET, NOW, REGION, Cloud, brought, deployment, running_cloud, state
from tests.bundle_support import changed_bundle

from binsight.engines.sagemaker import functions
from binsight.engines.sagemaker.apply import deploy
from binsight.engines.sagemaker.archives import functions_zip
from binsight.engines.sagemaker.aws import Aws
from binsight.engines.sagemaker.begun import begin
from binsight.engines.sagemaker.calls import TAG, Call
from binsight.engines.sagemaker.destroy import destroy
from binsight.engines.sagemaker.endpoint import promotion_plan
from binsight.engines.sagemaker.plan import make_plan
from binsight.engines.sagemaker.transform import transform_job
from binsight.errors import (
    BadInput,
    GateFailed,
)


@pytest.fixture(scope="module")
def server() -> Iterator[Cloud]:
    with pytest.MonkeyPatch.context() as patch, running_cloud(patch) as cloud:
        yield cloud


@pytest.fixture
def cloud(server: Cloud) -> Cloud:
    """Empty but for the bucket."""
    server.reset()
    return server


def test_a_deployment_is_made_and_made_again_nothing_changes(cloud: Cloud) -> None:
    first = brought(deployment(), cloud)
    before = state(cloud)
    assert {first[title] for title in first if title.startswith(("model", "endpoint", "pipeline"))} == {"made"}
    assert before["endpoints"][0][2] == "InService" and len(before["policies"]) == 1 and len(before["alarms"]) == 2
    again = brought(deployment(), cloud)
    assert state(cloud) == before
    assert {again[title] for title in again if title.startswith(("model", "endpoint", "function"))} == {"as it was"}
    assert not {"made", "made again"} & set(again.values())


class Cut(BaseException):
    """The process was killed."""


class CutAws(Aws):
    """Is killed before its call of this number, or when AWS has done it and nobody was told."""

    def __init__(self, number: int, aws: Aws, *, after: bool) -> None:
        super().__init__(REGION)
        self._clients = aws._clients
        self.left, self.after = number, after

    def ask(self, call: Call) -> Any:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Cut
        answer = super().ask(call)
        if self.left <= 0 and self.after:  # an answer that something is not there is not it
            raise Cut
        return answer


@pytest.mark.parametrize(
    ("after", "step"),
    [
        (True, 9),
        pytest.param(False, 1, marks=pytest.mark.slow),
        pytest.param(True, 1, marks=pytest.mark.slow),
    ],
)
def test_cut_off_at_any_call_the_same_command_ends_as_if_never_cut_off(
    cloud: Cloud, after: bool, step: int
) -> None:
    """Each try goes on from what the one before left and comes a few calls further, until one comes to its end."""
    d = deployment()
    brought(d, cloud)
    whole = state(cloud)
    cloud.reset()
    cuts = 0
    while True:
        try:
            deploy(d, CutAws(3 + cuts * step, cloud.aws(), after=after), pace=NOW)
            break
        except Cut:
            cuts += 1
    assert cuts > 4 and state(cloud) == whole


def test_a_new_image_takes_over_and_scaling_and_variant_stay(cloud: Cloud) -> None:
    brought(deployment(), cloud)
    before, config = state(cloud), cloud.endpoint["EndpointConfigName"]
    told = brought(deployment(image=deployment().image.replace("1.0", "1.1")), cloud)
    assert told["endpoint bins"] == "changed" and cloud.endpoint["EndpointConfigName"] != config
    after = state(cloud)
    assert (
        after["policies"] == before["policies"]
        and cloud.endpoint["ProductionVariants"][0]["VariantName"] == "AllTraffic"
    )


def test_an_update_that_aws_takes_back_is_told_as_one(cloud: Cloud) -> None:
    brought(deployment(), cloud)
    config = cloud.endpoint["EndpointConfigName"]
    cloud.rings = True
    with pytest.raises(
        GateFailed, match="the update of the endpoint bins was rolled back: the alarm bins-errors rang"
    ):
        brought(deployment(image=deployment().image.replace("1.0", "1.1")), cloud)
    assert cloud.endpoint["EndpointConfigName"] == config


def test_an_endpoint_that_failed_to_begin_is_made_again(cloud: Cloud) -> None:
    brought(deployment(), cloud)
    sagemaker_backends[ACCOUNT][REGION].endpoints["bins"].endpoint_status = "Failed"
    assert brought(deployment(), cloud)["endpoint bins"] == "made again"
    assert cloud.endpoint["EndpointStatus"] == "InService"


def test_another_variant_is_refused_because_scaling_would_be_lost(cloud: Cloud) -> None:
    brought(deployment(), cloud)
    with pytest.raises(BadInput, match='set variant = "AllTraffic" under'):
        brought(deployment(endpoint={"variant": "all"}), cloud)


def test_destroy_leaves_nothing_that_costs_and_nothing_of_others(cloud: Cloud) -> None:
    s3, sagemaker = cloud.client("s3"), cloud.client("sagemaker")
    s3.put_object(Bucket=BUCKET, Key="binsight/datasets/one/dataset.json", Body=b"{}")
    sagemaker.create_model(ModelName="bins-of-others", ExecutionRoleArn=f"arn:aws:iam::{ACCOUNT}:role/others")
    brought(deployment(), cloud)
    brought(deployment(image=deployment().image.replace("1.0", "1.1")), cloud)  # leaves a model and a configuration
    told: dict[str, str] = {}
    destroy(deployment(), cloud.aws(), tell=told.__setitem__, pace=NOW)
    left = state(cloud)
    assert left.pop("models") == ["bins-of-others"]
    assert [key for key in left.pop("objects") if "functions" not in key] == ["binsight/datasets/one/dataset.json"]
    assert not any(left.values()), left
    assert told["endpoint bins"] == "removed" and told[f"bucket {BUCKET}"].startswith("stays: datasets")
    assert told["model package group bins"].startswith("stays")
    destroy(deployment(), cloud.aws(), tell=told.__setitem__, pace=NOW)
    assert told["endpoint bins"] == "was not there"


def test_what_bears_our_name_but_not_our_tag_stays(cloud: Cloud) -> None:
    brought(deployment(), cloud)
    arn = deployment().arn("sagemaker", "endpoint/bins")
    cloud.client("sagemaker").delete_tags(ResourceArn=arn, TagKeys=[TAG])
    told: dict[str, str] = {}
    destroy(deployment(), cloud.aws(), tell=told.__setitem__, pace=NOW)
    assert "somebody else made it" in told["endpoint bins"] and state(cloud)["endpoints"]


def test_notifications_of_the_bucket_to_others_are_kept(cloud: Cloud) -> None:
    s3, topic = cloud.client("s3"), cloud.client("sns").create_topic(Name="theirs")["TopicArn"]
    theirs = {"TopicConfigurations": [{"TopicArn": topic, "Events": ["s3:ObjectRemoved:*"]}]}
    s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration=theirs)
    brought(deployment(), cloud)
    found = s3.get_bucket_notification_configuration(Bucket=BUCKET)
    assert found["TopicConfigurations"][0]["TopicArn"] == topic
    held = s3_backends[ACCOUNT]["aws"].buckets[BUCKET].notification_configuration
    assert held.event_bridge is not None, "and it tells EventBridge, of which moto's answer says nothing"


def test_a_batch_transform_is_begun_once(cloud: Cloud) -> None:
    brought(deployment(), cloud)
    call = transform_job(deployment(), make_plan(deployment()).first, f"s3://{BUCKET}/in", f"s3://{BUCKET}/out")
    assert (
        begin(call, cloud.aws()).status is None
    )  # moto takes the same name again; tests/test_sagemaker_jobs.py does not


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The functions' plan, as it lies beside them in their archive."""
    plan = json.loads(json.dumps(promotion_plan(deployment(), None)))
    monkeypatch.setattr(functions, "_plan", lambda: plan)
    return dict(plan)


def test_a_promotion_takes_over_by_the_same_plan_and_a_new_deployment_keeps_it(
    cloud: Cloud, planned: dict[str, Any], tmp_path: Path
) -> None:
    brought(deployment(), cloud)
    first = make_plan(deployment()).first
    model = f"s3://{BUCKET}/binsight/runs/job/output/model.tar.gz"
    sagemaker = cloud.client("sagemaker")
    promoted = functions.promote({"model_data": model, "champion": first}, client=sagemaker)
    assert cloud.endpoint and cloud.endpoint["EndpointConfigName"] == promoted["config"]
    assert functions.in_use(sagemaker, cloud.endpoint) == model
    told = brought(deployment(), cloud)
    assert told["endpoint bins"] == "as it was" and functions.in_use(sagemaker, cloud.endpoint) == model
    # Told twice, as it may be, it does nothing more; and another bundle in the file is meant.
    assert functions.promote({"model_data": model, "champion": first}, client=sagemaker) == promoted
    other = deployment(bundle=str(changed_bundle(tmp_path / "b", "card.md", b"other")))
    assert brought(other, cloud)["endpoint bins"] == "changed"
    assert functions.in_use(sagemaker, cloud.endpoint) == make_plan(other).first


def test_the_functions_archive_needs_nothing_but_lambdas_own_python(tmp_path: Path) -> None:
    """Unpacked where nothing of ours can be imported, as Lambda does it."""
    data = functions_zip(promotion_plan(deployment(), None))
    assert data == functions_zip(promotion_plan(deployment(), None)), "the same plan has the same key in the bucket"
    with ZipFile(io.BytesIO(data)) as archive:
        archive.extractall(tmp_path)
    code = "import functions, sys; print(functions._plan()['name'], functions.start.__name__, 'binsight' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=tmp_path, env={}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["bins", "start", "False"]


def test_a_promotion_over_another_champion_than_was_compared_is_refused(
    cloud: Cloud, planned: dict[str, Any]
) -> None:
    brought(deployment(), cloud)
    before = state(cloud)
    with pytest.raises(functions.Refused, match="was compared with s3://elsewhere"):
        functions.promote(
            {"model_data": "s3://new/m.tar.gz", "champion": "s3://elsewhere"}, client=cloud.client("sagemaker")
        )
    assert state(cloud) == before


def test_a_new_dataset_starts_the_pipeline_and_says_what_it_is_compared_with(
    cloud: Cloud, planned: dict[str, Any]
) -> None:
    """The very event that S3 hands to EventBridge, caught behind the rule."""
    brought(deployment(), cloud)
    events, sqs, s3 = cloud.client("events"), cloud.client("sqs"), cloud.client("s3")
    queue = sqs.create_queue(QueueName="caught")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.remove_targets(Rule="bins-new-dataset", Ids=["start"])  # moto would need Docker for it
    events.put_targets(Rule="bins-new-dataset", Targets=[{"Id": "caught", "Arn": arn}])
    for key in ("binsight/datasets/one/manifest.parquet", "binsight/promotion/p/dataset.json"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    s3.put_object(Bucket=BUCKET, Key="binsight/datasets/one/dataset.json", Body=b"{}")
    caught = [
        json.loads(one["Body"]) for one in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    ]
    keys = [event["detail"]["object"]["key"] for event in caught]
    assert keys == ["binsight/promotion/p/dataset.json", "binsight/datasets/one/dataset.json"]
    sagemaker = cloud.client("sagemaker")
    assert functions.start(caught[0], client=sagemaker) == {"ignored": f"s3://{BUCKET}/{keys[0]}"}
    started = functions.start(caught[1], client=sagemaker)
    assert started["dataset"] == f"s3://{BUCKET}/binsight/datasets/one"
    assert started["champion"] == make_plan(deployment()).first
    given = sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=started["execution"])
    assert {one["Name"]: one["Value"] for one in given["PipelineParameters"]} == {
        "Dataset": started["dataset"],
        "Champion": started["champion"],
    }
