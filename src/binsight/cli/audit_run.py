"""`binsight audit run`."""

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from binsight.cli.audit_options import photo_options, photos_of, terms_of
from binsight.cli.options import json_option, print_errors, print_json, require_extra, who


class Finite(click.FloatRange):
    """A number of 0 or more that is one: `nan` lies within every range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no number of 0 or more", param, ctx)
        return number


HOURS_OR_MINUTES = Finite(min=0)


@click.command()
@click.argument("records", type=click.Path(path_type=Path))
@click.argument("photos", nargs=-1)
@photo_options
@click.option("--max-gap", type=HOURS_OR_MINUTES, metavar="HOURS", help="A record further from its photo is stale.")
@click.option(
    "--movements",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="When bins were moved (bin_id, moved_at): a record is stale where that lies between it and its photo.",
)
@click.option(
    "--certificate",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What may be verified, from binsight audit certify.  [default: the bundle's own]",
)
@click.option("--alpha", default=0.05, show_default=True, help="Bound on wrong records verified, as certified.")
@click.option("--error-rate", default=0.05, show_default=True, help="Share of the records that is wrong.")
@click.option(
    "--error-ratio", default=0.1, show_default=True, help="How much rarer each further unit makes an error."
)
@click.option(
    "--far-errors", default=0.02, show_default=True, help="Share of the wrong ones that is off by any number."
)
@click.option(
    "--count-cost", default=45.0, show_default=True, help="What counting a bin costs, in seconds for one."
)
@click.option("--unit-cost", default=300.0, show_default=True, help="What a wrong unit costs, in the same.")
@click.option(
    "--budget", type=HOURS_OR_MINUTES, metavar="MINUTES", help="Labour for counting.  [default: no limit]"
)
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
    type=HOURS_OR_MINUTES,
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
    records: Path,
    photos: tuple[str, ...],
    max_gap: float | None,
    movements: Path | None,
    certificate: Path | None,
    alpha: float,
    error_rate: float,
    error_ratio: float,
    far_errors: float,
    count_cost: float,
    unit_cost: float,
    budget: float | None,
    by_value: bool,
    random_share: float,
    random_all: bool,
    max_age: float,
    xlsx: bool,
    keep: bool,
    give_out: bool,
    out: Path,
    as_json: bool,
    **given: Any,
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
        replace(
            terms_of(given),
            max_gap_hours=max_gap,
            movements=movements,
            certificate=certificate,
            alpha=alpha,
            error_rate=error_rate,
            error_ratio=error_ratio,
            far_errors=far_errors,
            count_cost=count_cost,
            unit_cost=unit_cost,
            budget_minutes=budget,
            by_value=by_value,
            give_out=give_out,
            share=random_share,
            draw_all=random_all,
            max_age_days=max_age,
        ),
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
