"""`binsight models register | list | promote | rollback | retire`; what else is in the group has files of its own."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from binsight.cli import LazyGroup
from binsight.cli.options import json_option, print_json, require_extra, who
from binsight.errors import BadInput

if TYPE_CHECKING:
    from binsight.counting.registry import Registry
    from binsight.storage.ledger import Pointed

COMMANDS = {
    "register": ("binsight.cli.models:register", "Take a bundle into the registry."),
    "list": ("binsight.cli.models:list_models", "List the registered bundles and what they are called."),
    "show": ("binsight.cli.models_kept:show", "Show what is known of a registered bundle."),
    "freeze": ("binsight.cli.models_compare:freeze", "Freeze the photos that challengers are judged on."),
    "compare": ("binsight.cli.models_compare:compare", "Judge a challenger against the champion on frozen photos."),
    "promote": ("binsight.cli.models:promote", "Point an alias at a registered bundle."),
    "rollback": ("binsight.cli.models:rollback", "Point an alias where it pointed before its last move."),
    "retire": ("binsight.cli.models:retire", "Have an alias point nowhere."),
    "prune": ("binsight.cli.models_kept:prune", "Remove the files of bundles that nothing needs."),
    "export-mlflow": (
        "binsight.cli.models_exchange:export_mlflow",
        "Write a registered bundle as an MLflow model.",
    ),
    "import-mlflow": ("binsight.cli.models_exchange:import_mlflow", "Take an MLflow model into the registry."),
    "export-sagemaker": (
        "binsight.cli.models_exchange:export_sagemaker",
        "Write a registered bundle as a SageMaker model package.",
    ),
}

alias_option = click.option("--alias", default="champion", show_default=True, help="The alias to move.")
reason_option = click.option("--reason", default="", help="Why, for the record.")


@click.group(cls=LazyGroup, lazy=COMMANDS)
def models() -> None:
    """Register models, and say which one is in use."""


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@json_option
def register(bundle: Path, as_json: bool) -> None:
    """Take a bundle into the registry.

    The result is a copy of BUNDLE under its version, which is its content's, and a row in the ledger that says who
    registered it and when. Registering it again changes nothing.
    """
    registry = open_registry()
    added = registry.register(bundle, by=who())
    if as_json:
        print_json(asdict(added))
    else:
        click.echo(f"{added.version} ({added.name}) is registered; next: binsight models promote {added.version}")


@click.command("list")
@json_option
def list_models(as_json: bool) -> None:
    """List the registered bundles and what they are called.

    The result is a line for each, the newest first: version, name, when and by whom, and the aliases that point at it;
    of one whose files were removed, that they were.
    """
    registry = open_registry()
    pointed = registry.models.pointed().values()
    for version in registry.models.versions():
        names = [one.alias for one in pointed if one.version == version.version]
        if as_json:
            print_json(asdict(version) | {"aliases": names})
        else:
            row = (version.version, f"{version.name:20}", version.registered_at[:16], version.registered_by)
            removed = [] if version.removed_at is None else [f"(files removed {version.removed_at[:10]})"]
            click.echo("  ".join([*row, *(f"[{name}]" for name in names), *removed]))


@click.command()
@click.argument("version")
@alias_option
@reason_option
@click.option("--expect", metavar="VERSION", help="Only if the alias still points there; `none` for nowhere yet.")
@json_option
def promote(version: str, alias: str, reason: str, expect: str | None, as_json: bool) -> None:
    """Point an alias at a registered bundle.

    The result is the alias at VERSION (its beginning is enough), and a row in the ledger that says who moved it from where.
    Whoever serves the alias changes over within seconds. If somebody else moves it meanwhile, nothing is done; nor where it
    points at VERSION already, so that a rollback still goes to the model of before.
    """
    registry = open_registry()
    seen = registry.pointed(alias)
    if expect is not None and (seen.version if seen else "none") != expect:
        where = f"points at {seen.version}" if seen else "points nowhere"
        raise BadInput(f"{alias} {where}, not at {expect}; look again, then repeat")
    pointed = registry.point(alias, registry.resolve(version), by=who(), reason=reason, seen=seen)
    _tell(pointed, as_json, already=pointed == seen)


@click.command()
@alias_option
@reason_option
@json_option
def rollback(alias: str, reason: str, as_json: bool) -> None:
    """Point an alias where it pointed before its last move.

    The result is the alias at its version of before, and a row in the ledger. A second time brings it back.
    """
    _tell(open_registry().roll_back(alias, by=who(), reason=reason or "rolled back"), as_json)


@click.command()
@click.argument("alias")
@reason_option
@json_option
def retire(alias: str, reason: str, as_json: bool) -> None:
    """Have an alias point nowhere.

    The result is that there is no ALIAS any more, and a row in the ledger that says who took it from where. Whoever
    serves it as the canary or the shadow does without within seconds. The champion cannot be retired; a rollback brings
    others back.
    """
    retired = open_registry().retire(alias, by=who(), reason=reason or "retired")
    if as_json:
        print_json(asdict(retired) | {"version": None, "revision": retired.revision + 1})
    else:
        click.echo(f"{alias} points nowhere; it was {retired.version} (move {retired.revision + 1})")


def open_registry() -> "Registry":
    """The registry that the settings name, closed when the command ends. Raises `MissingExtra` without the ledger."""
    require_extra("ledger", "the registry")
    from binsight.counting.registry import Registry

    registry = Registry.open()
    click.get_current_context().call_on_close(registry.close)
    return registry


def _tell(pointed: "Pointed", as_json: bool, *, already: bool = False) -> None:
    if as_json:
        print_json(asdict(pointed))
    else:
        click.echo(f"{pointed.alias} is {pointed.version}{' already' if already else ''} (move {pointed.revision})")
