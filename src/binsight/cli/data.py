"""`binsight data …`: fetch, inspect, prepare, suspects."""

import click

from binsight.cli import LazyGroup

COMMANDS = {
    "fetch": ("binsight.cli.data_fetch:fetch", "Fetch photos and their records into a folder; resumable."),
    "inspect": ("binsight.cli.data_inspect:inspect", "Look at photos and records: an HTML report."),
    "prepare": ("binsight.cli.data_prepare:prepare", "Make a dataset: checked, split by bin chain."),
    "suspects": (
        "binsight.cli.data_suspects:suspects",
        "Rank labelled photos whose record is probably wrong.",
    ),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def data() -> None:
    """Fetch, inspect and prepare photos and records; find doubtful ones."""
