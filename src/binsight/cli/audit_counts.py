"""`binsight audit counts`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from binsight.cli.options import json_option, print_json, require_extra

if TYPE_CHECKING:
    from binsight.audit.spool import RowProblem


@click.command()
@click.argument("counts", type=click.Path(path_type=Path))
@click.option(
    "--mapping", default="generic", show_default=True, metavar="NAME|FILE", help="In whose columns the counts are."
)
@click.option("--to", required=True, metavar="NAME|FILE", help="In whose columns they are wanted.")
@click.option("--encoding", metavar="NAME", help="The CSV's encoding, where it is not Unicode: cp1252 for one.")
@click.option("--sheet", metavar="NAME", help="The XLSX's sheet.  [default: the first]")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The file: .csv or .xlsx.")
@json_option
def counts(
    counts: Path, mapping: str, to: str, encoding: str | None, sheet: str | None, out: Path, as_json: bool
) -> None:
    """Write people's counts in the columns in which a stock system takes them.

    COUNTS is a CSV or XLSX file in the shape in which the mapping's system takes counts (generic: bin_id, counted_qty and
    more). What the other system has no column for is left out, and what it wants and the file has not is empty.

    The result is a file that the system imports, without formulas. Ends non-zero where a line had to be left out, which
    is named with row and column.
    """
    require_extra("audit", "writing counts")
    from binsight.audit.counts import read_counts, write_counts
    from binsight.audit.mapping import load_mapping

    problems: list[RowProblem] = []
    source, target = load_mapping(mapping), load_mapping(to)
    number = write_counts(out, target, read_counts(counts, source, problems.append, encoding=encoding, sheet=sheet))
    if as_json:
        print_json({"out": str(out), "counts": number, "problems": [one.sentence for one in problems]})
    else:
        click.echo(f"{out}: {number:,} counts")
    for one in problems:
        click.echo(f"error: {one.sentence}", err=True)
    if problems:
        sys.exit(1)
