"""Tasks for programs: a stock system reads what is to be counted, gives bins out, and sends its people's counts in.

Part of the service's own API (`/v1/tasks`), with its keys, errors and description. What is read here says what records
say: it is for systems, and no page for those who count. So it asks for a key on this machine too, where the rest of the
API needs none.
"""

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Header, Query
from pydantic import BaseModel, Field
from starlette.requests import Request

from binsight.errors import BadInput
from binsight.service.access import needs
from binsight.service.answers import ErrorAnswer
from binsight.service.integrators import ERRORS as OF_THE_SERVICE
from binsight.storage.api_key import TASKS

if TYPE_CHECKING:
    from binsight.console.task_work import TaskWork
    from binsight.storage.ledger import Task

router = APIRouter(prefix="/v1", tags=["Tasks"])
TASKS_AT = "/v1/tasks"
"""Where all of them are."""
MOST = 500
ERRORS: dict[int | str, dict[str, Any]] = {
    **OF_THE_SERVICE,
    **{status: {"model": ErrorAnswer} for status in (409, 422)},
}


class TaskAnswer(BaseModel):
    """A bin that is to be counted, or was. `quantity` is what was found, where that is settled."""

    id: str
    audit: str
    bin_id: str
    site: str
    aisle: str
    state: str = Field(
        description="count, recount or approve; matched, confirmed, approved, rejected or cancelled."
    )
    quantity: int | None


class TasksAnswer(BaseModel):
    """Tasks in walking order; `next` is the cursor of the next page, null on the last."""

    tasks: list[TaskAnswer]
    next: str | None


class CountMade(BaseModel):
    """One count of a task that stands."""

    counted: int
    by: str
    at: str = Field(description="UTC, ISO 8601.")
    where: str = Field(description="photo, or bin.")
    comment: str


class TaskDetail(TaskAnswer):
    """A task with its record and its counts."""

    expected: int
    verdict: str
    reason: str
    counts: list[CountMade]


class GiveOut(BaseModel):
    """Bins of an audit that are to be counted, by their ids: at one site, or wherever bins are called so."""

    audit: str = Field(max_length=36)
    site: str | None = Field(None, max_length=200, description="As the records have it; every site by default.")
    bins: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(min_length=1, max_length=MOST)


class GivenOut(BaseModel):
    """How many tasks were made; bins that wait already, for this audit or another, keep the task that they have."""

    created: int
    there_already: int
    unknown: list[str]


class SendCount(BaseModel):
    """A person's count at the bin. `by` is that person's name in your system: another person must recount."""

    counted: int = Field(ge=0, le=1_000_000)
    by: str = Field(min_length=1, max_length=90)
    comment: str = Field("", max_length=1000)


class CountAnswer(BaseModel):
    """What came of it: the task's state after the count. `was_there`: this count had been sent before."""

    task: str
    state: str
    quantity: int | None
    was_there: bool


@router.get("/tasks", responses=ERRORS, dependencies=[needs(TASKS)])
def tasks(
    request: Request,
    state: Annotated[list[str] | None, Query(description="One state or several; all by default.")] = None,
    audit: str | None = None,
    site: str | None = None,
    aisle: str | None = None,
    after: Annotated[str, Query(description="`next` of the page before.")] = "",
    most: Annotated[int, Query(ge=1, le=MOST)] = 100,
) -> TasksAnswer:
    """Tasks, page by page."""
    found = _work(request).find(
        states=state or (), audit=audit, site=site, aisle=aisle, after=_cursor(after), most=most + 1
    )
    last = found[most - 1] if len(found) > most else None
    return TasksAnswer(
        tasks=[TaskAnswer(**_shown(one)) for one in found[:most]],
        next=None if last is None else f"{last.rank}:{last.id}",
    )


@router.post("/tasks", responses=ERRORS, dependencies=[needs(TASKS)])
def give_out(request: Request, wanted: GiveOut) -> GivenOut:
    """Give bins of an audit out as tasks. Sent again, it makes none twice."""
    made = _work(request).give_out(wanted.audit, wanted.bins, site=wanted.site, by=_who(request))
    return GivenOut(created=made.created, there_already=made.there_already, unknown=list(made.unknown))


@router.get("/tasks/{task_id}", responses=ERRORS, dependencies=[needs(TASKS)])
def task(request: Request, task_id: str) -> TaskDetail:
    """One task, with record and counts: not for those who are to count it."""
    detail = _work(request).detail(task_id)
    return TaskDetail(
        **_shown(detail.task),
        expected=detail.line.expected,
        verdict=detail.line.verdict,
        reason=detail.line.reason,
        counts=[
            CountMade(counted=one.counted, by=one.user, at=one.counted_at, where=one.where, comment=one.comment)
            for one in detail.standing
        ],
    )


@router.post("/tasks/{task_id}/counts", responses=ERRORS, dependencies=[needs(TASKS)])
def send_count(
    request: Request,
    task_id: str,
    sent: SendCount,
    idempotency_key: Annotated[str, Header(min_length=8, max_length=100)],
) -> CountAnswer:
    """Send a person's count in. `Idempotency-Key` names it: sent again with the same, it counts once."""
    who = f"{_who(request)}/{sent.by}"
    after, was_there = _work(request).count(
        task_id, sent.counted, by=who, key=idempotency_key, comment=sent.comment
    )
    return CountAnswer(task=task_id, state=after.state, quantity=after.quantity, was_there=was_there)


def _work(request: Request) -> "TaskWork":
    """What does it, opened when it is first asked for: a service that only counts loads no ledger."""
    from binsight.console.task_work import TaskWork

    state = request.app.state
    if state.task_work is None:
        state.task_work = TaskWork.open(state.settings.ledger)
    work: TaskWork = state.task_work
    return work


def _who(request: Request) -> str:
    """Whose key it is; on a service that is said to be open to all, whoever reaches it."""
    key = request.state.key
    return "anybody" if key is None else str(key.name)


def _shown(one: "Task") -> dict[str, Any]:
    return {name: getattr(one, name) for name in TaskAnswer.model_fields}


def _cursor(text: str) -> tuple[int, str] | None:
    if not text:
        return None
    rank, colon, task_id = text.partition(":")
    if not (colon and rank.isascii() and rank.isdigit() and len(rank) < 19):
        raise BadInput(f"`after` must be `next` of the page before, but is {text[:40]!r}; begin without it")
    return int(rank), task_id
