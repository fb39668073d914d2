"""Training and tuning jobs: what CreateTrainingJob and CreateHyperParameterTuningJob are asked."""

from collections.abc import Mapping
from typing import Any

from binsight.engines.contract import DATASET, METRICS, OBJECTIVE, RECIPE, metric_definitions
from binsight.engines.sagemaker.calls import Call, tags
from binsight.engines.sagemaker.deployment import Deployment, Training
from binsight.errors import BadInput

MOST_OF_A_TUNING_NAME = 32


def training_arguments(
    d: Deployment, channels: Mapping[str, Any], *, output: Any, checkpoints: Any, hyperparameters: Mapping[str, Any]
) -> dict[str, Any]:
    """All of a training job but its name. Addresses and hyperparameters may be a pipeline's references."""
    training = _training(d)
    seconds = round(training.max_hours * 3600)
    stopping = {"MaxRuntimeInSeconds": seconds}
    if training.spot:
        stopping["MaxWaitTimeInSeconds"] = round(training.wait_hours * 3600)
    return {
        "AlgorithmSpecification": {
            "TrainingImage": training.image,
            "TrainingInputMode": "File",
            "MetricDefinitions": metric_definitions(),
        },
        "RoleArn": d.role("training"),
        "HyperParameters": dict(hyperparameters),
        "InputDataConfig": [_channel(name, address) for name, address in channels.items()],
        "OutputDataConfig": {"S3OutputPath": output},
        "ResourceConfig": {
            "InstanceType": training.instance_type,
            "InstanceCount": 1,
            "VolumeSizeInGB": training.volume_gb,
        },
        "StoppingCondition": stopping,
        "EnableManagedSpotTraining": training.spot,
        "CheckpointConfig": {"S3Uri": checkpoints},
    }


def resources(d: Deployment) -> dict[str, Any]:
    """What by and on what a job runs: with these changed it is another job, and has another name."""
    return _training(d).model_dump(
        include={"image", "instance_type", "volume_gb", "max_hours", "spot", "wait_hours"}
    )


def training_job(d: Deployment, name: str, *, dataset: str, recipe: str) -> Call:
    """One training job by itself."""
    arguments = training_arguments(
        d,
        {DATASET: dataset, RECIPE: recipe},
        output=d.s3("runs"),
        checkpoints=d.s3("runs", "checkpoints", name),
        hyperparameters={},
    )
    named = {"TrainingJobName": name, "Tags": tags(d.name, d.tags)}
    return Call(service="sagemaker", operation="CreateTrainingJob", arguments=named | arguments)


def tuning_job(d: Deployment, name: str, *, dataset: str, recipe: str, search: Mapping[str, Any]) -> Call:
    """A tuning job over the [search] of a recipe, as `Search.model_dump()` has it: `trials` and `fields`.

    The recipe itself lies in its channel, whose section [search] the container passes over.
    """
    if len(name) > MOST_OF_A_TUNING_NAME:
        raise BadInput(
            f"a tuning job's name must have at most {MOST_OF_A_TUNING_NAME} characters, but {name} has {len(name)}; "
            "shorten it"
        )
    job = training_arguments(
        d,
        {DATASET: dataset, RECIPE: recipe},
        output=d.s3("runs"),
        checkpoints=d.s3("runs", "checkpoints", name),
        hyperparameters={},
    )
    job["StaticHyperParameters"] = job.pop("HyperParameters")
    limits = {"MaxNumberOfTrainingJobs": search["trials"], "MaxParallelTrainingJobs": d.tuning.parallel}
    configuration: dict[str, Any] = {
        "Strategy": d.tuning.strategy,
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": OBJECTIVE},
        "ResourceLimits": limits,
        "ParameterRanges": ranges(search["fields"], grid=d.tuning.strategy == "Grid"),
        # Hyperband ends trials by itself, and takes nothing else beside it.
        "TrainingJobEarlyStoppingType": "Off" if d.tuning.strategy in ("Hyperband", "Grid") else "Auto",
    }
    if d.tuning.strategy == "Hyperband":
        resource = {"MinResource": 1, "MaxResource": 10}
        configuration["StrategyConfig"] = {"HyperbandStrategyConfig": resource}
    return Call(
        service="sagemaker",
        operation="CreateHyperParameterTuningJob",
        arguments={
            "HyperParameterTuningJobName": name,
            "HyperParameterTuningJobConfig": configuration,
            "TrainingJobDefinition": job,
            "Tags": tags(d.name, d.tags),
        },
    )


def ranges(fields: Mapping[str, Any], *, grid: bool) -> dict[str, list[dict[str, Any]]]:
    """The fields of a search as SageMaker's ranges. A list is of categories, also where it is of numbers."""
    found: dict[str, list[dict[str, Any]]] = {
        "CategoricalParameterRanges": [],
        "ContinuousParameterRanges": [],
        "IntegerParameterRanges": [],
    }
    for name, space in fields.items():
        if isinstance(space, list):
            found["CategoricalParameterRanges"].append({"Name": name, "Values": [_text(value) for value in space]})
            continue
        if grid:
            raise BadInput(
                f"the strategy Grid takes lists of values alone, but {name} is a range; list its values, or take another "
                "tuning.strategy"
            )
        low, high = space["low"], space["high"]
        whole = isinstance(low, int) and isinstance(high, int)
        found["IntegerParameterRanges" if whole else "ContinuousParameterRanges"].append(
            {
                "Name": name,
                "MinValue": str(low),
                "MaxValue": str(high),
                "ScalingType": "Logarithmic" if space.get("log") else "Linear",
            }
        )
    return {kind: some for kind, some in found.items() if some}


def _channel(name: str, address: Any) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": address, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "InputMode": "File"}


def _training(d: Deployment) -> Training:
    if d.training is None:
        raise BadInput("training on SageMaker needs the section [training] in deploy.toml; add it")
    return d.training


def _text(value: Any) -> str:
    """As the container reads it again: JSON, or the text itself."""
    return value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)


assert OBJECTIVE in METRICS
