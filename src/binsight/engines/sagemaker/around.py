"""What stands around the endpoint: the function in front of it, and those that start and end a retraining."""

import json
from base64 import b64encode
from hashlib import sha256
from typing import Any

from binsight.engines.sagemaker.archives import code_key, front_zip, functions_zip, object_piece
from binsight.engines.sagemaker.calls import Call, Piece, Ready, tags
from binsight.engines.sagemaker.deployment import Deployment
from binsight.engines.sagemaker.policies import Word

RUNTIME = "python3.12"
_READY = Ready(
    status=("Configuration.State", "Configuration.LastUpdateStatus"),
    busy=("Pending", "InProgress"),
    broken=("Failed",),
    reason="Configuration.StateReason",
)


def front_pieces(d: Deployment) -> list[Piece]:
    """The Lambda function that programs ask, and its address where one is wanted."""
    if d.front is None:
        return []
    data, name = front_zip(), f"{d.name}-front"
    code = code_key(d, "front", data), data
    variables = {"BINSIGHT_ENDPOINT": d.name} | (
        {"BINSIGHT_SHAPE": "original"} if d.front.shape == "original" else {}
    )
    handler = "binsight.lambda_front.handler"
    pieces = [
        object_piece(d, *code),
        _function(d, name, code, handler=handler, role="front", seconds=29, **variables),
    ]
    if d.front.url:
        pieces.append(_url(name))
    return pieces


def retraining_pieces(d: Deployment, plan: dict[str, Any]) -> list[Piece]:
    """The functions `start` and `promote`, and the rule that has a new dataset start the pipeline."""
    if d.training is None:
        return []
    data = functions_zip(plan)
    code = code_key(d, "functions", data), data
    made = [
        _function(d, f"{d.name}-{word}", code, handler=f"functions.{word}", role="functions", seconds=60)
        for word in ("promote", "start")
    ]
    return [object_piece(d, *code), *made, _told(d), *_rule(d)]


def _function(
    d: Deployment, name: str, code: tuple[str, bytes], *, handler: str, role: Word, seconds: int, **variables: str
) -> Piece:
    """A function whose code lies in the bucket under this key."""
    named = {"FunctionName": name}
    place = {"S3Bucket": d.bucket, "S3Key": code[0]}
    variables = {"BINSIGHT_DEPLOYMENT": d.name, **variables}
    settings: dict[str, Any] = {
        "Role": d.role(role),
        "Handler": handler,
        "Runtime": RUNTIME,
        "Timeout": seconds,
        "MemorySize": 256,
        "Environment": {"Variables": variables},
    }
    all_tags = tags(d.name, d.tags)
    by_name = {"Tags": {tag["Key"]: tag["Value"] for tag in all_tags}}
    checksum = b64encode(sha256(code[1]).digest()).decode()
    return Piece(
        kind="function",
        name=name,
        see=Call(service="lambda", operation="GetFunction", arguments=named),
        make=(
            Call(
                service="lambda", operation="CreateFunction", arguments=named | settings | {"Code": place} | by_name
            ),
        ),
        change=(  # one after the other: the second is refused while the first goes on
            Call(service="lambda", operation="UpdateFunctionCode", arguments=named | place),
            Call(service="lambda", operation="UpdateFunctionConfiguration", arguments=named | settings),
        ),
        remove=(Call(service="lambda", operation="DeleteFunction", arguments=named),),
        same={"Configuration.CodeSha256": checksum}
        | {f"Configuration.{name}": value for name, value in settings.items()},
        ready=_READY,
        resource=("AWS::Lambda::Function", named | settings | {"Code": place, "Tags": all_tags}),
    )


def _url(name: str) -> Piece:
    named = {"FunctionName": name}
    return Piece(
        kind="address of function",
        name=name,
        see=Call(service="lambda", operation="GetFunctionUrlConfig", arguments=named),
        make=(
            Call(service="lambda", operation="CreateFunctionUrlConfig", arguments=named | {"AuthType": "AWS_IAM"}),
        ),
        remove=(Call(service="lambda", operation="DeleteFunctionUrlConfig", arguments=named),),
        resource=("AWS::Lambda::Url", {"TargetFunctionArn": name, "AuthType": "AWS_IAM"}),
    )


def event_pattern(d: Deployment) -> dict[str, Any]:
    """A dataset that is whole: its `dataset.json` is written last. Of those that are none of ours `start` does nothing."""
    return {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {
            "bucket": {"name": [d.bucket]},
            "object": {"key": [{"suffix": "/dataset.json"}]},
        },
    }


def _told(d: Deployment) -> Piece:
    """The bucket tells EventBridge. One call sets all that a bucket tells: what is there already stays beside it."""
    place = {"Bucket": d.bucket}
    wanted: dict[str, Any] = place | {"NotificationConfiguration": {"EventBridgeConfiguration": {}}}
    return Piece(
        kind="notifications of bucket",
        name=d.bucket,
        see=Call(service="s3", operation="GetBucketNotificationConfiguration", arguments=place),
        change=(Call(service="s3", operation="PutBucketNotificationConfiguration", arguments=wanted),),
        same={"EventBridgeConfiguration": {}},
        beside="NotificationConfiguration",
        stays="stays: other rules may need that the bucket tells EventBridge",
    )


def _rule(d: Deployment) -> list[Piece]:
    name, function = f"{d.name}-new-dataset", f"{d.name}-start"
    arn = d.arn("lambda", f"function:{function}")
    target = {
        "Id": "start",
        "Arn": arn,
        "RetryPolicy": {"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 3600},
    }
    allowed = {
        "FunctionName": function,
        "Action": "lambda:InvokeFunction",
        "Principal": "events.amazonaws.com",
        "SourceArn": d.arn("events", f"rule/{name}"),
    }
    rule = {
        "Name": name,
        "State": "ENABLED",
        "Description": f"A new dataset of {d.name} begins a retraining.",
    }
    pattern = event_pattern(d)
    return [
        Piece(
            kind="rule",
            name=name,
            see=Call(service="events", operation="DescribeRule", arguments={"Name": name}),
            make=(
                Call(
                    service="events",
                    operation="PutRule",
                    arguments={
                        **rule,
                        "EventPattern": json.dumps(pattern),
                        "Tags": tags(d.name, d.tags),
                    },
                ),
                Call(service="events", operation="PutTargets", arguments={"Rule": name, "Targets": [target]}),
            ),
            change=(  # tags are refused where there is a rule already
                Call(
                    service="events",
                    operation="PutRule",
                    arguments={**rule, "EventPattern": json.dumps(pattern)},
                ),
                Call(service="events", operation="PutTargets", arguments={"Rule": name, "Targets": [target]}),
            ),
            remove=(
                Call(service="events", operation="RemoveTargets", arguments={"Rule": name, "Ids": ["start"]}),
                Call(service="events", operation="DeleteRule", arguments={"Name": name}),
            ),
            resource=(
                "AWS::Events::Rule",
                {**rule, "EventPattern": pattern, "Targets": [target]},
            ),
        ),
        Piece(
            kind="permission of rule",
            name=name,
            see=Call(service="lambda", operation="GetPolicy", arguments={"FunctionName": function}),
            make=(
                Call(
                    service="lambda",
                    operation="AddPermission",
                    arguments=allowed | {"StatementId": "new-dataset"},
                ),
            ),
            stays="goes with its function",
            resource=("AWS::Lambda::Permission", allowed),
        ),
    ]
