"""Mistakes seeded into calls of AWS's: one in each place of plain data."""

import copy
from collections.abc import Iterator
from typing import Any

from binsight.engines.sagemaker.calls import Call


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every text and number in plain data."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield from places(one, (*path, name))
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from places(one, (*path, number))
    else:
        yield path


def with_value(call: Call, path: tuple[Any, ...], value: Any) -> Call:
    arguments = copy.deepcopy(dict(call.arguments))
    inner: Any = arguments
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    return Call(service=call.service, operation=call.operation, arguments=arguments)
