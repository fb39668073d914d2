"""`binsight audit run`."""

import sys
from pathlib import Path
from typing import Any

import click

from binsight.cli.audit_options import NUMBER, judging_options, photo_options, photos_of, terms_of
from binsight.cli.options import json_option, print_errors, print_json, require_extra, who


@click.command()
@click.argument("records", type=click.Path(path_type=Path))
@click.argument("photos", nargs=-1)
@photo_options
@judging_options
@click.option("--budget", type=NUMBER, metavar="MINUTES", help="Labour for counting.  [default: no limit]")
@click.option("--by-value", is_flag=True, help="Rank bins by the value that counts correct, not by units.")
@click.option(
    "--random-share",
    type=click.FloatRange(0, 1),
    default=0.01,
    show_default=True,
    help="Share of the verified bins that is counted all the same, drawn by lot.",
)
@click.option("--random-all", is_flag=True, help="Draw by lot from all bins, not from the verified alone.")
@click.option(
    "--max-age",
    type=NUMBER,
    default=90,
    show_default=True,
    metavar="DAYS",
    help="An older certificate is suspended.",
)
@click.option("--xlsx", is_flag=True, help="Write the tables as one workbook too, audit.xlsx.")
@click.option("--keep/--no-keep", default=True, show_default=True, help="Keep the audit in the ledger.")
@click.option("--tasks", "give_out", is_flag=True, help="Give the bins to count out as tasks, on the console.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("audit"), show_default=True, help="Its folder."
)
@json_option
def run(
    records: Path, photos: tuple[str, ...], xlsx: bool, keep: bool, out: Path, as_json: bool, **given: Any
) -> None:
    """Compare stock records with photos: a verdict each, bins to count.

    RECORDS is a CSV or XLSX file with a line for each bin, or for each item in it; PHOTOS are files, folders, quoted
    globs and s3:// URLs. A bin's photo is the one that its record names, or else the one called as the bin is.

    The verdicts: verified (only under a certificate for records of that size), suspect (counting the bin is worth more
    than it costs), not_assessable (no photo, a flagged one, or one that is not sure enough), stale (record and photo are
    of different times). With --json each record is a line {"bin_id", "expected", "count", "p_record", "verdict",
    "reason"} and more.

    Nothing is verified under a certificate that is suspended: by people's counts of verified bins drawn by lot, by its
    age, or since the last audit's photos were no longer like those that it is from (binsight audit certificates).

    The result is the folder OUT with index.html, verdicts.csv, exceptions.csv, tasks.csv (the bins to count, in walking
    order within --budget, those drawn by lot among them and not marked), plan.csv (the same for who plans) and
    problems.csv; and, unless --no-keep, the audit in the ledger, which binsight audit verify-log proves. Ends non-zero
    where rows could not be used or photos not be read; the rest is done.
    """
    require_extra("audit", "auditing")
    from binsight.audit.command import run_audit
    from binsight.audit.events import audit_ended
    from binsight.webhooks import Hooks

    hooks = Hooks.from_settings()
    done = run_audit(
        records,
        photos_of(photos, given),
        terms_of(given),
        out,
        by=who() if keep else None,
        tell=print_json if as_json else None,
        as_book=xlsx,
    )
    if not as_json:
        for sentence in done.sentences():
            click.echo(sentence)
        click.echo(f"the report: {out / 'index.html'}")
    untold = print_errors(hooks.tell([audit_ended(done)]))
    if not done.is_whole:
        click.echo(
            f"error: {done.num_problems:,} problems with rows ({out / 'problems.csv'}) and {done.tally.num_failed:,} "
            f"photos that could not be counted ({out / 'exceptions.csv'})",
            err=True,
        )
    if untold or not done.is_whole:
        sys.exit(1)
