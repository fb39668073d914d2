"""How each refusal of AWS's reads while deploying and destroying, and that the same command mends what it left."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.aws_support import ACCOUNT, BUCKET, NOW, REGION, Cloud, brought, deployment, running_cloud, state
from tests.fault_server import running_fault_server

from binsight.engines.sagemaker.apply import deploy
from binsight.engines.sagemaker.aws import Aws, RoleTooNew, explained
from binsight.engines.sagemaker.calls import Call
from binsight.engines.sagemaker.destroy import destroy
from binsight.errors import (
    AccessRefused,
    BadInput,
    BinsightError,
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
    "HeadObject": "s3:GetObject, or, if there is no such object, s3:ListBucket on the bucket",
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


ALSO_503 = ("PutObject", "CreateEndpoint", "CreatePipeline")


def test_each_missing_permission_is_named_and_503_told_and_what_was_done_is_gone_on_from(cloud: Cloud) -> None:
    """One after the other is given; each try comes further, until the same command is whole."""
    d = deployment()
    brought(d, cloud)
    whole = state(cloud)
    cloud.reset()
    for operation, permission in REFUSED.items():
        with pytest.raises(AccessRefused, match=f"you lack the permission {permission}; have it given"):
            deploy(d, Refusing(operation, cloud.aws(), "AccessDenied"), pace=NOW)
        if operation in ALSO_503:
            with pytest.raises(StorageFailure, match=r"answered 503, .* try again later: what is done stays done"):
                deploy(d, Refusing(operation, cloud.aws(), "503"), pace=NOW)
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
