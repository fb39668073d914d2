"""What answers: model, endpoint's configuration, alarms, endpoint."""

import json
from typing import Any

from binsight.engines.sagemaker.calls import Call, Piece, Ready, tags
from binsight.engines.sagemaker.deployment import Deployment
from binsight.engines.sagemaker.functions import named
from binsight.engines.sagemaker.scaling import scaling_pieces

ENDPOINT_READY = Ready(
    status=("EndpointStatus",),
    busy=("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"),
    broken=("Failed",),
)
BUNDLE_TAG = "binsight:bundle"
"""On the endpoint: the address of the bundle that deploy.toml named when it was last deployed."""


def promotion_plan(d: Deployment, shadow_data: str | None) -> dict[str, Any]:
    """What every model of this endpoint is made with: the plan of `functions.promote`, and of the first deployment."""
    return {
        "name": d.name,
        "bucket": d.bucket,
        "prefix": d.prefix,
        "pipeline": d.name,
        "model": {
            "PrimaryContainer": {"Image": d.image, "ModelDataUrl": "", "Environment": environment(d)},
            "ExecutionRoleArn": d.role("endpoint"),
            "Tags": tags(d.name, d.tags),
        },
        "config": _config(d, shadow_data),
        "update": _update(d),
    }


def shadow_model(d: Deployment, shadow_data: str) -> dict[str, Any]:
    """CreateModel of the shadow."""
    plan = promotion_plan(d, None)
    model, _ = named(plan | {"name": f"{d.name}-shadow"}, shadow_data)
    return model


def environment(d: Deployment) -> dict[str, str]:
    """The service's settings."""
    found = {"BINSIGHT_ACCESS": "open", "BINSIGHT_REGION": d.region}
    if d.endpoint.links:
        found["BINSIGHT_ALLOWED_LINKS"] = json.dumps([f"{link.rstrip('/')}/" for link in d.endpoint.links])
    return found | d.endpoint.environment


def endpoint_pieces(d: Deployment, first: str, model_data: str, shadow_data: str | None) -> list[Piece]:
    """In the order in which one needs the other. `first` is the address of the bundle that deploy.toml names."""
    plan = promotion_plan(d, shadow_data)
    model, config = named(plan, model_data)
    models = [model] if shadow_data is None else [model, shadow_model(d, shadow_data)]
    pieces = [_model(one) for one in models]
    pieces += [_configuration(config), *_alarms(d), _endpoint(d, config["EndpointConfigName"], plan["update"])]
    pieces.append(_bundle_tag(d, first))
    if d.scaling and d.endpoint.kind != "serverless":
        pieces += scaling_pieces(d)
    return pieces


def _model(arguments: dict[str, Any]) -> Piece:
    name = {"ModelName": arguments["ModelName"]}
    return Piece(
        kind="model",
        name=arguments["ModelName"],
        see=Call(service="sagemaker", operation="DescribeModel", arguments=name),
        make=(Call(service="sagemaker", operation="CreateModel", arguments=arguments),),
        remove=(Call(service="sagemaker", operation="DeleteModel", arguments=name),),
        resource=("AWS::SageMaker::Model", arguments),
    )


def _configuration(arguments: dict[str, Any]) -> Piece:
    name = {"EndpointConfigName": arguments["EndpointConfigName"]}
    return Piece(
        kind="endpoint configuration",
        name=arguments["EndpointConfigName"],
        see=Call(service="sagemaker", operation="DescribeEndpointConfig", arguments=name),
        make=(Call(service="sagemaker", operation="CreateEndpointConfig", arguments=arguments),),
        remove=(Call(service="sagemaker", operation="DeleteEndpointConfig", arguments=name),),
        resource=("AWS::SageMaker::EndpointConfig", arguments),
    )


def _endpoint(d: Deployment, config: str, update: dict[str, Any]) -> Piece:
    name = {"EndpointName": d.name}
    wanted = name | {"EndpointConfigName": config}
    guarded = {"DeploymentConfig": update["DeploymentConfig"]}
    all_tags = tags(d.name, d.tags)
    return Piece(
        kind="endpoint",
        name=d.name,
        see=Call(service="sagemaker", operation="DescribeEndpoint", arguments=name),
        make=(Call(service="sagemaker", operation="CreateEndpoint", arguments=wanted | {"Tags": all_tags}),),
        change=(Call(service="sagemaker", operation="UpdateEndpoint", arguments=wanted | update),),
        remove=(Call(service="sagemaker", operation="DeleteEndpoint", arguments=name),),
        same={"EndpointConfigName": config},
        ready=ENDPOINT_READY,
        resource=(
            "AWS::SageMaker::Endpoint",
            wanted | guarded | _retained_in_template(update) | {"Tags": all_tags},
        ),
    )


def _bundle_tag(d: Deployment, first: str) -> Piece:
    """Set once the endpoint answers: who deploys again sees whether deploy.toml names another bundle than then."""
    arguments = {
        "ResourceArn": d.arn("sagemaker", f"endpoint/{d.name}"),
        "Tags": [{"Key": BUNDLE_TAG, "Value": first}],
    }
    return Piece(
        kind="tag of endpoint",
        name=BUNDLE_TAG,
        change=(Call(service="sagemaker", operation="AddTags", arguments=arguments),),
        stays="goes with its endpoint",
    )


