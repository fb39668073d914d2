"""AWS as far as it can be had here: moto's server, and what of SageMaker it does not do.

moto stores what it is told and answers as AWS does; it does not check most of it (the strict check does), and evaluates no
alarm. UpdateEndpoint, which it has not, is added here as AWS describes it: the endpoint is Updating at first and then
InService with the new configuration, or with the old one where an alarm rang.
"""

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
import urllib3
from moto.core.responses import ActionResult
from moto.sagemaker.exceptions import ValidationError
from moto.sagemaker.models import SageMakerModelBackend, sagemaker_backends
from moto.sagemaker.responses import SageMakerResponse
from moto.server import ThreadedMotoServer

from binsight.counting.bundle import DEFAULT_FOLDER
from binsight.engines.sagemaker.apply import Pace, deploy
from binsight.engines.sagemaker.aws import Aws
from binsight.engines.sagemaker.calls import Call
from binsight.engines.sagemaker.deployment import Deployment, checked
from binsight.engines.sagemaker.plan import Plan
from binsight.settings import settings

REGION, ACCOUNT, BUCKET = "eu-central-1", "123456789012", "warehouse"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/binsight"
NOW = Pace(step_s=0, role_pause_s=0)
ROOT = Path(__file__).resolve().parents[1]

FIELDS: dict[str, Any] = {
    "name": "bins",
    "region": REGION,
    "bucket": BUCKET,
    "image": f"{IMAGE}:1.0",
    "bundle": str(DEFAULT_FOLDER),
    "endpoint": {"links": [f"s3://{BUCKET}/photos"], "instance_type": "ml.c5.xlarge"},  # moto knows no newer ones
    "capture": {"percent": 100},
    "scaling": {"max_rps": 20},
    "front": {"url": True},
    "training": {"image": f"{IMAGE}:1.0-train", "recipe": str(ROOT / "recipes" / "default.toml")},
}
"""A deployment with all that goes with answers in real time."""


def deployment(**changes: Any) -> Deployment:
    """`FIELDS` with other values; None leaves one out, a mapping changes some of a part's."""
    fields = copy.deepcopy(FIELDS)
    for name, value in changes.items():
        if value is None:
            fields.pop(name, None)
        elif isinstance(value, dict) and isinstance(fields.get(name), dict):
            fields[name] = fields[name] | value
        else:
            fields[name] = value
    return checked(fields, source="deploy.toml")


def every_kind() -> dict[str, Deployment]:
    """Deployments that together use all that can be asked for."""
    no_more: dict[str, Any] = {"front": None, "training": None}
    return {
        "whole": deployment(),
        "small": deployment(**no_more, capture=None),
        "shadow": deployment(**no_more, shadow={"bundle": str(DEFAULT_FOLDER), "percent": 50}),
        "serverless": deployment(**no_more, endpoint={"kind": "serverless"}, capture=None, scaling=None),
        "asynchronous": deployment(**no_more, endpoint={"kind": "asynchronous"}, scaling={"min": 0}),
        "original": deployment(**no_more, scaling={"policy": "original-cpu-70", "max_rps": None}),
        "concurrency": deployment(**no_more, scaling={"policy": "concurrency"}),
        "given roles": deployment(
            roles={
                word: f"arn:aws:iam::{ACCOUNT}:role/{word}"
                for word in ("endpoint", "training", "functions", "front")
            }
        ),
        "original's front": deployment(front={"shape": "original"}, training=None),
        "on demand": deployment(training=FIELDS["training"] | {"spot": False}),
    }


