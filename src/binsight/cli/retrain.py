"""`binsight retrain`."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from binsight.cli.options import json_option, print_json, require_extra, who
from binsight.errors import ChangedMeanwhile

if TYPE_CHECKING:
    from binsight.counting.registry import Registry
    from binsight.lifecycle.retrain import Ended
    from binsight.lifecycle.terms import Terms
    from binsight.storage.ledger import Ledger

NOTHING_TO_DO = 3
"""The exit status where nothing was to be done: a timer need not take it for a failure."""


@click.command()
@click.argument("terms", metavar="TERMS.toml", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    default=Path("retrain"),
    show_default=True,
    help="Folder in which steps keep what they made.",
)
@click.option("--when-due", is_flag=True, help="Only if the terms say that it is due; for cron.")
@click.option("--anyway", is_flag=True, help="Also where nothing is new.")
@click.option(
    "--on",
    "place",
    type=click.Choice(["local", "sagemaker"]),
    default="local",
    show_default=True,
    help="Where it is trained and compared: here, or by the pipeline of deploy.toml, which promotes into its endpoint.",
)
@click.option(
    "--deploy",
    "config",
    type=click.Path(path_type=Path),
    default=Path("deploy.toml"),
    show_default=True,
    help="The deployment, with --on sagemaker.",
)
@json_option
def retrain(
    terms: Path,
    overrides: tuple[str, ...],
    work: Path,
    when_due: bool,
    anyway: bool,
    place: str,
    config: Path,
    as_json: bool,
) -> None:
    """Train a challenger on new counts, and promote it if it is better.

    The result is a decision: the challenger is the champion or the canary now, or the champion stays, and why. Counts that
    people made blind, or added to captures, join the dataset of TERMS.toml, weighted by how likely each bin was to be
    counted, and never photos that judge; a network is trained, evaluated, exported, and compared with the champion on the
    frozen promotion set. KEY=VALUE reaches any field of the terms, such as train.recipe=my.toml or due.counts=500.

    Killed anywhere, the same command goes on; no step that was done is done again. Where another retraining runs, this one
    says so. It ends with status 0 where a decision was made, 3 where there was nothing to do (not due, nothing new, another
    one runs), and else 1.
    """
    require_extra("train", "retraining")
    require_extra("audit", "retraining")
    from binsight.counting.registry import Registry
    from binsight.lifecycle.retrain import retrain as retrain_by
    from binsight.lifecycle.terms import load_terms
    from binsight.settings import settings
    from binsight.storage.ledger import Ledger

    loaded = load_terms(terms, overrides)
    context = click.get_current_context()
    registry = Registry.open()
    context.call_on_close(registry.close)
    ledger = Ledger.open(settings().ledger)
    context.call_on_close(ledger.close)
    asked: dict[str, Any] = {"by": who(), "say": _say, "when_due": when_due, "anyway": anyway}
    try:
        if place == "sagemaker":
            ended = _there(loaded, config, work, registry, ledger, asked)
        else:
            ended = retrain_by(loaded, work, registry, ledger, **asked)
    except ChangedMeanwhile as error:
        click.echo(f"nothing done: {error}", err=True)
        if as_json:
            print_json({"state": "another", "sentence": str(error)})
        sys.exit(NOTHING_TO_DO)
    if as_json:
        print_json(asdict(ended))
    else:
        what = f"{ended.state.replace('_', ' ')}: " if ended.id else ""
        click.echo(f"{what}{ended.sentence}")
    if not ended.id:
        sys.exit(NOTHING_TO_DO)


def _there(
    terms: "Terms", config: Path, work: Path, registry: "Registry", ledger: "Ledger", asked: dict[str, Any]
) -> "Ended":
    require_extra("aws", "retraining on SageMaker")
    from binsight.engines.sagemaker.aws import Aws
    from binsight.engines.sagemaker.deployment import load_deployment
    from binsight.engines.sagemaker.retraining import retrain_there

    d = load_deployment(config)
    return retrain_there(terms, d, work, registry, ledger, Aws(d.region), **asked)


def _say(line: str) -> None:
    click.echo(line, err=True)
