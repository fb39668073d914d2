"""Executions of pipelines, which moto has not: begun as AWS begins them, and run as far as a test says.

What jobs would leave in the bucket is left there; the function that updates the endpoint is the real one, over moto.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import pytest
from tests.aws_support import REGION, Cloud, deployment

from binsight.counting.bundle import DEFAULT_FOLDER, Bundle
from binsight.engines.container.looks import look_of
from binsight.engines.sagemaker import functions
from binsight.engines.sagemaker.aws import Aws
from binsight.engines.sagemaker.calls import Call
from binsight.engines.sagemaker.checking import faults
from binsight.engines.sagemaker.deployment import Deployment
from binsight.engines.sagemaker.endpoint import promotion_plan
from binsight.engines.sagemaker.plan import make_plan
from binsight.lifecycle.sagemaker_package import write_model_tar
from binsight.storage.objects import open_store

FIRST = Bundle.open(DEFAULT_FOLDER).version
SET = "5" * 64
REASON = "42 more photos are right"


@dataclass(kw_only=True)
class Ran:
    """An execution."""

    arn: str
    display: str
    given: dict[str, str]
    begun_at: datetime
    token: str = ""
    status: str = "Executing"
    reason: str = ""
    steps: list[dict[str, Any]] = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.arn.rpartition("/")[2]

    def step(self, name: str, status: str = "Succeeded", why: str = "", **about: Any) -> None:
        one = {"StepName": name, "StepStatus": status, "Metadata": about}
        self.steps.append(one | ({"FailureReason": why} if why else {}))

    def end(self, status: str, why: str = "") -> None:
        self.status, self.reason = status, why


class Pipelines(Aws):
    """AWS with executions; every call must be in form. What is started runs to the end that `ends` says, at once."""

    def __init__(self, cloud: Cloud, patch: pytest.MonkeyPatch, d: Deployment | None = None) -> None:
        super().__init__(REGION)
        self.cloud, self.d = cloud, d or deployment()
        self.all: list[Ran] = []
        self.ends: tuple[str, Path | None] | None = None
        self.compared = FIRST
        self.asked: list[Call] = []
        plan = json.loads(json.dumps(promotion_plan(self.d, None)))
        patch.setattr(functions, "_plan", lambda: plan)

    def begin(self, given: dict[str, str], *, display: str = "", token: str = "") -> Ran:
        """Once for a token."""
        for one in self.all:
            if token and one.token == token:
                return one
        number = len(self.all) + 1
        at = datetime(2026, 11, 26, 12, tzinfo=UTC) + timedelta(minutes=number)
        arn = f"{self.d.arn('sagemaker', f'pipeline/{self.d.name}')}/execution/{uuid4().hex[:12]}"
        self.all.append(
            Ran(arn=arn, display=display or f"execution-{number}", given=given, begun_at=at, token=token)
        )
        return self.all[-1]

    def dataset_pushed(self, name: str = "one", champion: str = "") -> Ran:
        """What the function `start` starts."""
        first = make_plan(self.d).first
        return self.begin({"Dataset": self.d.s3("datasets", name), "Champion": champion or first})

    def run(self, ran: Ran, word: str, challenger: Path | None = None, *, compared: str = "") -> Ran:
        """To its end: promote, keep, refuse; `broken` in training, `late` where the endpoint has changed meanwhile, `lost`
        where the function did its work and nobody heard of it."""
        if word == "broken":
            ran.step("Train", "Failed", "the loss is nan", TrainingJob={"Arn": self._job(ran)})
            ran.end("Failed", "Train: the loss is nan")
            return ran
        assert challenger is not None
        self._trained(ran, challenger)
        decided = word if word in ("keep", "refuse") else "promote"
        self._evaluated(ran, decided, compared or self.compared, Bundle.open(challenger).version)
        ran.step("Register", RegisterModel={"Arn": self._package(ran)})
        ran.step("Promote", Condition={"Outcome": "True" if decided == "promote" else "False"})
        if decided != "promote":
            ran.step("NotPromoted", "Failed", f"the champion stays: {REASON}", Fail={"ErrorMessage": REASON})
            ran.end("Failed", "step failure")
            return ran
        if word != "late":
            event = {"model_data": self.model(ran), "champion": ran.given["Champion"]}
            functions.promote(event, client=self.cloud.client("sagemaker"))
        if word == "promote":
            ran.step("UpdateEndpoint", Lambda={"OutputParameters": []})
            ran.end("Succeeded")
        else:
            ran.step("UpdateEndpoint", "Failed", f"the function was {word}")
            ran.end("Failed", "step failure")
        return ran

    def model(self, ran: Ran) -> str:
        return self.d.s3("runs", f"job-{ran.id}", "output", "model.tar.gz")

    def ask(self, call: Call) -> Any:
        assert faults(call) == [], faults(call)
        self.asked.append(call)
        assert len(self.asked) < 1000, "a pipeline is waited for that never ends"
        arguments = dict(call.arguments)
        match call.operation:
            case "StartPipelineExecution":
                given = {one["Name"]: one["Value"] for one in arguments["PipelineParameters"]}
                display, token = arguments["PipelineExecutionDisplayName"], arguments["ClientRequestToken"]
                ran = self.begin(given, display=display, token=token)
                if self.ends is not None and ran.status == "Executing":
                    self.run(ran, *self.ends)
                return {"PipelineExecutionArn": ran.arn}
            case "ListPipelineExecutions":
                begin, most = int(arguments.get("NextToken", "0")), arguments["MaxResults"]
                page = [_summary(one) for one in self.all[::-1][begin : begin + most]]
                is_last = begin + most >= len(self.all)
                return {"PipelineExecutionSummaries": page} | ({} if is_last else {"NextToken": str(begin + most)})
            case "DescribePipelineExecution":
                ran = self._of(arguments)
                found = {"PipelineExecutionArn": ran.arn, "PipelineExecutionStatus": ran.status}
                return found | ({"FailureReason": ran.reason} if ran.reason else {})
            case "ListPipelineExecutionSteps":
                return {"PipelineExecutionSteps": self._of(arguments).steps}
            case "ListPipelineParametersForExecution":
                given = self._of(arguments).given
                return {"PipelineParameters": [{"Name": name, "Value": value} for name, value in given.items()]}
            case "DescribeTrainingJob":
                ran = next(one for one in self.all if f"job-{one.id}" == arguments["TrainingJobName"])
                is_made = ran.steps[0]["StepStatus"] == "Succeeded"
                return {"ModelArtifacts": {"S3ModelArtifacts": self.model(ran)}} if is_made else {}
            case "UpdateModelPackage":
                return {"ModelPackageArn": arguments["ModelPackageArn"]}
        return super().ask(call)

    def _of(self, arguments: dict[str, Any]) -> Ran:
        return next(one for one in self.all if one.arn == arguments["PipelineExecutionArn"])

    def _job(self, ran: Ran) -> str:
        return self.d.arn("sagemaker", f"training-job/job-{ran.id}")

    def _package(self, ran: Ran) -> str:
        return self.d.arn("sagemaker", f"model-package/{self.d.name}/{self.all.index(ran) + 1}")

    def _trained(self, ran: Ran, challenger: Path) -> None:
        ran.step("Train", TrainingJob={"Arn": self._job(ran)})
        with TemporaryDirectory() as place:
            tar = write_model_tar(Bundle.open(challenger), Path(place) / "model.tar.gz")
            address, _, name = self.model(ran).rpartition("/")
            open_store(address).write(name, tar.path)

    def _evaluated(self, ran: Ran, word: str, champion: str, challenger: str) -> None:
        number = look_of(self.d.s3("looks"), SET, most=10)(champion, challenger)
        comparison = {
            "champion": {"version": champion},
            "challenger": {"version": challenger, "trained_on": "d" * 64},
            "promotion_set": {"sha256": SET, "look": number},
        }
        decision = {"word": word, "reasons": [REASON], "reason": REASON}
        record = {"format": 1, "comparison": comparison, "policy": {}, "decision": decision}
        open_store(self.d.s3("runs", "evaluations", ran.id)).write("evaluation.json", json.dumps(record).encode())
        ran.step("Evaluate")


def _summary(one: Ran) -> dict[str, Any]:
    return {
        "PipelineExecutionArn": one.arn,
        "PipelineExecutionStatus": one.status,
        "PipelineExecutionDisplayName": one.display,
        "StartTime": one.begun_at,
    }
