"""A retraining whose counts are here and whose training is on SageMaker: `binsight retrain --on sagemaker`.

```
due? ─▶ plan ─▶ gather, prepare (here) ─▶ bucket ─▶ the pipeline ─▶ promoted, kept, or why it failed ─▶ ledger
```
The steps that need the ledger are run here by the same runner as ever; the rest is the pipeline that was compiled from the
same list. Killed anywhere, the next call goes on: one plan starts one execution.
"""

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from binsight.counting.registry import Registry
from binsight.dataset.push import push_dataset
from binsight.engines.contract import FROZEN_FILE
from binsight.engines.sagemaker.apply import Pace, model_in_use
from binsight.engines.sagemaker.aws import Aws
from binsight.engines.sagemaker.calls import Call
from binsight.engines.sagemaker.deployment import Deployment
from binsight.engines.sagemaker.looks import give_looks, take_looks
from binsight.engines.sagemaker.parents import run_finder, send_parent
from binsight.engines.sagemaker.pipeline import HERE, PLACES
from binsight.errors import BadInput, GateFailed
from binsight.lifecycle.beginning import DATE, begin, champion_of, look
from binsight.lifecycle.plan import RECIPE, Plan, end_plan, folder_id, read_plan, working_in, write_plan
from binsight.lifecycle.promotion_set import PromotionSet
from binsight.lifecycle.retrain import NOTHING_TO_DO, Ended, judging, parameters
from binsight.lifecycle.runner import Runner, Say
from binsight.lifecycle.steps import STEPS
from binsight.lifecycle.terms import Terms
from binsight.lifecycle.turn import holding
from binsight.lifecycle.verdict import frozen_set
from binsight.lifecycle.work import given_recipe
from binsight.model.recipe import dump_recipe
from binsight.storage.api_key import stamp
from binsight.storage.ledger import Ledger, Marks, Promotions, Retrainings
from binsight.storage.ledger.retrainings import DROPPED, KEPT, PROMOTED, RUNNING
from binsight.storage.objects import open_store

STOPPED_STEP = "NotPromoted"
_UNDER_WAY = ("Executing", "Stopping")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """Where in the bucket lies what the pipeline begins with."""

    dataset: str
    promotion: str
    recipe: str
    parent: str


def retrain_there(
    terms: Terms,
    d: Deployment,
    work: Path,
    registry: Registry,
    ledger: Ledger,
    aws: Aws,
    *,
    by: str,
    say: Say,
    when_due: bool = False,
    anyway: bool = False,
    pace: Pace | None = None,
) -> Ended:
    """Retrain by the deployment's pipeline, and wait for its end.

    Raises as `binsight.lifecycle.retrain.retrain` and `Aws.ask` do, and `GateFailed` where a job failed.
    """
    if d.training is None:
        raise BadInput(
            "retraining on SageMaker needs the section [training] in deploy.toml; add it, and deploy again"
        )
    with working_in(work), holding(ledger, folder_id(work), work, say):
        in_use = model_in_use(d, aws)
        take_looks(d, Promotions(ledger), by=by)
        champion = champion_of(registry)
        plan = read_plan(work)
        if plan is None:
            verdict = look(terms, ledger, champion)
            if when_due and not verdict.is_due:
                return Ended(state=NOTHING_TO_DO, sentence=verdict.sentence)
            why = verdict.sentence if when_due else "asked for"
            find = run_finder(d, [in_use], work)
            beginning = begin(terms, registry, ledger, champion, work, why=why, anyway=anyway, find_run=find)
            if beginning.plan is None:
                return Ended(state=NOTHING_TO_DO, sentence=beginning.sentence)
            plan = beginning.plan
            write_plan(work, plan, beginning.recipe)
        judges = frozen_set(terms.data.promotion, judging(terms), ledger, by=by)
        _told(ledger, plan, d, by)
        sent = _send(terms, d, work, plan, registry, judges, ledger, by=by, say=say)
        execution = _start(d, plan, sent, in_use, aws)
        say(f"the pipeline runs: {execution}")
        _wait_until_ended(execution, aws, say, pace or Pace(step_s=30))
        take_looks(d, Promotions(ledger), by=by)
        return _ended(ledger, work, plan, execution, aws)


