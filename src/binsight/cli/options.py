"""Options that commands share, and how results are printed."""

import json
from collections.abc import Callable
from typing import Any

import click

json_option: Callable[[Any], Any] = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON lines for scripts instead of text."
)


def print_json(value: Any) -> None:
    """One JSON value on one line of standard output."""
    click.echo(json.dumps(value, separators=(", ", ": ")))
