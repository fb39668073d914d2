"""Executions of the pipeline as AWS tells of them: what was asked, how far it is, what its jobs made."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from binsight.engines.sagemaker.aws import Aws, NotThere
from binsight.engines.sagemaker.calls import Call
from binsight.engines.sagemaker.deployment import Deployment
from binsight.errors import MissingObject

UNDER_WAY = ("Executing", "Stopping")
_OURS = re.compile(r"retrain-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
PAGE = 100
"""What one call tells of at most."""
PAGES = 20
"""So many pages of executions are looked at, the newest: 2,000 executions, which is one a day for five years."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One execution. `retraining` is what it is called in the ledger: the plan that started it, or, where a dataset did,
    a name that follows from its own."""

    arn: str
    status: str
    begun_at: datetime
    display: str = ""

    @property
    def id(self) -> str:
        return self.arn.rpartition("/")[2]

    @property
    def plan(self) -> str | None:
        """The plan of `binsight retrain` that started it; None where something else did."""
        found = _OURS.fullmatch(self.display)
        return None if found is None else found[1]

    @property
    def retraining(self) -> str:
        return self.plan or str(uuid5(NAMESPACE_URL, self.arn))

    @property
    def is_over(self) -> bool:
        return self.status not in UNDER_WAY


def display_name(plan_id: str) -> str:
    """What an execution is called that a plan starts."""
    return f"retrain-{plan_id}"


def executions(d: Deployment, aws: Aws, *, tell: Tell = lambda _: None) -> list[Execution]:
    """The newest first, page by page to the last one or the bound, of which `tell` then gets a sentence.

    No page ends the search for what is not home yet: an execution that took long may have ended after newer ones had come
    home. Raises `MissingObject` where there is no pipeline.
    """
    asked = {"PipelineName": d.name, "SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": PAGE}
    found: list[Execution] = []
    for _ in range(PAGES):
        try:
            answer = aws.ask(Call(service="sagemaker", operation="ListPipelineExecutions", arguments=asked))
        except NotThere:
            raise MissingObject(
                f"there is no pipeline {d.name}; make it first: binsight deploy sagemaker"
            ) from None
        found += map(_execution, answer["PipelineExecutionSummaries"])
        if not answer.get("NextToken"):
            return found
        asked = {**asked, "NextToken": answer["NextToken"]}
    tell(
        f"the pipeline {d.name} has more than {len(found):,} executions: those that began before "
        f"{found[-1].begun_at:%Y-%m-%d %H:%M} are not looked at"
    )
    return found


def _execution(one: Mapping[str, Any]) -> Execution:
    return Execution(
        arn=one["PipelineExecutionArn"],
        status=one["PipelineExecutionStatus"],
        begun_at=one.get("StartTime") or datetime.now(UTC),
        display=one.get("PipelineExecutionDisplayName", ""),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """An execution's steps, and what each says of itself, by name."""

    reason: str
    status: str
    by_name: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """How far it is."""
        return ", ".join(f"{name} {step['StepStatus']}" for name, step in self.by_name.items()) or self.status

    @property
    def is_over(self) -> bool:
        return self.status not in UNDER_WAY

    def about(self, step: str, kind: str) -> Mapping[str, Any]:
        """What a step says of its job, its model package or its function; empty where it did not get there."""
        found: Mapping[str, Any] = self.by_name.get(step, {}).get("Metadata", {}).get(kind, {})
        return found


def steps_of(arn: str, aws: Aws) -> Steps:
    """How far an execution is."""
    named = {"PipelineExecutionArn": arn}
    found = aws.ask(Call(service="sagemaker", operation="DescribePipelineExecution", arguments=named))
    asked = named | {"SortOrder": "Ascending", "MaxResults": PAGE}
    steps = aws.ask(Call(service="sagemaker", operation="ListPipelineExecutionSteps", arguments=asked))
    return Steps(
        status=found["PipelineExecutionStatus"],
        reason=str(found.get("FailureReason") or f"it is {found['PipelineExecutionStatus']}"),
        by_name={step["StepName"]: step for step in steps["PipelineExecutionSteps"]},
    )


def given_to(arn: str, aws: Aws) -> dict[str, str]:
    """The parameters that an execution was started with."""
    asked = {"PipelineExecutionArn": arn, "MaxResults": PAGE}
    answer = aws.ask(Call(service="sagemaker", operation="ListPipelineParametersForExecution", arguments=asked))
    return {one["Name"]: one["Value"] for one in answer["PipelineParameters"]}


def trained(steps: Steps, aws: Aws) -> str | None:
    """The address of the model that the training job made; None where it made none."""
    arn = steps.about("Train", "TrainingJob").get("Arn", "")
    if not arn:
        return None
    named = {"TrainingJobName": arn.rpartition("/")[2]}
    try:
        job = aws.ask(Call(service="sagemaker", operation="DescribeTrainingJob", arguments=named))
    except NotThere:
        return None
    model: str | None = job.get("ModelArtifacts", {}).get("S3ModelArtifacts")
    return model