@dataclass(eq=False)
class Cloud:
    """A running stand-in for AWS. `rings`: the next update is taken back, as an alarm would have it."""

    url: str
    rings: bool = False
    _aws: Aws | None = None

    @cache  # noqa: B019 - one server for a whole module, and clients take long to make
    def client(self, service: str) -> Any:
        return boto3.client(service, region_name=REGION, endpoint_url=self.url)

    def aws(self) -> Aws:
        self._aws = self._aws or Aws(REGION)
        return self._aws

    def reset(self) -> None:
        """Forget everything but the bucket."""
        urllib3.request("POST", f"{self.url}/moto-api/reset")
        self.rings = False
        place = {"LocationConstraint": REGION}
        self.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=place)

    def as_deployed(self, plan: Plan) -> None:
        """Have the endpoint answer with the plan's model again, and forget what jobs left; quicker than to deploy anew."""
        (wanted,) = [piece.same["EndpointConfigName"] for piece in plan.pieces if piece.kind == "endpoint"]
        endpoint = sagemaker_backends[ACCOUNT][REGION].endpoints[plan.deployment.name]
        endpoint.endpoint_config_name, endpoint.endpoint_status = wanted, "InService"
        self.rings = False
        s3 = self.client("s3")
        for part in ("runs", "looks", "parents", "prepared"):
            for one in s3.list_objects_v2(Bucket=BUCKET, Prefix=plan.deployment.key(part)).get("Contents", []):
                s3.delete_object(Bucket=BUCKET, Key=one["Key"])

    @property
    def endpoint(self) -> Any:
        return self.client("sagemaker").describe_endpoint(EndpointName="bins")


@contextmanager
def running_cloud(patch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """moto's server with a bucket, and boto3 led there; UpdateEndpoint added."""
    patch.setenv("AWS_ACCESS_KEY_ID", "testing")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    patch.setenv("AWS_DEFAULT_REGION", REGION)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line for every request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    cloud = Cloud(f"http://{host}:{port}")
    patch.setenv("AWS_ENDPOINT_URL", cloud.url)
    _add_update(cloud, patch)
    try:
        cloud.reset()
        yield cloud
    finally:
        server.stop()


@contextmanager
def running_bucket(patch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """As `running_cloud`, and our own access to S3 led there too."""
    with running_cloud(patch) as cloud:
        patch.setenv("BINSIGHT_ENDPOINT_URL", cloud.url)
        settings.cache_clear()
        yield cloud
    settings.cache_clear()


def _add_update(cloud: Cloud, patch: pytest.MonkeyPatch) -> None:
    def backend() -> SageMakerModelBackend:
        return sagemaker_backends[ACCOUNT][REGION]

    def update_endpoint(self: SageMakerResponse) -> ActionResult:
        endpoint = backend().endpoints.get(self._get_param("EndpointName"))
        config = backend().endpoint_configs.get(self._get_param("EndpointConfigName"))
        if endpoint is None or config is None:
            raise ValidationError(message="Could not find what is to be updated")
        if self._get_param("RetainAllVariantProperties"):
            before = {one["VariantName"] for one in endpoint.production_variants}
            assert {one["VariantName"] for one in config.production_variants} == before, "what is retained is lost"
        if cloud.rings:
            endpoint.failure_reason = "the alarm bins-errors rang"
        else:
            endpoint.endpoint_config_name = config.endpoint_config_name
        endpoint.endpoint_status = "Updating"
        return ActionResult({"EndpointArn": endpoint.arn})

    described = SageMakerResponse.describe_endpoint

    def describe_endpoint(self: SageMakerResponse) -> ActionResult:
        described(self)  # raises where there is none
        endpoint = backend().endpoints[self._get_param("EndpointName")]
        answer = {"EndpointConfigName": endpoint.endpoint_config_name, **endpoint.response_object}
        answer["EndpointStatus"] = endpoint.endpoint_status
        after = {"Updating": "RollingBack" if cloud.rings else "InService", "RollingBack": "InService"}
        endpoint.endpoint_status = after.get(endpoint.endpoint_status, endpoint.endpoint_status)
        return ActionResult(answer)

    patch.setattr(SageMakerResponse, "update_endpoint", update_endpoint, raising=False)
    patch.setattr(SageMakerResponse, "describe_endpoint", describe_endpoint)


def operations(calls: list[Call]) -> list[str]:
    return [call.operation for call in calls]


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
