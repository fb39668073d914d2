"""A retraining whose counts are here and whose training is on SageMaker: `binsight retrain --on sagemaker`.

```
what ended since, brought home ─▶ due? ─▶ plan ─▶ gather, prepare (here) ─▶ bucket ─▶ the pipeline ─▶ brought home
```
The steps that need the ledger are run here by the same runner as ever; the rest is the pipeline that was compiled from the
same list. Killed anywhere, the next call goes on: one plan starts one execution, and what became of it is brought home
(`homecoming.py`) by whoever comes next.
"""

import json
import re
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from binsight.counting.bundle import Bundle
from binsight.counting.registry import Registry
from binsight.dataset.push import push_dataset
from binsight.engines.contract import FROZEN_FILE
from binsight.engines.sagemaker.apply import Pace, model_in_use
from binsight.engines.sagemaker.aws import Aws
from binsight.engines.sagemaker.calls import Call
from binsight.engines.sagemaker.deployment import Deployment
from binsight.engines.sagemaker.executions import Execution, display_name, executions, steps_of
from binsight.engines.sagemaker.homecoming import Home, bring_home, fetched_bundle
from binsight.engines.sagemaker.looks import give_looks
from binsight.engines.sagemaker.parents import run_finder, send_parent
from binsight.engines.sagemaker.pipeline import HERE, PLACES
from binsight.engines.sagemaker.pipeline_settings import said_by
from binsight.errors import BadInput, ChangedMeanwhile, GateFailed
from binsight.lifecycle.beginning import begin, champion_of, labels_for, look, tell_begun
from binsight.lifecycle.plan import RECIPE, Plan, end_plan, folder_id, read_plan, working_in, write_plan
from binsight.lifecycle.promotion_set import PromotionSet
from binsight.lifecycle.retrain import NOTHING_TO_DO, Ended, judging, parameters, under_way
from binsight.lifecycle.runner import Runner, Say
from binsight.lifecycle.steps import STEPS
from binsight.lifecycle.terms import Terms
from binsight.lifecycle.turn import holding
from binsight.lifecycle.verdict import frozen_set
from binsight.lifecycle.work import given_recipe
from binsight.model.recipe import dump_recipe
from binsight.storage.ledger import Ledger, Promotions, Retrainings
from binsight.storage.ledger.retrainings import DROPPED
from binsight.storage.objects import open_store

PACE = Pace(step_s=30)


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
    """Bring home what ended since, then retrain by the deployment's pipeline, and wait for its end.

    Raises as `binsight.lifecycle.retrain.retrain` and `Aws.ask` do, and `GateFailed` where a job failed.
    """
    if d.training is None:
        raise BadInput(
            "retraining on SageMaker needs the section [training] in deploy.toml; add it, and deploy again"
        )
    with working_in(work), holding(ledger, folder_id(work), work, say) as held:
        model_in_use(d, aws)  # there is an endpoint, and in this account
        home = Home(
            d=d, aws=aws, registry=registry, ledger=ledger, by=by, say=say, pace=pace or PACE, check=held.check
        )
        plan = read_plan(work)
        if (ended := _brought(home, work, plan)) is not None:
            return ended
        if (running := _running(d, aws, plan)) is None:
            plan = under_way(terms, work, ledger, champion_of(registry), say, place=home.pipeline)
            in_use = _check_champion(home)
            if plan is None:
                begun = _begun(terms, home, work, in_use, when_due=when_due, anyway=anyway)
                if isinstance(begun, Ended):
                    return begun
                plan = begun
            judges = frozen_set(terms.data.promotion, judging(terms), ledger, by=by)
            tell_begun(ledger, plan, place=home.pipeline, by=by)
            sent = _send(terms, d, work, plan, registry, judges, ledger, by=by, say=say)
            running = _start(d, plan, terms, sent, in_use, aws)
        say(f"the pipeline runs: {running}")
        _wait_until_ended(running, home)
        ended = _brought(home, work, plan)
        if ended is None:
            raise ChangedMeanwhile(
                f"{running} has ended, and AWS does not list it so yet; run the same command again"
            )
        return ended


def _brought(home: Home, work: Path, plan: Plan | None) -> Ended | None:
    """Bring home what ended, and say how this folder's retraining did, where it is among it.

    Raises `GateFailed` where it came to no decision.
    """
    brought = bring_home(home)
    if plan is None or (ended := brought.get(plan.id)) is None:
        return None
    end_plan(work, plan)
    if ended.state == DROPPED:
        raise GateFailed(f"the pipeline failed: {ended.sentence}; mend that, and retrain again")
    return ended


