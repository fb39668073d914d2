"""An audit's bins as tasks that people do: made of its plan, and what follows from their counts."""

from collections.abc import Collection, Iterable
from typing import Any

from pydantic import ValidationError

from binsight.audit.plan import Task as Planned
from binsight.decision.recounts import APPROVED, CONFIRMED, MATCHED, RECOUNT, Policy, after_counts
from binsight.errors import BadInput
from binsight.storage.ledger import Audit, Detail, Follows, Ledger, NewTask, Policies, TaskRows
from binsight.storage.ledger.tasks import PLANNED, RANDOM, record_of

FOUND = (MATCHED, CONFIRMED, APPROVED)
"""How a task ends whose quantity is written to the stock."""


def make_tasks(
    ledger: Ledger, audit: Audit, planned: Iterable[Planned], *, drawn: Collection[int] = (), by: str
) -> int:
    """Tasks of a plan, in its order; how many, which may be fewer: a bin that waits since an earlier audit keeps that task
    where it was drawn by lot or somebody counted it, and else has the new one instead.

    `drawn` are the lines among them that were drawn at random: the ledger knows which, nobody who counts does.
    Raises `ChangedMeanwhile` where some of them have tasks already.
    """
    new = (
        NewTask(
            place=one.line,
            origin=RANDOM if one.line in drawn else PLANNED,
            site=one.site,
            aisle=one.aisle,
            bin_id=one.bin_id,
            from_photo=True,
        )
        for one in planned
    )
    return TaskRows(ledger).create(audit.id, new, by=by)


def policy_of(ledger: Ledger) -> Policy:
    """The policy in force, or the usual one where nobody set any."""
    newest = Policies(ledger).newest()
    return Policy() if newest is None else read_policy(newest.body)


def read_policy(body: Any) -> Policy:
    """A policy of what was given. Raises `BadInput` naming each field that is at fault."""
    try:
        return Policy.model_validate(body)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise BadInput(f"this is no policy ({wrong}); correct it") from None


def follows(detail: Detail, policy: Policy) -> Follows:
    """What follows from the counts of a task that stand."""
    record = record_of(detail.line)
    state = after_counts(
        [one.counted for one in detail.standing],
        expected=detail.line.expected,
        tolerance=policy.tolerance_of(
            items=record.get("skus", ()), item_class=record.get("item_class"), site=record.get("site")
        ),
        unit_value=record.get("unit_value"),
        policy=policy,
    )
    return Follows(
        state=state,
        quantity=detail.standing[-1].counted if state in FOUND else None,
        from_photo=detail.task.from_photo and not (state == RECOUNT and policy.recount_at_bin),
    )
