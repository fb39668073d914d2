"""The steps of a retraining, as data that others can rely on."""

import ast
from importlib import import_module
from pathlib import Path

import click
import pytest

from binsight.cli import cli
from binsight.lifecycle import steps
from binsight.lifecycle.steps import GIVEN, OPTIONAL, STEPS, Step, makers


def test_each_step_needs_what_is_given_or_was_made_before() -> None:
    known = set(GIVEN)
    for step in STEPS:
        assert set(step.needs) <= known, step.name
        assert step.makes not in known
        known.add(step.makes)
    assert GIVEN.keys() >= OPTIONAL
    assert makers()["challenger"].name == "export"


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_its_function_is_there(step: Step) -> None:
    module, name = step.entry.split(":")
    assert callable(getattr(import_module(module), name))


@pytest.mark.parametrize("step", [step for step in STEPS if step.command], ids=lambda step: step.name)
def test_its_command_is_one_and_takes_what_the_step_needs(step: Step) -> None:
    program, *words = step.command
    assert program == "binsight"
    command: click.Command | None = cli
    while isinstance(command, click.Group):
        command = command.get_command(click.Context(command), words.pop(0))
    assert command is not None
    filled = [word.format(**{name: f"/some/{name}" for name in (*step.needs, step.makes)}) for word in words]
    command.make_context("step", filled)  # raises for an option or argument that is not there


def test_the_list_imports_nothing_of_binsight() -> None:
    tree = ast.parse(Path(steps.__file__).read_text())
    modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [module for module in modules if module.startswith("binsight")]
