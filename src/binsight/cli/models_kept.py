"""`binsight models show | prune`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from binsight.cli.models import open_registry
from binsight.cli.options import json_option, print_json, who
from binsight.errors import GateFailed

if TYPE_CHECKING:
    from binsight.counting.registry import Registry
    from binsight.storage.ledger import ModelVersion


_ONE_OF = {"aliases": "alias", "children": "child", "moves": "move", "decisions": "decision"}
"""What a line for one of several is called."""


@click.command()
@click.argument("version")
@json_option
def show(version: str, as_json: bool) -> None:
    """Show what is known of a registered bundle.

    The result is where it comes from (dataset, recipe, code, first weights, the version it began with, who registered it),
    the aliases that point at it and every move of one, its files, and every decision on it. VERSION may be its beginning
    or an alias.
    """
    registry = open_registry()
    found = _known(registry, registry.resolve(version))
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        if isinstance(value, list):
            for one in value:
                parts = "  ".join(str(part) for part in one.values() if part not in (None, ""))
                click.echo(f"{_ONE_OF[name]:14}  {parts}")
        elif isinstance(value, dict):
            for key, part in value.items():
                click.echo(f"{name:14}  {key}: {part}")
        elif value not in (None, ""):
            click.echo(f"{name.replace('_', ' '):14}  {value}")


def _known(registry: "Registry", version: str) -> dict[str, Any]:
    from binsight.storage.ledger import Promotions

    model: ModelVersion = next(one for one in registry.models.versions() if one.version == version)
    pointed = registry.models.pointed().values()
    files = registry.files(version)
    return asdict(model) | {
        "lineage": dict(model.lineage),
        "children": [
            {"version": one.version, "name": one.name}
            for one in registry.models.versions()
            if one.parent == version
        ],
        "num_files": len(files),
        "num_bytes": sum(info.size for info in files),
        "aliases": [{"alias": one.alias} for one in pointed if one.version == version],
        "moves": [asdict(move) for move in registry.models.moves_of(version)],
        "decisions": [
            {
                "decided_at": row.decided_at[:16],
                "word": row.word,
                "challenger": row.challenger,
                "champion": row.champion,
                "reason": row.record["decision"]["reasons"][0],
                "id": row.id,
            }
            for row in Promotions(registry.models.ledger).decisions(version)
        ],
    }


@click.command()
@click.argument("versions", nargs=-1, metavar="[VERSION]...")
@click.option(
    "--days", type=click.FloatRange(min=0), default=30, show_default=True, help="What was in use so lately is kept."
)
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@json_option
def prune(versions: tuple[str, ...], days: float, dry_run: bool, as_json: bool) -> None:
    """Remove the files of bundles that nothing needs.

    The result is that the files of those versions are gone (all versions, or the named ones), with a line for each that
    says how many bytes that frees, or why they stay: an alias points at it, a rollback would go to it, an alias pointed at
    it within --days, or it was registered within them. Rows of the ledger stay, and a bundle that is registered again has
    its files again. Where a version that was named must stay, it ends non-zero.
    """
    registry = open_registry()
    from binsight.lifecycle.prune import prune as prune_files

    named = [registry.resolve(version) for version in versions]
    freed, kept = 0, []
    for one in prune_files(registry, by=who(), versions=named, days=days, dry_run=dry_run):
        freed += 0 if one.kept else one.num_bytes
        if one.kept and one.version in named:
            kept.append(one)
        if as_json:
            print_json(asdict(one) | {"removed": not one.kept and not dry_run})
        else:
            verb = "would be removed" if dry_run else "removed"
            what = f"kept: {one.kept}" if one.kept else verb
            click.echo(f"{one.version}  {one.name:20}  {one.num_bytes / 1e6:8.1f} MB  {what}")
    if not as_json:
        click.echo(f"{freed / 1e6:.1f} MB {'would be' if dry_run else 'are'} free")
    if kept:
        raise GateFailed(f"{kept[0].version} is kept: {kept[0].kept}; move the alias first, or give fewer --days")