def _running(d: Deployment, aws: Aws, plan: Plan | None) -> str | None:
    """The execution of this plan, where it is under way. Raises `ChangedMeanwhile` where another one is."""
    found: list[Execution] = [one for one in executions(d, aws) if not one.is_over]
    for one in found:
        if plan is not None and one.plan == plan.id:
            return one.arn
    if found:
        raise ChangedMeanwhile(
            f"another retraining runs on SageMaker ({found[0].arn}); let it end, and run the same command again"
        )
    return None


def _check_champion(home: Home) -> str:
    """The address of the model that the endpoint answers with, which must be the champion here: it is what a challenger is
    compared with there, and whose place it takes here. Raises `BadInput` where it is another."""
    in_use, champion = model_in_use(home.d, home.aws), champion_of(home.registry).version
    if (found := _version_of(home, in_use)) != champion:
        raise BadInput(
            f"the endpoint {home.d.name} answers with {found}, but the champion is {champion}: a challenger would be "
            "compared with the one and take the other's place; deploy the champion (bundle in deploy.toml), or register "
            f"{found} and promote it: binsight models promote"
        )
    return in_use


def _version_of(home: Home, model: str) -> str:
    """The version of a model by its address, where that says it or the ledger knows, or else by looking into it."""
    if named := re.fullmatch(rf"{re.escape(home.d.s3('models'))}/([0-9a-f]{{12}})/model\.tar\.gz", model):
        return named[1]
    for row in home.rows.newest(100):
        if row.challenger and row.outcome.get("model_data") == model:
            return row.challenger
    with TemporaryDirectory(prefix="binsight-") as place:
        return Bundle.open(fetched_bundle(home.d, model, Path(place))).version


def _begun(terms: Terms, home: Home, work: Path, in_use: str, *, when_due: bool, anyway: bool) -> Plan | Ended:
    """A new plan, or why there is nothing to do."""
    champion = champion_of(home.registry)
    labels = labels_for(terms)
    verdict = look(terms, home.ledger, champion, labels)
    if when_due and not verdict.is_due:
        return Ended(state=NOTHING_TO_DO, sentence=verdict.sentence)
    made_by = [row.outcome.get("model_data") for row in home.rows.newest(100) if row.challenger == champion.version]
    beginning = begin(
        terms,
        home.registry,
        home.ledger,
        champion,
        labels,
        work,
        why=verdict.sentence if when_due else "asked for",
        anyway=anyway,
        find_run=run_finder(home.d, [in_use, *filter(None, made_by)], work),
    )
    if beginning.plan is None:
        return Ended(state=NOTHING_TO_DO, sentence=beginning.sentence)
    write_plan(work, beginning.plan, beginning.recipe)
    return beginning.plan


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
    seen = [row.outcome.get("dataset") for row in Retrainings(ledger).newest(100)]
    places = {one["sha256"]: one["place"] for one in seen if one and one["place"]}
    parent = send_parent(d, run, registry.fetch(plan.champion), plan.learned, places, say=say)
    return Sent(dataset=prepared, promotion=promotion, recipe=place, parent=parent)


def _start(d: Deployment, plan: Plan, terms: Terms, sent: Sent, champion: str, aws: Aws) -> str:
    """Start the pipeline, once for a plan: the same token gives the same execution."""
    given = said_by(terms) | {
        "Dataset": sent.dataset,
        "Promotion": sent.promotion,
        "Recipe": sent.recipe,
        "Parent": sent.parent,
        "Champion": champion,
    }
    asked = {
        "PipelineName": d.name,
        "PipelineExecutionDisplayName": display_name(plan.id),
        "PipelineParameters": [{"Name": name, "Value": value} for name, value in given.items()],
        "ClientRequestToken": plan.id,
    }
    try:
        answer = aws.ask(Call(service="sagemaker", operation="StartPipelineExecution", arguments=asked))
    except BadInput as error:
        deploy = "binsight deploy sagemaker"
        raise BadInput(f"{error}; where another version deployed the pipeline, deploy it again: {deploy}") from None
    return str(answer["PipelineExecutionArn"])


def _wait_until_ended(execution: str, home: Home) -> None:
    told = ""
    while True:
        steps = steps_of(execution, home.aws)
        if steps.line != told:
            told = steps.line
            home.say(told)
        if steps.is_over:
            return
        time.sleep(home.pace.step_s)