def _send(
    terms: Terms,
    d: Deployment,
    work: Path,
    plan: Plan,
    registry: Registry,
    judges: PromotionSet,
    ledger: Ledger,
    *,
    by: str,
    say: Say,
) -> Sent:
    """Run the steps that are done here, and put what the others need into the bucket, once."""
    runner = Runner(
        work=work.resolve(),
        id=plan.id,
        parameters=parameters(terms, plan),
        open={"rows": plan.rows, "learned": plan.learned, "ledger": ledger, "registry": registry, "by": by},
        say=say,
    )
    runner.give(
        {
            "base": terms.data.base.resolve(),
            "promotion": terms.data.promotion.resolve(),
            "recipe": work.resolve() / "plan" / RECIPE,
            "parent": None if plan.parent is None else Path(plan.parent),
            "champion": registry.fetch(plan.champion),
        }
    )
    for step in STEPS:
        if PLACES[step.name] == HERE:
            say(f"{step.name}, here")
            runner.run(step)
    dataset = runner.made["dataset"]
    assert dataset is not None
    # Not below datasets/: what appears there starts a pipeline by itself.
    prepared = d.s3("prepared", runner.identities["dataset"][:16])
    promotion = d.s3("promotion", judges.sha256[:16])
    say(f"the dataset goes to {prepared}, the promotion set to {promotion}")
    push_dataset(dataset, prepared, region=d.region)
    push_dataset(terms.data.promotion, promotion, region=d.region)
    known = {
        "name": judges.name,
        "split": judges.split,
        "where": {name: list(values) for name, values in judges.where.items()},
        "sha256": judges.frozen_sha256,
        "frozen_at": judges.frozen_at,
        "shared_with": judges.shared_with,
        "terms": terms.compare,
    }
    give_looks(d, judges.sha256, Promotions(ledger))
    open_store(promotion, region=d.region).write(FROZEN_FILE, json.dumps(known).encode())
    recipe = dump_recipe(given_recipe(work / "plan" / RECIPE, Path("given"), None)).encode()
    place = d.s3("recipes", sha256(recipe).hexdigest()[:12])
    open_store(place, region=d.region, create=True).write("recipe.toml", recipe)
    run = None if plan.parent is None else Path(plan.parent)
    parent = send_parent(d, run, registry.fetch(plan.champion), plan.learned, {}, say=say)
    return Sent(dataset=prepared, promotion=promotion, recipe=place, parent=parent)


def _start(d: Deployment, plan: Plan, sent: Sent, champion: str, aws: Aws) -> str:
    """Start the pipeline, once for a plan: the same token gives the same execution."""
    given = {
        "Dataset": sent.dataset,
        "Promotion": sent.promotion,
        "Recipe": sent.recipe,
        "Parent": sent.parent,
        "Champion": champion,
    }
    answer = aws.ask(
        Call(
            service="sagemaker",
            operation="StartPipelineExecution",
            arguments={
                "PipelineName": d.name,
                "PipelineExecutionDisplayName": f"retrain-{plan.id[:8]}",
                "PipelineParameters": [{"Name": name, "Value": value} for name, value in given.items()],
                "ClientRequestToken": plan.id,
            },
        )
    )
    return str(answer["PipelineExecutionArn"])


def _wait_until_ended(execution: str, aws: Aws, say: Say, pace: Pace) -> None:
    named = {"PipelineExecutionArn": execution}
    told = ""
    while True:
        found = aws.ask(Call(service="sagemaker", operation="DescribePipelineExecution", arguments=named))
        status = found["PipelineExecutionStatus"]
        steps = aws.ask(Call(service="sagemaker", operation="ListPipelineExecutionSteps", arguments=named))
        line = ", ".join(
            f"{one['StepName']} {one['StepStatus']}" for one in reversed(steps["PipelineExecutionSteps"])
        )
        if line != told:
            say(line or status)
            told = line
        if status not in _UNDER_WAY:
            return
        time.sleep(pace.step_s)


def _ended(ledger: Ledger, work: Path, plan: Plan, execution: str, aws: Aws) -> Ended:
    named = {"PipelineExecutionArn": execution}
    found = aws.ask(Call(service="sagemaker", operation="DescribePipelineExecution", arguments=named))
    steps = aws.ask(Call(service="sagemaker", operation="ListPipelineExecutionSteps", arguments=named))
    state, sentence = _outcome(found, steps["PipelineExecutionSteps"])
    Retrainings(ledger).change(plan.id, state=state, sentence=sentence, outcome={"execution": execution})
    end_plan(work, plan)
    if state == DROPPED:
        raise GateFailed(f"the pipeline failed: {sentence}; mend that, and retrain again")
    Marks(ledger).set(DATE, stamp(datetime.now(UTC)))
    return Ended(state=state, sentence=sentence, id=plan.id)


def _outcome(found: Any, steps: list[Any]) -> tuple[str, str]:
    """State and sentence for the ledger: that the champion stays is a decision, all else that failed is none."""
    if found["PipelineExecutionStatus"] == "Succeeded":
        return PROMOTED, f"the endpoint takes the challenger ({found['PipelineExecutionArn']})"
    for step in steps:
        if step["StepName"] == STOPPED_STEP:
            return KEPT, str(step.get("FailureReason") or found.get("FailureReason") or "the champion stays")
    return DROPPED, str(found.get("FailureReason") or f"it is {found['PipelineExecutionStatus']}")


def _told(ledger: Ledger, plan: Plan, d: Deployment, by: str) -> None:
    rows = Retrainings(ledger)
    rows.begin(
        plan.id,
        by=by,
        why=plan.why,
        place=d.arn("sagemaker", f"pipeline/{d.name}"),
        inputs_sha256=plan.inputs_sha256,
        num_counts=plan.num_counts,
        champion=plan.champion,
    )
    rows.change(plan.id, state=RUNNING, sentence="")
