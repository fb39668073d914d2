"""What only AWS can show: roles, quotas, scaling, canaries taken back, spot instances.

NOT RUN SO FAR: no AWS account was at hand when this was written. It is skipped unless BINSIGHT_LIVE_AWS names a
deploy.toml of an account in which it may make, change and remove an endpoint, which costs money:

    BINSIGHT_LIVE_AWS=deploy.toml python -m pytest -m live_aws tests/test_live_aws.py
"""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from binsight.counting import Counter
from binsight.engines.sagemaker.apply import deploy, see
from binsight.engines.sagemaker.aws import Aws
from binsight.engines.sagemaker.calls import Call
from binsight.engines.sagemaker.deployment import Deployment, load_deployment
from binsight.engines.sagemaker.destroy import destroy
from binsight.engines.sagemaker.plan import make_plan
from binsight.imaging.drawn import drawn_photo

CONFIG = os.environ.get("BINSIGHT_LIVE_AWS")
NOT_RUN = "needs an AWS account, and has not been run: set BINSIGHT_LIVE_AWS to a deploy.toml"
pytestmark = [pytest.mark.live_aws, pytest.mark.skipif(not CONFIG, reason=NOT_RUN)]


@pytest.fixture(scope="module")
def d() -> Deployment:
    return load_deployment(Path(str(CONFIG)))


@pytest.fixture(scope="module")
def aws(d: Deployment) -> Iterator[Aws]:
    """Deployed for the tests, and destroyed in the end."""
    aws = Aws(d.region)
    deploy(d, aws, tell=lambda piece, word: print(piece.title, word))
    yield aws
    destroy(d, aws, tell=print)
    left = [
        piece.title for piece in make_plan(d).pieces if piece.remove and piece.see and see(piece, aws) is not None
    ]
    assert not left


def scaling(d: Deployment, aws: Aws) -> Any:
    arguments = {"ServiceNamespace": "sagemaker", "PolicyNames": [f"{d.name}-scaling"]}
    answer = aws.ask(
        Call(service="application-autoscaling", operation="DescribeScalingPolicies", arguments=arguments)
    )
    return answer["ScalingPolicies"]


def test_the_endpoint_answers_as_the_bundle_does(d: Deployment, aws: Aws) -> None:
    photo = drawn_photo(3, seed=3)
    runtime = boto3.client("sagemaker-runtime", region_name=d.region)
    answer = json.loads(
        runtime.invoke_endpoint(EndpointName=d.name, ContentType="image/jpeg", Body=photo)["Body"].read()
    )
    expected = Counter.load(d.bundle).probs([photo])[0]
    assert answer["probs"] == pytest.approx(expected.tolist(), abs=1e-4)


def test_deploying_again_changes_nothing(d: Deployment, aws: Aws) -> None:
    before = scaling(d, aws)
    told: dict[str, str] = {}
    deploy(d, aws, tell=lambda piece, word: told.__setitem__(piece.title, word))
    assert told[f"endpoint {d.name}"] == "as it was" and scaling(d, aws)[0]["PolicyARN"] == before[0]["PolicyARN"]


def test_an_update_keeps_the_scaling_policy(d: Deployment, aws: Aws) -> None:
    before = scaling(d, aws)
    changed = d.model_copy(
        update={"endpoint": d.endpoint.model_copy(update={"environment": {"BINSIGHT_QUEUE_PHOTOS": "48"}})}
    )
    deploy(changed, aws)
    assert scaling(d, aws)[0]["PolicyARN"] == before[0]["PolicyARN"]


def test_the_front_answers(d: Deployment, aws: Aws) -> None:
    if d.front is None:
        pytest.skip("deploy.toml has no [front]")
    answer = aws.ask(Call(service="lambda", operation="Invoke", arguments={"FunctionName": f"{d.name}-front"}))
    assert answer["StatusCode"] == 200


def test_the_pipeline_runs_to_a_decision(d: Deployment, aws: Aws) -> None:
    """With a dataset and a promotion set in the bucket, as `binsight retrain --on sagemaker` puts them there."""
    if d.training is None:
        pytest.skip("deploy.toml has no [training]")
    started = aws.ask(
        Call(service="sagemaker", operation="StartPipelineExecution", arguments={"PipelineName": d.name})
    )
    named = {"PipelineExecutionArn": started["PipelineExecutionArn"]}
    while True:
        found = aws.ask(Call(service="sagemaker", operation="DescribePipelineExecution", arguments=named))
        if found["PipelineExecutionStatus"] not in ("Executing", "Stopping"):
            break
        time.sleep(30)
    steps = aws.ask(Call(service="sagemaker", operation="ListPipelineExecutionSteps", arguments=named))
    names = {step["StepName"] for step in steps["PipelineExecutionSteps"]}
    assert {"UpdateEndpoint", "NotPromoted"} & names, steps
