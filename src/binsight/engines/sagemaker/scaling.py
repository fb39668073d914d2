"""How many instances answer: the endpoint's scalable target, and the policy that moves it.

Both hang on the variant's name.
"""

from typing import Any

from binsight.engines.sagemaker.calls import Call, Piece
from binsight.engines.sagemaker.deployment import Deployment

DIMENSION = "sagemaker:variant:DesiredInstanceCount"
ORIGINAL_CPU, ORIGINAL_COOLDOWN_S = 70, 30
"""What the original system scaled by. The figure sums over an instance's cores: 70 of 400 on four of them."""


def scaling_pieces(d: Deployment) -> list[Piece]:
    """What of scaling AWS keeps."""
    return [_target(d), _policy(d)]


def _scaled(d: Deployment) -> dict[str, str]:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{d.name}/variant/{d.endpoint.variant}",
        "ScalableDimension": DIMENSION,
    }


def _target(d: Deployment) -> Piece:
    assert d.scaling is not None
    bounds = {"MinCapacity": d.scaling.min, "MaxCapacity": d.scaling.max}
    listed = {"ServiceNamespace": "sagemaker", "ResourceIds": [_scaled(d)["ResourceId"]]}
    return Piece(
        kind="scalable target",
        name=_scaled(d)["ResourceId"],
        see=Call(service="application-autoscaling", operation="DescribeScalableTargets", arguments=listed),
        listed="ScalableTargets",
        change=(
            Call(
                service="application-autoscaling", operation="RegisterScalableTarget", arguments=_scaled(d) | bounds
            ),
        ),
        remove=(
            Call(service="application-autoscaling", operation="DeregisterScalableTarget", arguments=_scaled(d)),
        ),
        resource=("AWS::ApplicationAutoScaling::ScalableTarget", _scaled(d) | bounds),
    )


def _policy(d: Deployment) -> Piece:
    named = _scaled(d) | {"PolicyName": f"{d.name}-scaling"}
    arguments: dict[str, Any] = named | {
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": target_tracking(d),
    }
    return Piece(
        kind="scaling policy",
        name=f"{d.name}-scaling",
        see=Call(
            service="application-autoscaling",
            operation="DescribeScalingPolicies",
            arguments={"ServiceNamespace": "sagemaker", "PolicyNames": [named["PolicyName"]]},
        ),
        listed="ScalingPolicies",
        change=(Call(service="application-autoscaling", operation="PutScalingPolicy", arguments=arguments),),
        remove=(Call(service="application-autoscaling", operation="DeleteScalingPolicy", arguments=named),),
        resource=("AWS::ApplicationAutoScaling::ScalingPolicy", arguments),
    )


def target_tracking(d: Deployment) -> dict[str, Any]:
    """What the number of instances follows."""
    assert d.scaling is not None
    cooldowns = {"ScaleInCooldown": d.scaling.scale_in_s, "ScaleOutCooldown": d.scaling.scale_out_s}
    if d.endpoint.kind == "asynchronous":
        backlog = _metric("ApproximateBacklogSizePerInstance", "AWS/SageMaker", {"EndpointName": d.name}, None)
        return {"TargetValue": float(d.endpoint.concurrent), "CustomizedMetricSpecification": backlog} | cooldowns
    if d.scaling.policy == "original-cpu-70":
        variant = {"EndpointName": d.name, "VariantName": d.endpoint.variant}
        cpu = _metric("CPUUtilization", "/aws/sagemaker/Endpoints", variant, "Percent")
        original = {"ScaleInCooldown": ORIGINAL_COOLDOWN_S, "ScaleOutCooldown": ORIGINAL_COOLDOWN_S}
        return {"TargetValue": float(ORIGINAL_CPU), "CustomizedMetricSpecification": cpu} | original
    if d.scaling.policy == "concurrency":
        kind, value = "SageMakerVariantConcurrentRequestsPerModelHighResolution", d.scaling.concurrency
    else:
        assert d.scaling.max_rps is not None
        # AWS's formula: a minute's requests at half of what an instance was seen to bear.
        kind, value = "SageMakerVariantInvocationsPerInstance", round(d.scaling.max_rps * 0.5 * 60, 3)
    return {"TargetValue": value, "PredefinedMetricSpecification": {"PredefinedMetricType": kind}} | cooldowns


def _metric(name: str, namespace: str, dimensions: dict[str, str], unit: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "MetricName": name,
        "Namespace": namespace,
        "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
        "Statistic": "Average",
    }
    return found if unit is None else found | {"Unit": unit}
