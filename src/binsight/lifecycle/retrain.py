"""A retraining from beginning to end, or on from where one was killed.

```
turn ─▶ one under way? ──yes──────────────────────────────────────┐
             └─no─▶ due? ─▶ anything new? ─▶ plan, for good ──────┴─▶ steps ─▶ alias moved once, or not ─▶ ended
```
Every step and the move itself can be cut off anywhere, and the next `binsight retrain` goes on. Nothing is promoted but by
the last step, and that by compare-and-swap.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from binsight.counting.registry import Registry
from binsight.errors import BinsightError, ChangedMeanwhile, Stopped
from binsight.lifecycle.artifacts import key_of
from binsight.lifecycle.beginning import (
    DATE,
    begin,
    champion_of,
    labels_for,
    look,
    recipe_text_of,
    tell_begun,
    terms_digest,
)
from binsight.lifecycle.plan import RECIPE, Plan, end_plan, folder_id, read_plan, working_in, write_plan
from binsight.lifecycle.runner import Done, Runner, Say
from binsight.lifecycle.steps import STEPS
from binsight.lifecycle.terms import Terms
from binsight.lifecycle.turn import Held, holding
from binsight.lifecycle.verdict import frozen_set
from binsight.records import CHAMPION
from binsight.storage.api_key import stamp
from binsight.storage.ledger import Ledger, Marks, Pointed, Retrainings
from binsight.storage.ledger.retrainings import DECIDED, DROPPED, FAILED, OPEN, RUNNING

NOTHING_TO_DO = "nothing_to_do"
ARN = "arn:"
"""So begins the place of a retraining that is done on AWS; at home it is a folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How it ended: `state` is one of the ledger's, or `nothing_to_do`; `num_done` steps were done now, others before."""

    state: str
    sentence: str
    id: str = ""
    challenger: str | None = None
    num_done: int = 0


def retrain(
    terms: Terms,
    work: Path,
    registry: Registry,
    ledger: Ledger,
    *,
    by: str,
    say: Say,
    when_due: bool = False,
    anyway: bool = False,
    after_step: Callable[[Done], None] = lambda _: None,
) -> Ended:
    """Retrain in the work folder; what is under way there is gone on with, whether another is due or not.

    Raises `ChangedMeanwhile` where another retraining runs, or moved the champion; and whatever a step raises, once the
    ledger knows that it failed. The same call goes on from there.
    """
    with working_in(work), holding(ledger, folder_id(work), work, say) as held:
        champion = champion_of(registry)
        plan = under_way(terms, work, ledger, champion, say, place=str(work.resolve()))
        if plan is None:
            labels = labels_for(terms)
            verdict = look(terms, ledger, champion, labels)
            if when_due and not verdict.is_due:
                return Ended(state=NOTHING_TO_DO, sentence=verdict.sentence)
            why = verdict.sentence if when_due else "asked for"
            beginning = begin(terms, registry, ledger, champion, labels, work, why=why, anyway=anyway)
            if beginning.plan is None:
                return Ended(state=NOTHING_TO_DO, sentence=beginning.sentence)
            frozen_set(terms.data.promotion, judging(terms), ledger, by=by)
            plan = beginning.plan
            write_plan(work, plan, beginning.recipe)
        tell_begun(ledger, plan, place=str(work.resolve()), by=by)
        try:
            return _through(terms, work, plan, registry, ledger, held, by=by, say=say, after_step=after_step)
        except BinsightError as error:
            _tell_failed(ledger, work, plan, error)
            raise


def under_way(terms: Terms, work: Path, ledger: Ledger, champion: Pointed, say: Say, *, place: str) -> Plan | None:
    """The retraining that a kill left here; None where there is none, or it began with something else.

    Raises `ChangedMeanwhile` where it is done in another place: on SageMaker it may still run.
    """
    plan = read_plan(work)
    if plan is None:
        return None
    row = Retrainings(ledger).get(plan.id)
    if row is not None and row.state in (*DECIDED, DROPPED):
        end_plan(work, plan)
        return None
    if row is not None and row.place != place and ARN in (row.place[:4], place[:4]):
        here = "--on sagemaker" if row.place.startswith(ARN) else "--on local"
        raise ChangedMeanwhile(
            f"the retraining that is under way in {work} is done at {row.place}; go on with it by {here}, or choose "
            "another folder (--work)"
        )
    why = ""
    if plan.terms_sha256 != terms_digest(terms, recipe_text_of(terms)):
        why = "its terms or its recipe were changed"
    elif (plan.champion, plan.revision) != (champion.version, champion.revision) and not _moved_by(
        plan, row, champion
    ):
        why = f"the champion was {plan.champion} when it began, and is {champion.version}"
    if why:
        say(f"the retraining that was under way here is given up: {why}; what it made is used where it fits")
        if row is not None:
            Retrainings(ledger).change(plan.id, state=DROPPED, sentence=why)
        end_plan(work, plan)
        return None
    say(f"going on with the retraining {plan.id}")
    return plan


