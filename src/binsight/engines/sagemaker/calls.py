"""What is asked of AWS, as plain data: one call, and one thing that AWS keeps for us."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

TAG = "binsight:deployment"
"""Everything that can bear a tag bears this one, with the deployment's name: what is ours can be told from what is not."""

Arguments = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call. `service` is boto3's name of it, `operation` AWS's own: `sagemaker`, `CreateModel`."""

    service: str
    operation: str
    arguments: Arguments

    def as_json(self) -> dict[str, Any]:
        """For a line of `--dry-run`: bytes as their size and checksum."""
        shown = json.loads(json.dumps(dict(self.arguments), default=_shown))
        return {"service": self.service, "operation": self.operation, "arguments": shown}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """How to tell that a thing is as it was asked to be: the fields `status` of what seeing it answers.

    `busy` are the values that pass, `broken` those with which it can only be removed; all others are good. `reason` is
    the field that says why.
    """

    status: tuple[str, ...]
    busy: tuple[str, ...]
    broken: tuple[str, ...] = ()
    reason: str = "FailureReason"


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One thing that AWS keeps for us.

    `see` fails where it is not there, or answers nothing in the list `listed`; None where making it twice is the same as
    once. `change` brings one that is there to what is wanted; nothing to do where its name says its content. Where the
    fields `same` of what `see` answers have these values, it is as wanted, and where they have not after a change that
    is `ready`, the change was taken back. What `see` answers goes into the argument `beside` of the change, below what
    stands there. `remove` is empty for what is not ours to remove; `stays` then says what becomes of it. `resource` is
    the same for CloudFormation: type and properties; None where a template cannot hold it.
    """

    kind: str
    name: str
    see: Call | None = None
    make: tuple[Call, ...] = ()
    change: tuple[Call, ...] = ()
    remove: tuple[Call, ...] = ()
    same: Arguments = field(default_factory=dict)
    ready: Ready | None = None
    stays: str = ""
    listed: str = ""
    beside: str = ""
    resource: tuple[str, Arguments] | None = None

    @property
    def title(self) -> str:
        """`endpoint bins`."""
        return f"{self.kind} {self.name}"

    @property
    def wanted(self) -> tuple[Call, ...]:
        """The calls on an empty account."""
        return self.make or self.change


def digest(value: Any) -> str:
    """Twelve hexadecimal digits of plain data: the end of a name that says its content."""
    return sha256(json.dumps(value, sort_keys=True, default=_shown).encode()).hexdigest()[:12]


def tags(name: str, further: Mapping[str, str], *, key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    """The tags of everything that belongs to the deployment `name`."""
    return [{key: tag, value: text} for tag, text in sorted(({TAG: name} | dict(further)).items())]


def at(answer: Any, path: str) -> Any:
    """The value at a dotted path of an answer; None where there is none."""
    for part in path.split("."):
        if not isinstance(answer, Mapping):
            return None
        answer = answer.get(part)
    return answer


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        return f"<{len(value):,} bytes, sha256 {sha256(value).hexdigest()[:12]}>"
    raise TypeError(f"{type(value).__name__} is no plain data")
