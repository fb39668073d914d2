"""Begin a job whose name says what it does: once, and again under the next number where it failed or was stopped.

```
bins-4f0c… ─▶ there already? ─ no ─▶ begun
                  │ yes: how did it end?
                  ├─ Failed, Stopped ─▶ bins-4f0c…-2, -3, …   AWS never frees the name of a job
                  ├─ Stopping, Deleting ─▶ refused: later
                  └─ InProgress, Completed ─▶ begun before
```
"""

from dataclasses import dataclass, replace
from typing import Any

from binsight.engines.sagemaker.aws import Aws, NotThere, ThereAlready
from binsight.engines.sagemaker.calls import Call
from binsight.errors import GateFailed

MOST = 99
"""So often a job is begun at most, and the room that its name leaves for that."""
COMPLETED = "Completed"
_IN_VAIN, _ENDING = ("Failed", "Stopped"), ("Stopping", "Deleting", "DeleteFailed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A job that runs, or has run. `status` is AWS's of one that was begun before; None where it was begun now."""

    name: str
    status: str | None = None


def begin(call: Call, aws: Aws, *, again: bool = False) -> Begun:
    """Begin a job, or say how the same one is that was begun before. `again` begins it also where that has Completed.

    Raises as `Aws.ask` does, and `GateFailed` where the one before is about to end, or where too many have ended in vain.
    """
    field = next(name for name in call.arguments if name.endswith("JobName"))
    first = call.arguments[field]
    for number in range(1, MOST + 1):
        name = first if number == 1 else f"{first}-{number}"
        try:
            aws.ask(replace(call, arguments={**call.arguments, field: name}))
        except ThereAlready:
            status = _status(call, {field: name}, aws)
        else:
            return Begun(name=name)
        if status in _ENDING:
            raise GateFailed(f"the job {name} is {status}; run the same command again once it has ended")
        if status not in (*_IN_VAIN, None) and not (again and status == COMPLETED):
            return Begun(name=name, status=status)
    raise GateFailed(f"the job {first} was begun {MOST} times; look in AWS's console at what becomes of it")


def _status(call: Call, named: dict[str, Any], aws: Aws) -> str | None:
    """How the job of that name is; None where AWS has forgotten it, and kept its name."""
    operation = call.operation.replace("Create", "Describe", 1)
    try:
        answer = aws.ask(Call(service=call.service, operation=operation, arguments=named))
    except NotThere:
        return None
    return str(next(value for name, value in answer.items() if name.endswith("JobStatus")))
