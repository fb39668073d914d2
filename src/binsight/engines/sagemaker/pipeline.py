"""A retraining as a SageMaker pipeline, compiled from the same list of steps that runs on one machine.

```
Train ─▶ Evaluate ─▶ Register ─▶ Promote? ─▶ UpdateEndpoint      (the function `promote`)
                                     └─────▶ NotPromoted         (the reason)
```
The list (`binsight.lifecycle.steps`) says which artifacts each step needs and makes. Here stands only where each step is
done, and where in the bucket what a pipeline begins with lies.
"""

import json
from collections.abc import Mapping
from typing import Any

from binsight.engines.contract import (
    CHALLENGER,
    EVALUATE,
    EVALUATION,
    EVALUATION_FILE,
    JSON_DECISION,
    JSON_REASON,
    LEARNED,
    LOOKS,
)
from binsight.engines.sagemaker.calls import Call, Piece, tags
from binsight.engines.sagemaker.deployment import Deployment
from binsight.engines.sagemaker.jobs import training_arguments
from binsight.engines.sagemaker.pipeline_settings import NAMES, NOT_SAID, hyperparameters
from binsight.lifecycle.steps import OPTIONAL, STEPS, Step

VERSION = "2020-12-01"
HERE, TRAIN, EVALUATED, PROMOTE = "here", "Train", "Evaluate", "Promote"

PLACES: Mapping[str, str] = {
    "gather": HERE,
    "prepare": HERE,
    "train": TRAIN,
    "evaluate": TRAIN,
    "export": TRAIN,
    "compare": EVALUATED,
    "conclude": PROMOTE,
}
"""Where each step of a retraining is done. What takes the ledger is done where the ledger is, before the pipeline."""

PARAMETERS: Mapping[str, str] = {
    "dataset": "Dataset",
    "promotion": "Promotion",
    "recipe": "Recipe",
    "parent": "Parent",
    "champion": "Champion",
}
"""Which parameter says where in S3 an artifact lies that the pipeline begins with."""

NO_PARENT = ("parents", "none")
"""Where in the bucket lies what stands for no parent: a channel must hold something."""

PROPERTY_FILE = "Decision"


def begun_with(place: str, steps: tuple[Step, ...] = STEPS) -> tuple[str, ...]:
    """The artifacts that the steps of a place need and do not make themselves, in their order."""
    here = [step for step in steps if PLACES[step.name] == place]
    made = {step.makes for step in here}
    return tuple(dict.fromkeys(need for step in here for need in step.needs if need not in made))


def set_by(place: str, steps: tuple[Step, ...] = STEPS) -> tuple[str, ...]:
    """The settings that the steps of a place depend on, in their order."""
    return tuple(dict.fromkeys(name for step in steps if PLACES[step.name] == place for name in step.parameters))


def definition(d: Deployment, *, recipe: str, champion: str) -> dict[str, Any]:
    """The pipeline, with the recipe's and the champion's addresses for those who do not name others."""
    assert d.training is not None
    defaults = {
        "Dataset": d.s3("datasets", "current"),
        "Promotion": d.s3("promotion", d.training.promotion),
        "Recipe": recipe,
        "Parent": d.s3(*NO_PARENT),
        "Champion": champion,
    }
    return {
        "Version": VERSION,
        "Metadata": {},
        "Parameters": [
            {"Name": name, "Type": "String", "DefaultValue": value}
            for name, value in (defaults | dict.fromkeys(NAMES, NOT_SAID)).items()
        ],
        "Steps": [_train(d), _evaluate(d), _register(d), _promote(d)],
    }


def pipeline_pieces(d: Deployment, *, recipe: str, champion: str) -> list[Piece]:
    """The group of the model packages, and the pipeline."""
    if d.training is None:
        return []
    body = json.dumps(definition(d, recipe=recipe, champion=champion), indent=1)
    named = {"PipelineName": d.name}
    wanted = named | {"PipelineDefinition": body, "RoleArn": d.role("training")}
    group = {"ModelPackageGroupName": d.name}
    about = {"ModelPackageGroupDescription": f"Models that the pipeline {d.name} trained."}
    all_tags = {"Tags": tags(d.name, d.tags)}
    create = {"ClientRequestToken": f"binsight-{d.name}".ljust(32, "-")}
    return [
        Piece(
            kind="model package group",
            name=d.name,
            see=Call(service="sagemaker", operation="DescribeModelPackageGroup", arguments=group),
            make=(
                Call(
                    service="sagemaker",
                    operation="CreateModelPackageGroup",
                    arguments=group | about | all_tags,
                ),
            ),
            stays="stays: its model packages say what was in use and why",
            resource=("AWS::SageMaker::ModelPackageGroup", group | about | all_tags),
        ),
        Piece(
            kind="pipeline",
            name=d.name,
            see=Call(service="sagemaker", operation="DescribePipeline", arguments=named),
            make=(Call(service="sagemaker", operation="CreatePipeline", arguments=wanted | all_tags | create),),
            change=(Call(service="sagemaker", operation="UpdatePipeline", arguments=wanted),),
            same={"PipelineDefinition": body, "RoleArn": wanted["RoleArn"]},
            remove=(
                Call(
                    service="sagemaker",
                    operation="DeletePipeline",
                    arguments=named | {"ClientRequestToken": f"delete-{d.name}".ljust(32, "-")},
                ),
            ),
            resource=(
                "AWS::SageMaker::Pipeline",
                named
                | {"PipelineDefinition": {"PipelineDefinitionBody": body}, "RoleArn": wanted["RoleArn"]}
                | all_tags,
            ),
        ),
    ]


