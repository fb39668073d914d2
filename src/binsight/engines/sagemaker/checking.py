"""A strict check of calls against AWS's own description of its services, as botocore carries it.

botocore itself looks at names, types and the least values; what is too long, too large, misspelt or no member of an
enumeration goes out and comes back as an error, half a deployment later. Here nothing goes out.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from binsight.engines.sagemaker.calls import Call
from binsight.errors import BadInput, MissingExtra

KINDS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
    "blob": (bytes, str),
}


def check(calls: Iterable[Call]) -> None:
    """Raises `BadInput` with everything that AWS would refuse in these calls for its form."""
    wrong = [f"{call.service} {call.operation}: {fault}" for call in calls for fault in faults(call)]
    if wrong:
        raise BadInput(f"AWS would refuse this: {'; '.join(wrong)}; change deploy.toml")


def faults(call: Call) -> list[str]:
    """What is wrong in a call, each with the path of the value. `Wild` values may stand for anything."""
    model = _service(call.service)
    if call.operation not in model.operation_names:
        return [f"there is no operation {call.operation}"]
    shape = model.operation_model(call.operation).input_shape
    return list(_faults(shape, call.arguments, "")) if shape is not None else []


def shape_faults(service: str, shape: str, value: Any) -> list[str]:
    """As `faults`, for a value of a named shape."""
    return list(_faults(shape_of(service, shape), value, ""))


def shape_of(service: str, shape: str) -> Any:
    """botocore's own description of a named shape."""
    return _service(service).shape_for(shape)


class Wild:
    """A value that only AWS will know: it fits anywhere."""


@cache
def _service(name: str) -> Any:
    try:
        from botocore.session import get_session
    except ImportError:
        raise MissingExtra("checking calls of AWS", extra="aws") from None
    return get_session().get_service_model(name)


def _faults(shape: Any, value: Any, path: str) -> Iterator[str]:
    if isinstance(value, Wild):
        return
    kind = shape.type_name
    where = path or "the arguments"
    if kind == "structure":
        yield from _structure(shape, value, path, where)
    elif kind == "list":
        if not isinstance(value, list | tuple):
            yield f"{where} must be a list, but is {value!r}"
            return
        yield from _bounds(shape, len(value), where, "entries")
        for place, one in enumerate(value):
            yield from _faults(shape.member, one, f"{path}[{place}]")
    elif kind == "map":
        if not isinstance(value, Mapping):
            yield f"{where} must be a mapping, but is {value!r}"
            return
        yield from _bounds(shape, len(value), where, "entries")
        for name, one in value.items():
            yield from _faults(shape.key, name, f"{where} (the name {name})")
            yield from _faults(shape.value, one, f"{path}.{name}")
    elif kind in KINDS:
        yield from _scalar(shape, kind, value, where)


def _structure(shape: Any, value: Any, path: str, where: str) -> Iterator[str]:
    if getattr(shape, "is_document_type", False):
        return
    if not isinstance(value, Mapping):
        yield f"{where} must be a mapping, but is {value!r}"
        return
    for name in shape.required_members:
        if name not in value:
            yield f"{where} lacks {name}"
    if getattr(shape, "is_tagged_union", False) and len(value) != 1:
        yield f"{where} must have exactly one of {', '.join(shape.members)}, but has {len(value)}"
    for name, one in value.items():
        if name not in shape.members:
            yield f"{where} has no member {name}"
        else:
            yield from _faults(shape.members[name], one, f"{path}.{name}" if path else name)


def _scalar(shape: Any, kind: str, value: Any, where: str) -> Iterator[str]:
    if not _is_a(value, kind):
        yield f"{where} must be of type {kind}, but is {value!r}"
        return
    if kind in ("string", "blob"):
        yield from _bounds(shape, len(value), where, "characters" if kind == "string" else "bytes")
    elif kind != "boolean":
        yield from _bounds(shape, value, where, "")
    if kind == "string":
        enum = getattr(shape, "enum", None)
        if enum and value not in enum:
            yield f"{where} is {value!r}, which is none of its {len(enum)} values"
        pattern = shape.metadata.get("pattern")
        if pattern and not _expression(pattern).fullmatch(value):
            yield f"{where} is {value[:80]!r}, which does not match {pattern}"


def _is_a(value: Any, kind: str) -> bool:
    """Python takes True for a number; AWS does not."""
    return isinstance(value, KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _bounds(shape: Any, size: float, where: str, unit: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        yield f"{where} must have at least {least} {unit}, but has {size}".replace(" ,", ",")
    if most is not None and size > most:
        yield f"{where} must have at most {most} {unit}, but has {size}".replace(" ,", ",")


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    """AWS writes Java's expressions: what Python writes otherwise, or not at all, is written anew."""
    for theirs, ours in _REWRITTEN:
        pattern = pattern.replace(theirs, ours)
    return re.compile(re.sub(r"\[(?:\\.|[^\]])*\]|\\p\{\w+\}", _class, pattern))


def _class(found: re.Match[str]) -> str:
    """A class of Java's, be it in brackets or by itself."""
    inner = re.sub(r"\\p\{(\w+)\}", lambda one: _CLASSES[one[1]], found[0])
    return inner if found[0].startswith("[") else f"[{inner}]"


_REWRITTEN = (
    (r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF"),  # pairs of surrogates
    ("${1,", "{1,"),
    (r"[\w-_]", r"[\w\-]"),
)
_CLASSES = {
    "L": r"\w",
    "N": r"\d",
    "Nd": r"\d",
    "Zs": r" ",
    "Alnum": r"A-Za-z0-9",
    "Z": r"\s",
    "S": r"$+<=>^`|~",
    "P": r"!-/:-@\[-`{-}",
    "M": r"\u0300-\u036f",
    "ASCII": r"\x00-\x7f",
    "Graph": r"!-~",
    "Print": r" -~",
}
"""A little wider than theirs: a letter may be a digit here. Nothing that they take is refused."""
