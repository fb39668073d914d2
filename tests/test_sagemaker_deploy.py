"""Deploying and destroying over moto's server with unmodified boto3: what is there afterwards, cut off anywhere, and how
each refusal of AWS's reads."""

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
from tests.aws_support import ACCOUNT, BUCKET, NOW, REGION, Cloud, deployment, running_cloud
from tests.bundle_support import changed_bundle
from tests.fault_server import running_fault_server

from binsight.engines.sagemaker import functions
from binsight.engines.sagemaker.apply import begin, deploy
from binsight.engines.sagemaker.archives import functions_zip
from binsight.engines.sagemaker.aws import Aws, RoleTooNew, explained
from binsight.engines.sagemaker.calls import TAG, Call
from binsight.engines.sagemaker.deployment import Deployment
from binsight.engines.sagemaker.destroy import destroy
from binsight.engines.sagemaker.endpoint import promotion_plan
from binsight.engines.sagemaker.plan import make_plan
from binsight.engines.sagemaker.transform import transform_job
from binsight.errors import (
    AccessRefused,
    BadInput,
    BinsightError,
    GateFailed,
    MissingObject,
    MissingStore,
    StorageFailure,
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


def brought(d: Deployment, cloud: Cloud) -> dict[str, str]:
    """What became of each piece."""
    told: dict[str, str] = {}
    deploy(d, cloud.aws(), tell=lambda piece, word: told.__setitem__(piece.title, word), pace=NOW)
    return told


def state(cloud: Cloud) -> dict[str, Any]:
    """What is there, by name, of all that a deployment makes; without moments and numbers that AWS draws."""
    sagemaker, scaling = cloud.client("sagemaker"), cloud.client("application-autoscaling")
    endpoints = [cloud.endpoint] if sagemaker.list_endpoints()["Endpoints"] else []
    return {
        "roles": sorted(one["RoleName"] for one in cloud.client("iam").list_roles()["Roles"]),
        "models": sorted(one["ModelName"] for one in sagemaker.list_models()["Models"]),
        "configs": sorted(
            one["EndpointConfigName"] for one in sagemaker.list_endpoint_configs()["EndpointConfigs"]
        ),
        "endpoints": [(one["EndpointName"], one["EndpointConfigName"], one["EndpointStatus"]) for one in endpoints],
        "policies": sorted(
            one["PolicyName"]
            for one in scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
        ),
        "alarms": sorted(one["AlarmName"] for one in cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]),
        "functions": sorted(one["FunctionName"] for one in cloud.client("lambda").list_functions()["Functions"]),
        "pipelines": sorted(one["PipelineName"] for one in sagemaker.list_pipelines()["PipelineSummaries"]),
        "rules": sorted(one["Name"] for one in cloud.client("events").list_rules()["Rules"]),
        "objects": sorted(
            one["Key"] for one in cloud.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])
        ),
    }


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
    assert begin(call, cloud.aws()) == "begun"


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


def refusal(code: str, said: str = "", *, operation: str = "CreateModel", status: int = 400) -> BinsightError:
    service = "s3" if operation == "HeadBucket" else "sagemaker"
    arguments = {"Bucket": BUCKET} if operation == "HeadBucket" else {}
    response = {"Error": {"Code": code, "Message": said}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return explained(response, Call(service=service, operation=operation, arguments=arguments))


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (
            refusal(
                "AccessDeniedException",
                "User: arn:aws:iam::1:user/ann is not authorized to perform: sagemaker:CreateModel on resource: x",
            ),
            AccessRefused,
            "you lack the permission sagemaker:CreateModel; have it given",
        ),
        (
            refusal("404", operation="HeadBucket"),
            MissingStore,
            "the bucket warehouse is not there; check bucket and region",
        ),
        (refusal("403", operation="HeadBucket"), AccessRefused, "you lack the permission s3:ListBucket"),
        (
            refusal("SlowDown", status=503),
            StorageFailure,
            "answered SlowDown, also when asked again; try again later",
        ),
        (refusal("", status=503), StorageFailure, "answered 503, also when asked again"),
        (refusal("ExpiredToken"), StorageFailure, "refused the credentials (ExpiredToken); sign in again"),
        (refusal("ValidationException", "Could not assume role arn:x"), RoleTooNew, "see that the role trusts"),
        (
            refusal("ResourceLimitExceeded", "0 of ml.c7i.xlarge"),
            BadInput,
            "0 of ml.c7i.xlarge); change deploy.toml or the",
        ),
    ],
)
def test_each_refusal_says_what_to_do(error: BinsightError, kind: type[BinsightError], sentence: str) -> None:
    assert type(error) is kind and sentence in str(error)