def _retained_in_template(update: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in update.items() if name != "DeploymentConfig"}


def _config(d: Deployment, shadow_data: str | None) -> dict[str, Any]:
    config: dict[str, Any] = {"ProductionVariants": [_variant(d, d.endpoint.variant)], "Tags": tags(d.name, d.tags)}
    if shadow_data is not None:
        assert d.shadow is not None
        shadow = _variant(d, f"{d.endpoint.variant}-shadow"[:63], d.shadow.instance_type)
        weighed = {
            "ModelName": shadow_model(d, shadow_data)["ModelName"],
            "InitialVariantWeight": d.shadow.percent / 100,
        }
        config["ShadowProductionVariants"] = [shadow | weighed]
    if d.endpoint.kind == "asynchronous":
        places = {"S3OutputPath": d.s3("asynchronous", "output"), "S3FailurePath": d.s3("asynchronous", "failed")}
        most = {"MaxConcurrentInvocationsPerInstance": d.endpoint.concurrent}
        config["AsyncInferenceConfig"] = {"OutputConfig": places, "ClientConfig": most}
    if d.capture.percent:
        config["DataCaptureConfig"] = {
            "EnableCapture": True,
            "InitialSamplingPercentage": d.capture.percent,
            "DestinationS3Uri": d.s3("captures"),
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
        }
    return config


def _variant(d: Deployment, name: str, instance_type: str | None = None) -> dict[str, Any]:
    variant: dict[str, Any] = {"VariantName": name, "ModelName": "", "InitialVariantWeight": 1}
    if d.endpoint.kind == "serverless":
        some = {"MemorySizeInMB": d.endpoint.memory_mb, "MaxConcurrency": d.endpoint.max_concurrency}
        return variant | {"ServerlessConfig": some}
    return variant | {
        "InstanceType": instance_type or d.endpoint.instance_type,
        "InitialInstanceCount": max(1, d.scaling.min) if d.scaling else 1,
        "ContainerStartupHealthCheckTimeoutInSeconds": 300,
        "RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"},
    }


def _update(d: Deployment) -> dict[str, Any]:
    """How an update goes: alarms decide, and what scaling did to the number of instances stays."""
    traffic: dict[str, Any] = {"Type": "CANARY", "WaitIntervalInSeconds": d.update.bake_s}
    traffic["CanarySize"] = {"Type": "CAPACITY_PERCENT", "Value": d.update.canary_percent}
    if d.endpoint.kind == "serverless":  # it has no instances of which a part could go first
        traffic = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": d.update.bake_s}
    found: dict[str, Any] = {
        "DeploymentConfig": {
            "BlueGreenUpdatePolicy": {
                "TrafficRoutingConfiguration": traffic,
                "TerminationWaitInSeconds": d.update.keep_old_s,
                "MaximumExecutionTimeoutInSeconds": d.update.most_s,
            },
            "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in alarm_names(d)]},
        }
    }
    if d.endpoint.kind != "serverless":
        found["RetainAllVariantProperties"] = True
        found["ExcludeRetainedVariantProperties"] = [{"VariantPropertyType": "DataCaptureConfig"}]
    return found


def alarm_names(d: Deployment) -> tuple[str, str]:
    """Of errors and of latency."""
    return f"{d.name}-errors", f"{d.name}-latency"


def _alarms(d: Deployment) -> list[Piece]:
    errors, latency = alarm_names(d)
    return [
        _alarm(
            d,
            errors,
            "Share of answers that are errors of the container (5xx).",
            {
                "MetricName": "Invocation5XXErrors",
                "Statistic": "Average",
                "Threshold": d.update.max_error_percent / 100,
                "EvaluationPeriods": 1,
            },
        ),
        _alarm(
            d,
            latency,
            "What the slowest hundredth of the answers takes in the container, in microseconds.",
            {
                "MetricName": "ModelLatency",
                "ExtendedStatistic": "p99",
                "Threshold": d.update.max_latency_ms * 1000,
                "EvaluationPeriods": 2,
            },
        ),
    ]


def _alarm(d: Deployment, name: str, about: str, rule: dict[str, Any]) -> Piece:
    arguments = {
        "AlarmName": name,
        "AlarmDescription": about,
        "Namespace": "AWS/SageMaker",
        "Dimensions": [
            {"Name": "EndpointName", "Value": d.name},
            {"Name": "VariantName", "Value": d.endpoint.variant},
        ],
        "Period": 60,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
        "Tags": tags(d.name, d.tags),
        **rule,
    }
    return Piece(
        kind="alarm",
        name=name,
        change=(Call(service="cloudwatch", operation="PutMetricAlarm", arguments=arguments),),
        remove=(Call(service="cloudwatch", operation="DeleteAlarms", arguments={"AlarmNames": [name]}),),
        resource=("AWS::CloudWatch::Alarm", arguments),
    )
