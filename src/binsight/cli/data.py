"""`binsight data …`: fetch, inspect, prepare, pack, suspects."""

import click

from binsight.cli import LazyGroup

COMMANDS = {
    "fetch": ("binsight.cli.data_fetch:fetch", "Fetch photos and their records into a folder; resumable."),
    "inspect": ("binsight.cli.data_inspect:inspect", "Look at photos and records: an HTML report."),
    "prepare": ("binsight.cli.data_prepare:prepare", "Make a dataset: checked, split by bin chain."),
    "pack": ("binsight.cli.data_pack:pack", "Pack a dataset into shards, in a folder or a bucket."),
    "suspects": (
        "binsight.cli.data_suspects:suspects",
        "Rank labelled photos whose record is probably wrong.",
    ),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def data() -> None:
    """Fetch, inspect, prepare and pack photos and records; find doubtful ones."""