def _addresses(place: str) -> dict[str, Any]:
    """What a place begins with, by artifact. Optional ones that no parameter and no step gives are left out."""
    made = {CHALLENGER: {"Get": f"Steps.{TRAIN}.ModelArtifacts.S3ModelArtifacts"}}
    given = {artifact: {"Get": f"Parameters.{name}"} for artifact, name in PARAMETERS.items()}
    known = given | made
    needs = begun_with(place)
    assert all(need in known or need in OPTIONAL for need in needs), f"{place} needs {needs}"
    return {need: known[need] for need in needs if need in known}


def _train(d: Deployment) -> dict[str, Any]:
    arguments = training_arguments(
        d,
        _addresses(TRAIN),
        output=d.s3("runs"),
        checkpoints=_joined("/", d.s3("runs", "checkpoints"), {"Get": "Execution.PipelineExecutionId"}),
        hyperparameters=hyperparameters(set_by(TRAIN)),
    )
    return {"Name": TRAIN, "Type": "Training", "Arguments": arguments}


def _evaluate(d: Deployment) -> dict[str, Any]:
    assert d.training is not None
    base = "/opt/ml/processing"
    # The photos that first weights have seen count as training photos, too.
    learned = {LEARNED: _joined("/", {"Get": "Parameters.Parent"}, LEARNED)}
    addresses = _addresses(EVALUATED) | learned
    inputs = [_input(name, address, f"{base}/input/{name}") for name, address in addresses.items()]
    output = {
        "OutputName": EVALUATION,
        "S3Output": {
            "S3Uri": _joined("/", d.s3("runs", "evaluations"), {"Get": "Execution.PipelineExecutionId"}),
            "LocalPath": f"{base}/output/{EVALUATION}",
            "S3UploadMode": "EndOfJob",
        },
    }
    return {
        "Name": EVALUATED,
        "Type": "Processing",
        "Arguments": {
            "AppSpecification": {
                "ImageUri": d.training.image,
                "ContainerEntrypoint": ["python", "-m", "binsight.engines.container", EVALUATE],
            },
            "Environment": {LOOKS: d.s3("looks"), "BINSIGHT_REGION": d.region},
            "RoleArn": d.role("training"),
            "ProcessingInputs": inputs,
            "ProcessingOutputConfig": {"Outputs": [output]},
            "ProcessingResources": {
                "ClusterConfig": {
                    "InstanceCount": 1,
                    "InstanceType": d.training.evaluation_instance_type,
                    "VolumeSizeInGB": d.training.volume_gb,
                }
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 6 * 3600},
        },
        "PropertyFiles": [
            {"PropertyFileName": PROPERTY_FILE, "OutputName": EVALUATION, "FilePath": EVALUATION_FILE}
        ],
    }


def _register(d: Deployment) -> dict[str, Any]:
    """Every trained model is kept, with what it was found worth; the function `promote` approves of those in use."""
    report = _joined("/", _evaluation_place(), EVALUATION_FILE)
    kinds = ["image/jpeg", "image/png", "image/webp", "application/json", "application/jsonlines"]
    container = {"Image": d.image, "ModelDataUrl": {"Get": f"Steps.{TRAIN}.ModelArtifacts.S3ModelArtifacts"}}
    return {
        "Name": "Register",
        "Type": "RegisterModel",
        "Arguments": {
            "ModelPackageGroupName": d.name,
            "InferenceSpecification": {
                "Containers": [container],
                "SupportedContentTypes": kinds,
                "SupportedResponseMIMETypes": ["application/json", "application/jsonlines"],
            },
            "ModelApprovalStatus": "PendingManualApproval",
            "ModelMetrics": {"ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": report}}},
        },
    }


def _promote(d: Deployment) -> dict[str, Any]:
    def read(path: str) -> dict[str, Any]:
        return {"Std:JsonGet": {"PropertyFile": _file(), "Path": path}}

    update = {
        "Name": "UpdateEndpoint",
        "Type": "Lambda",
        "FunctionArn": d.arn("lambda", f"function:{d.name}-promote"),
        "Arguments": {
            "model_data": {"Get": f"Steps.{TRAIN}.ModelArtifacts.S3ModelArtifacts"},
            "champion": {"Get": "Parameters.Champion"},
            "package": {"Get": "Steps.Register.ModelPackageArn"},
        },
        "OutputParameters": [
            {"OutputName": "endpoint", "OutputType": "String"},
            {"OutputName": "config", "OutputType": "String"},
        ],
    }
    why = _joined(" ", "the champion stays:", read(JSON_REASON), "(", _evaluation_place(), ")")
    stop = {"Name": "NotPromoted", "Type": "Fail", "Arguments": {"ErrorMessage": why}}
    is_better = {"Type": "Equals", "LeftValue": read(JSON_DECISION), "RightValue": "promote"}
    return {
        "Name": PROMOTE,
        "Type": "Condition",
        "DependsOn": ["Register"],
        "Arguments": {"Conditions": [is_better], "IfSteps": [update], "ElseSteps": [stop]},
    }


def _file() -> dict[str, str]:
    return {"Get": f"Steps.{EVALUATED}.PropertyFiles.{PROPERTY_FILE}"}


def _evaluation_place() -> dict[str, str]:
    return {"Get": f"Steps.{EVALUATED}.ProcessingOutputConfig.Outputs['{EVALUATION}'].S3Output.S3Uri"}


def _joined(on: str, *values: Any) -> dict[str, Any]:
    return {"Std:Join": {"On": on, "Values": list(values)}}


def _input(name: str, address: Any, path: str) -> dict[str, Any]:
    return {
        "InputName": name,
        "S3Input": {
            "S3Uri": address,
            "LocalPath": path,
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
            "S3DataDistributionType": "FullyReplicated",
        },
    }
