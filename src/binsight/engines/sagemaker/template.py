"""The same plan as a CloudFormation template, for those whose accounts are changed by templates alone.

Properties have the names that the calls' arguments have, so little is said twice. What a template cannot do is left to
`binsight deploy upload` (the objects) and to the bucket's owner (that it tells EventBridge).
"""

import re
from collections.abc import Mapping
from typing import Any

from binsight.engines.sagemaker.calls import Piece
from binsight.engines.sagemaker.plan import Plan


def template(plan: Plan) -> dict[str, Any]:
    """The template: each piece that can be one as a resource, made in the plan's order."""
    d = plan.deployment
    resources: dict[str, Any] = {}
    for piece in plan.pieces:
        if piece.resource is None:
            continue
        kind, properties = piece.resource
        before = [name for name, made in resources.items() if _needs(kind, made["Type"])]
        resource: dict[str, Any] = {"Type": kind, "Properties": dict(properties)}
        if before:
            resource["DependsOn"] = before
        resources[logical_name(piece)] = resource
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"Binsight {d.name}: counts items in photos of bins. First: binsight deploy upload",
        "Resources": resources,
        "Outputs": {"Endpoint": {"Value": d.name}, "ModelData": {"Value": plan.model_data}},
    }


def logical_name(piece: Piece) -> str:
    """`FunctionBinsStart`; of things whose names end in their content's digest the kind alone."""
    words = piece.kind if piece.kind in ("model", "endpoint configuration", "scalable target") else piece.title
    if piece.kind == "model" and "-shadow-" in piece.name:
        words = "shadow model"
    return "".join(word.capitalize() for word in re.findall(r"[A-Za-z0-9]+", words.replace("'", "")))


_AFTER: Mapping[str, tuple[str, ...]] = {
    "AWS::SageMaker::Model": ("AWS::IAM::Role",),
    "AWS::SageMaker::EndpointConfig": ("AWS::SageMaker::Model",),
    "AWS::SageMaker::Endpoint": ("AWS::SageMaker::EndpointConfig", "AWS::CloudWatch::Alarm"),
    "AWS::ApplicationAutoScaling::ScalableTarget": ("AWS::SageMaker::Endpoint",),
    "AWS::ApplicationAutoScaling::ScalingPolicy": ("AWS::ApplicationAutoScaling::ScalableTarget",),
    "AWS::Lambda::Function": ("AWS::IAM::Role",),
    "AWS::Lambda::Url": ("AWS::Lambda::Function",),
    "AWS::Lambda::Permission": ("AWS::Lambda::Function", "AWS::Events::Rule"),
    "AWS::Events::Rule": ("AWS::Lambda::Function",),
    "AWS::SageMaker::Pipeline": ("AWS::IAM::Role", "AWS::SageMaker::ModelPackageGroup", "AWS::Lambda::Function"),
}
"""Names are names here, not references, so that CloudFormation has to be told what comes first."""


def _needs(kind: str, other: str) -> bool:
    return other in _AFTER.get(kind, ())
