"""The two functions of a retraining on AWS, in one file that needs nothing but what Lambda's own Python has.

```
s3://BUCKET/PREFIX/datasets/NAME/dataset.json ─▶ start ─▶ the pipeline ─▶ promote ─▶ UpdateEndpoint
```
Beside it in the archive lies `plan.json`: the very calls that `binsight deploy sagemaker` makes, without the model. So a
promoted model gets the same variant, capture, alarms and way of taking over.
"""

import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

PLAN = "plan.json"
_THERE_ALREADY = re.compile("already exist", re.IGNORECASE)


class Refused(Exception):
    """The function did nothing, and the sentence says why."""


def named(plan: dict[str, Any], model_data: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """CreateModel and CreateEndpointConfig for a model; both names say what they hold, so that the same is made once."""
    model = json.loads(json.dumps(plan["model"]))
    model["PrimaryContainer"]["ModelDataUrl"] = model_data
    model["ModelName"] = f"{plan['name']}-{_digest(model)}"
    config = json.loads(json.dumps(plan["config"]))
    config["ProductionVariants"][0]["ModelName"] = model["ModelName"]
    config["EndpointConfigName"] = f"{plan['name']}-{_digest(config)}"
    return model, config


def promote(event: dict[str, Any], _: Any = None, *, client: Any = None) -> dict[str, str]:
    """Have the endpoint answer with `model_data`, if it still answers with `champion`. `package` is then approved.

    It does not wait for the update: alarms watch that, and take it back.
    """
    plan, sagemaker = _plan(), client or _client("sagemaker")
    wanted = event["model_data"]
    endpoint = sagemaker.describe_endpoint(EndpointName=plan["name"])
    model, config = named(plan, wanted)
    used = in_use(sagemaker, endpoint)
    if used != wanted:
        if event.get("champion") not in (used, None):
            raise Refused(
                f"the endpoint {plan['name']} answers with {used}, but the challenger was compared with "
                f"{event['champion']}; start the pipeline again"
            )
        if endpoint["EndpointStatus"] != "InService":
            raise Refused(
                f"the endpoint {plan['name']} is {endpoint['EndpointStatus']}; start the pipeline again later"
            )
        _made(sagemaker.create_model, model)
        _made(sagemaker.create_endpoint_config, config)
        sagemaker.update_endpoint(
            EndpointName=plan["name"], EndpointConfigName=config["EndpointConfigName"], **plan["update"]
        )
    if event.get("package"):
        sagemaker.update_model_package(ModelPackageArn=event["package"], ModelApprovalStatus="Approved")
    return {"endpoint": plan["name"], "config": config["EndpointConfigName"]}


def start(event: dict[str, Any], _: Any = None, *, client: Any = None) -> dict[str, str]:
    """Start the pipeline for a dataset that is whole: its `dataset.json` is written last. Once, however often told."""
    plan, sagemaker = _plan(), client or _client("sagemaker")
    bucket, thing = event["detail"]["bucket"]["name"], event["detail"]["object"]
    parts = thing["key"].removeprefix(f"{plan['prefix']}/datasets/").split("/")
    if bucket != plan["bucket"] or len(parts) != 2 or parts[1] != "dataset.json":
        return {"ignored": f"s3://{bucket}/{thing['key']}"}
    dataset = f"s3://{bucket}/{plan['prefix']}/datasets/{parts[0]}"
    champion = in_use(sagemaker, sagemaker.describe_endpoint(EndpointName=plan["name"]))
    execution = sagemaker.start_pipeline_execution(
        PipelineName=plan["pipeline"],
        PipelineParameters=[{"Name": "Dataset", "Value": dataset}, {"Name": "Champion", "Value": champion}],
        ClientRequestToken=sha256(f"{dataset} {thing.get('etag', '')}".encode()).hexdigest(),
    )
    return {"execution": execution["PipelineExecutionArn"], "dataset": dataset, "champion": champion}


def in_use(sagemaker: Any, endpoint: dict[str, Any]) -> str:
    """The model that the endpoint answers with, as its address in S3."""
    config = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    model = sagemaker.describe_model(ModelName=config["ProductionVariants"][0]["ModelName"])
    return str(model["PrimaryContainer"]["ModelDataUrl"])


def _plan() -> dict[str, Any]:
    plan: dict[str, Any] = json.loads(Path(__file__).with_name(PLAN).read_text(encoding="utf-8"))
    return plan


def _client(service: str) -> Any:
    import boto3

    return boto3.client(service)


def _made(create: Any, arguments: dict[str, Any]) -> None:
    """Make it; one of that name is the same, for the name says what it holds."""
    try:
        create(**arguments)
    except Exception as error:
        if not _THERE_ALREADY.search(str(error)):
            raise


def _digest(value: Any) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
