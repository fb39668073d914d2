"""`binsight data inspect`."""

import os
from pathlib import Path
from typing import Any

import click

from binsight.cli.options import json_option, print_json, require_extra


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="CSV with image_id or photo, count, and any further columns; its counts win over the records.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the report.  [default: DIR-report]")
@click.option("--jobs", type=click.IntRange(min=1), help="Processes that open photos.  [default: one per core]")
@click.option(
    "--no-labels",
    is_flag=True,
    help="Do not read bin labels from the photos, which takes most of the time.",
)
@json_option
def inspect(
    folder: Path, labels: Path | None, out: Path | None, jobs: int | None, no_labels: bool, as_json: bool
) -> None:
    """Look at photos and records: an HTML report.

    The result is a folder with index.html, one page that needs no other file, and a CSV file beside every plot
    and table. DIR holds bin-images/ and metadata/, or is any folder with photos in it.
    """
    require_extra("data", "inspecting photos")
    from binsight.dataset.inspect import inspect_folder

    if out is None:
        resolved = folder.resolve()
        out = resolved.with_name(f"{resolved.name}-report")
    summary = inspect_folder(
        folder, out, labels=labels, jobs=jobs or os.cpu_count() or 1, read_labels=not no_labels
    )
    if as_json:
        print_json(summary)
    else:
        click.echo(_told(summary))


def _told(summary: dict[str, Any]) -> str:
    lines = [
        "{photos:,} photos, {unreadable:,} of them unreadable; {records:,} records",
        "{exact_duplicates:,} copies, {near_duplicates:,} near-identical pairs, {twins:,} before/after twins",
        "{bin_labels:,} bin labels read; {records_not_adding_up:,} records that do not add up",
    ]
    lines = [line.format_map(summary) for line in lines]
    if summary["problems"]:
        named = ", ".join(f"{number:,} {reason}" for reason, number in summary["problems"].items())
        lines.append(f"problems: {named}")
    return "\n".join([*lines, summary["report"]])
