"""Where approvers decide: tasks by state, and one task with all that is known of it."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from binsight.console.access import Deciding, Submitted, whole_number
from binsight.console.evidence import shown_estimate
from binsight.console.pages import STATES, page, to
from binsight.console.state import TheConsole
from binsight.decision.recounts import APPROVED, CANCELLED, REASONS, RECOUNT, REJECTED
from binsight.errors import BadInput

router = APIRouter()
PAGE = 50


@router.get("/tasks")
def tasks_page(
    request: Request, _user: Deciding, console: TheConsole, state: str = "approve", after: str = ""
) -> Response:
    """Tasks of a state, those that wait for a decision first."""
    state = state if state in STATES else "approve"
    found = console.tasks.find(states=(state,), after=_after(after), most=PAGE + 1)
    more = f"{found[PAGE - 1].rank}:{found[PAGE - 1].id}" if len(found) > PAGE else ""
    return page(request, "tasks.html", tasks=found[:PAGE], tally=console.tasks.tally(), state=state, more=more)


@router.get("/tasks/{task_id}")
def task_page(request: Request, _user: Deciding, console: TheConsole, task_id: str) -> Response:
    """One task: record, photo, estimate, counts, and the decision where it waits for one."""
    detail = console.tasks.detail(task_id)
    return page(request, "task.html", detail=detail, **shown_estimate(detail.line))


@router.get("/tasks/{task_id}/photo")
def task_photo(_user: Deciding, console: TheConsole, task_id: str) -> Response:
    """The photo of a task's bin."""
    detail = console.tasks.detail(task_id)
    data, kind = console.photos.of(detail.task.audit, detail.line)
    return Response(data, media_type=kind, headers={"Cache-Control": "private, max-age=600"})


@router.post("/tasks/{task_id}/decide")
def decide(request: Request, form: Submitted, user: Deciding, console: TheConsole, task_id: str) -> Response:
    """Approve a number, reject the counts, have the bin counted again, or cancel."""
    word, reason = form.get("word", ""), form.get("reason", "")
    if word not in (APPROVED, REJECTED, RECOUNT, CANCELLED):
        raise BadInput("a task is approved, rejected, counted again or cancelled; choose one")
    if word == APPROVED and reason not in REASONS:
        raise BadInput("a correction needs a reason of the list; choose one")
    comment = form.get("comment", "").strip()[:1000]
    if reason == "OTHER" and not comment:
        raise BadInput("the reason OTHER needs a comment; say what it is")
    console.counts.decide(
        task_id,
        word,
        user=user.id,
        name=user.name,
        quantity=whole_number(form.get("quantity", "")) if word == APPROVED else None,
        reason=reason if word == APPROVED else "",
        comment=comment,
    )
    return to(request, "/tasks", note="Decided.")


def _after(text: str) -> tuple[int, str] | None:
    rank, _, task = text.partition(":")
    return (int(rank), task) if rank.isascii() and rank.isdigit() and len(rank) < 19 else None