class Refusing(Aws):
    """Refuses one operation, as AWS does where a permission is missing, or answers it with 503."""

    def __init__(self, operation: str, aws: Aws, code: str) -> None:
        super().__init__(REGION)
        self._clients = aws._clients
        self.operation, self.code = operation, code

    def ask(self, call: Call) -> Any:
        if call.operation == self.operation:
            status = 503 if self.code == "503" else 403
            fault = {"Error": {"Code": self.code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}}
            raise explained(fault, call)
        return super().ask(call)


REFUSED = {
    "HeadBucket": "s3:ListBucket",
    "CreateRole": "iam:CreateRole",
    "PutRolePolicy": "iam:PutRolePolicy",
    "HeadObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
    "CreateModel": "sagemaker:CreateModel",
    "CreateEndpointConfig": "sagemaker:CreateEndpointConfig",
    "PutMetricAlarm": "cloudwatch:PutMetricAlarm",
    "CreateEndpoint": "sagemaker:CreateEndpoint",
    "PutScalingPolicy": "application-autoscaling:PutScalingPolicy",
    "CreateFunction": "lambda:CreateFunction",
    "PutBucketNotificationConfiguration": "s3:PutBucketNotification",
    "PutTargets": "events:PutTargets",
    "CreatePipeline": "sagemaker:CreatePipeline",
}


def test_each_missing_permission_is_named_and_503_told_and_what_was_done_is_gone_on_from(cloud: Cloud) -> None:
    """One after the other is given; each try comes further, until the same command is whole."""
    d = deployment()
    brought(d, cloud)
    whole = state(cloud)
    cloud.reset()
    for operation, permission in REFUSED.items():
        for code, error, said in (
            ("AccessDenied", AccessRefused, f"you lack the permission {permission}; have it given"),
            (
                "503",
                StorageFailure,
                "answered 503, also when asked again; try again later: what is done stays done",
            ),
        ):
            with pytest.raises(error) as caught:
                deploy(d, Refusing(operation, cloud.aws(), code), pace=NOW)
            assert said in str(caught.value), operation
    brought(d, cloud)
    assert state(cloud) == whole


@pytest.mark.parametrize(
    "operation", ["DescribeEndpoint", "DeleteEndpoint", "DeleteRolePolicy", "ListTags", "ListModels"]
)
def test_a_destruction_that_is_refused_is_told_and_gone_on_with(cloud: Cloud, operation: str) -> None:
    brought(deployment(), cloud)
    with pytest.raises(AccessRefused, match=f"you lack the permission (sagemaker|iam):{operation}; have it given"):
        destroy(deployment(), Refusing(operation, cloud.aws(), "AccessDenied"), tell=lambda *_: None, pace=NOW)
    destroy(deployment(), cloud.aws(), tell=lambda *_: None, pace=NOW)
    left = state(cloud)
    assert not any(
        left[kind] for kind in ("roles", "models", "endpoints", "functions", "pipelines", "rules", "alarms")
    )


def test_a_bucket_that_is_gone_stops_before_anything_is_made(cloud: Cloud) -> None:
    with pytest.raises(MissingStore, match="the bucket gone is not there"):
        brought(deployment(bucket="gone", endpoint={"links": []}), cloud)
    assert not state(cloud)["roles"]


def test_a_given_role_that_is_gone_stops_before_anything_is_made(cloud: Cloud) -> None:
    roles = {"endpoint": f"arn:aws:iam::{ACCOUNT}:role/gone"}
    with pytest.raises(MissingObject, match="the role gone is not there; make it, or name another"):
        brought(deployment(roles=roles), cloud)
    assert not state(cloud)["objects"]


def test_another_account_is_refused_before_anything_is_made(cloud: Cloud) -> None:
    with pytest.raises(BadInput, match=f"about the account 210987654321, but you are signed in to {ACCOUNT}"):
        brought(deployment(account="210987654321"), cloud)
    assert not state(cloud)["roles"]


def test_s3_that_answers_503_is_asked_again_and_then_told(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3's own tries, against a server that never recovers."""
    with running_fault_server(cloud.url, ["unavailable"]) as faulty:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", faulty.endpoint_url)
        call = Call(service="s3", operation="GetBucketNotificationConfiguration", arguments={"Bucket": BUCKET})
        with pytest.raises(StorageFailure, match="answered 503, also when asked again"):
            Aws(REGION).ask(call)
        assert faulty.num_requests > 1


def test_a_role_that_was_made_a_moment_ago_is_waited_for(cloud: Cloud) -> None:
    """IAM tells the other services of a new role when it gets to it."""

    class NewRole(Aws):
        refusals = 3

        def ask(self, call: Call) -> Any:
            if call.operation == "CreateFunction" and self.refusals:
                self.refusals -= 1
                raise refusal(
                    "InvalidParameterValueException", "The role defined for the function cannot be assumed"
                )
            return super().ask(call)

    aws = NewRole(REGION)
    deploy(deployment(), aws, pace=NOW)
    assert aws.refusals == 0 and state(cloud)["functions"]