def _moved_by(plan: Plan, row: Any, champion: Pointed) -> bool:
    """Whether the champion's one move since is this retraining's own, made right before it was killed."""
    return champion.revision == plan.revision + 1 and (row is None or row.step == "conclude")


def _through(
    terms: Terms,
    work: Path,
    plan: Plan,
    registry: Registry,
    ledger: Ledger,
    held: Held,
    *,
    by: str,
    say: Say,
    after_step: Callable[[Done], None],
) -> Ended:
    rows = Retrainings(ledger)
    seen = Pointed(alias=CHAMPION, version=plan.champion, revision=plan.revision)
    runner = Runner(
        work=work.resolve(),
        id=plan.id,
        parameters=parameters(terms, plan),
        open={
            "rows": plan.rows,
            "learned": plan.learned,
            "ledger": ledger,
            "registry": registry,
            "champion": seen,
            "by": by,
        },
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
    num_done = 0
    for place, step in enumerate(STEPS, 1):
        if step.acts:
            held.check()
        rows.change(plan.id, step=step.name)
        say(f"{place}/{len(STEPS)} {step.name}")
        done = runner.run(step)
        num_done += not done.was_done
        if done.was_done:
            say(f"{place}/{len(STEPS)} {step.name}: done before")
        after_step(done)
    return _ended(terms, work, plan, ledger, runner, num_done)


def parameters(terms: Terms, plan: Plan) -> Mapping[str, Any]:
    """What the steps' results depend on beside their inputs."""
    return {
        "counts": key_of({"rows": list(plan.rows)}),
        "joining": {
            "split": terms.data.split,
            "columns": terms.data.columns,
            "most_weight": terms.data.most_weight,
        },
        "judging": judging(terms),
        "threads": plan.threads,
        "export": terms.export.model_dump(mode="json"),
        "compare": terms.compare,
        "conclude": {"better": terms.after.better},
        "id": plan.id,
        "champion_revision": plan.revision,
    }


def judging(terms: Terms) -> Mapping[str, Any]:
    """Which photos judge."""
    data = terms.data
    return {
        "split": data.split,
        "where": {name: list(values) for name, values in data.where.items()},
        "name": data.name,
    }


def _ended(terms: Terms, work: Path, plan: Plan, ledger: Ledger, runner: Runner, num_done: int) -> Ended:
    folder = runner.made["outcome"]
    assert folder is not None
    outcome = json.loads((folder / "outcome.json").read_text(encoding="utf-8"))
    reasons = "; ".join(outcome["reasons"])
    Retrainings(ledger).change(
        plan.id,
        state=outcome["state"],
        sentence=reasons,
        challenger=runner.identities["challenger"],
        watch=OPEN if outcome["alias"] else None,
        alias=outcome["alias"],
        revision=outcome["revision"],
        outcome={**outcome, "limits": terms.after.watch.model_dump(mode="json")},
    )
    Marks(ledger).set(DATE, stamp(datetime.now(UTC)))
    end_plan(work, plan)
    return Ended(
        state=outcome["state"],
        sentence=reasons,
        id=plan.id,
        challenger=runner.identities["challenger"],
        num_done=num_done,
    )


def _tell_failed(ledger: Ledger, work: Path, plan: Plan, error: BinsightError) -> None:
    """Keep why it stands still, if the ledger can be told; one that others overtook has ended."""
    state = RUNNING if isinstance(error, Stopped) else FAILED
    if isinstance(error, ChangedMeanwhile):
        state = DROPPED
        end_plan(work, plan)
    with suppress(BinsightError):
        Retrainings(ledger).change(plan.id, state=state, sentence=str(error))
