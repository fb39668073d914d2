"""`binsight retrain`."""

import sys
from dataclasses import asdict
from pathlib import Path

import click

from binsight.cli.options import json_option, print_json, require_extra, who
from binsight.errors import ChangedMeanwhile

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
@json_option
def retrain(
    terms: Path, overrides: tuple[str, ...], work: Path, when_due: bool, anyway: bool, as_json: bool
) -> None:
    """Train a challenger on new counts, and promote it if it is better.

    The result is a decision: the challenger is the champion or the canary now, or the champion stays, and why. Counts that
    people made blind join the dataset of TERMS.toml, weighted by how likely each bin was to be counted, and never photos
    that judge; a network is trained, evaluated, exported, and compared with the champion on the frozen promotion set.
    KEY=VALUE reaches any field of the terms, such as train.recipe=my.toml or due.counts=500.

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
    try:
        ended = retrain_by(
            loaded,
            work,
            registry,
            ledger,
            by=who(),
            say=lambda line: click.echo(line, err=True),
            when_due=when_due,
            anyway=anyway,
        )
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
