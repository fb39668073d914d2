"""`binsight audit counts`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from binsight.cli.options import json_option, print_errors, print_json, require_extra, who
from binsight.errors import BadInput

if TYPE_CHECKING:
    from binsight.audit.mapping import Mapping
    from binsight.audit.spool import RowProblem


@click.command()
@click.argument("counts", type=click.Path(path_type=Path), required=False)
@click.option(
    "--audit", metavar="ID", help="Instead of a file: what was settled on the console for this audit, once."
)
@click.option("--again", is_flag=True, help="With --audit: what went out before, too.")
@click.option(
    "--mapping", default="generic", show_default=True, metavar="NAME|FILE", help="In whose columns the counts are."
)
@click.option("--to", required=True, metavar="NAME|FILE", help="In whose columns they are wanted.")
@click.option("--encoding", metavar="NAME", help="The CSV's encoding, where it is not Unicode: cp1252 for one.")
@click.option("--sheet", metavar="NAME", help="The XLSX's sheet.  [default: the first]")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The file: .csv or .xlsx.")
@json_option
def counts(
    counts: Path | None,
    audit: str | None,
    again: bool,
    mapping: str,
    to: str,
    encoding: str | None,
    sheet: str | None,
    out: Path,
    as_json: bool,
) -> None:
    """Write people's counts in the columns in which a stock system takes them.

    COUNTS is a CSV or XLSX file in the shape in which the mapping's system takes counts (generic: bin_id, counted_qty and
    more); or --audit names an audit whose tasks people counted: their counts that nobody is to repeat go out, each once,
    which the journal notes. Then OUT must not be there yet, unless with --again, and is not written where there is nothing
    to post. What the other system has no column for is left out, and what it wants and the file has not is empty.

    The result is a file that the system imports, without formulas. Ends non-zero where a line had to be left out, which
    is named with row and column, or a bin of several items, of which a count says only the total.
    """
    require_extra("audit", "writing counts")
    if (counts is None) == (audit is None):
        raise BadInput("counts come from a file or from an audit; give COUNTS or --audit, one of them")
    from binsight.audit.mapping import load_mapping

    target = load_mapping(to)
    if counts is None:
        number, problems = _from_console(audit or "", target, out, again=again)
    else:
        number, problems = _from_file(counts, load_mapping(mapping), target, out, encoding, sheet)
    is_written = counts is not None or number > 0
    if as_json:
        print_json({"out": str(out) if is_written else None, "counts": number, "problems": problems})
    else:
        click.echo(f"{out}: {number:,} counts" if is_written else f"nothing to post; {out} was not written")
    if print_errors(problems):
        sys.exit(1)


def _from_console(audit: str, target: "Mapping", out: Path, *, again: bool) -> tuple[int, list[str]]:
    """Write what was settled of an audit, where there is anything: how many counts, and what was left out."""
    from binsight.audit.command import opened_ledger
    from binsight.audit.posting import post_counts

    with opened_ledger() as ledger:
        posted = post_counts(ledger, audit, target, out, by=who(), again=again)
    return len(posted.tasks), posted.left_out


def _from_file(
    counts: Path, source: "Mapping", target: "Mapping", out: Path, encoding: str | None, sheet: str | None
) -> tuple[int, list[str]]:
    """Write the counts of a file: how many, and what was left out."""
    from binsight.audit.counts import read_counts, write_counts

    problems: list[RowProblem] = []
    read = read_counts(counts, source, problems.append, encoding=encoding, sheet=sheet)
    return write_counts(out, target, read), [one.sentence for one in problems]
