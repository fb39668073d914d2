"""Batch transform: photos of a bucket in, an answer for each out, with instances that are there only while it runs."""

from typing import Literal

from binsight.engines.sagemaker.calls import Call, digest, tags
from binsight.engines.sagemaker.deployment import Deployment
from binsight.engines.sagemaker.endpoint import promotion_plan
from binsight.engines.sagemaker.functions import named
from binsight.errors import BadInput

Kind = Literal["image/jpeg", "image/png", "application/jsonlines"]
LINES = "application/jsonlines"


def transform_job(
    d: Deployment, model_data: str, photos: str, answers: str, *, kind: Kind = "image/jpeg", instances: int = 1
) -> Call:
    """One object a photo, or JSON lines with links. The same job on the same instances has the same name, so that it is
    begun once."""
    for place in (photos, answers):
        if not place.startswith("s3://"):
            raise BadInput(f"{place} must be an s3:// place; SageMaker reads and writes no other")
    if d.endpoint.kind == "serverless":
        raise BadInput(
            "a batch transform needs endpoint.instance_type; take the kind real-time for it in a file of its own"
        )
    model, _ = named(promotion_plan(d, None), model_data)
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": photos}}
    lines = kind == LINES
    resources = {"InstanceType": d.endpoint.instance_type, "InstanceCount": instances}
    end = digest([model["ModelName"], photos, answers, kind, resources])
    return Call(
        service="sagemaker",
        operation="CreateTransformJob",
        arguments={
            "TransformJobName": f"{d.name}-{end}",
            "ModelName": model["ModelName"],
            "BatchStrategy": "SingleRecord",
            "TransformInput": {
                "DataSource": source,
                "ContentType": kind,
                "SplitType": "Line" if lines else "None",
            },
            "TransformOutput": {
                "S3OutputPath": answers,
                "Accept": LINES if lines else "application/json",
                "AssembleWith": "Line" if lines else "None",
            },
            "TransformResources": resources,
            "Tags": tags(d.name, d.tags),
        },
    )
