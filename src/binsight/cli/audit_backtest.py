"""`binsight audit backtest`."""

import sys
from pathlib import Path
from typing import Any

import click

from binsight.cli.audit_options import NUMBER, judging_options, photo_options, photos_of, terms_of
from binsight.cli.options import json_option, print_json, require_extra


@click.command()
@click.argument("records", type=click.Path(path_type=Path))
@click.argument("photos", nargs=-1)
@click.argument("counts", type=click.Path(path_type=Path))
@photo_options
@judging_options
@click.option(
    "--budget",
    type=NUMBER,
    metavar="MINUTES",
    help="Labour to compare orders at.  [default: a tenth of what counting all takes]",
)
@click.option(
    "--chains",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Which bins resemble one another (bin_id, chain): intervals are resampled by chain.  [default: by bin]",
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("backtest"), show_default=True, help="Its folder."
)
@json_option
def backtest(
    records: Path,
    photos: tuple[str, ...],
    counts: Path,
    chains: Path | None,
    out: Path,
    as_json: bool,
    **given: Any,
) -> None:
    """Say what auditing would have been worth, from past records, photos and counts.

    RECORDS and PHOTOS are as for an audit, of last month for one. COUNTS has what people counted then, a line for each
    bin in the shape in which the mapping's system takes counts (generic: bin_id and counted_qty). Bins that were not
    counted are left out, and the page says which figures suffer from it, and how.

    The result is the folder OUT with index.html: how many records would have been verified and how many of these are
    wrong, by band beside what the certificate claims; how many suspects are wrong and how many wrong ones are suspects;
    and the units of error that the same labour finds in our order, at random and by ABC classes, with the hours saved;
    the same in backtest.json and CSV files. Nothing is kept in the ledger. Ends non-zero where rows could not be used;
    the rest is done.
    """
    require_extra("audit", "backtesting")
    require_extra("data", "backtesting")
    from binsight.audit.backtest_report import percent
    from binsight.audit.backtesting import as_json as figures
    from binsight.audit.backtesting import run_backtest

    tested = run_backtest(records, photos_of(photos, given), counts, terms_of(given), out, chains=chains)
    found = tested.found
    if as_json:
        print_json(figures(tested))
    else:
        click.echo(f"{found.num_counted:,} of {found.num_records:,} records were counted")
        click.echo(
            f"{found.num_verified:,} of these would have been verified, of which wrong: "
            f"{percent(found.wrong_of_verified)}, {found.missed:,} units missed of {found.units:,}"
        )
        click.echo(f"suspects: precision {percent(found.precision)}, recall {percent(found.recall)}")
        for one in found.efforts:
            took = f"{one.num_counts:,.0f} counts, {one.seconds / 3600:.1f} hours"
            click.echo(f"{one.order}: {took}, {one.units:,.1f} units found")
        for note in found.notes:
            click.echo(note)
        click.echo(f"the report: {out / 'index.html'}")
    if tested.num_problems or tested.num_without_record:
        click.echo(
            f"error: {tested.num_problems:,} problems with rows, and {tested.num_without_record:,} counted bins without "
            "a record",
            err=True,
        )
        sys.exit(1)
