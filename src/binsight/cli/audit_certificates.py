"""`binsight audit certificates | reinstate | spot-check`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from binsight.cli.options import json_option, print_json, require_extra, who
from binsight.errors import BadInput, GateFailed, MissingObject

if TYPE_CHECKING:
    from binsight.audit.standing import Standing
    from binsight.decision.surveillance import LiveShare
    from binsight.storage.ledger import Ledger


@contextmanager
def _ledger() -> "Iterator[Ledger]":
    require_extra("audit", "watching certificates")
    require_extra("data", "watching certificates")
    from binsight.settings import settings
    from binsight.storage.ledger import Ledger

    ledger = Ledger.open(settings().ledger)
    try:
        yield ledger
    finally:
        ledger.close()


@click.command()
@click.option(
    "--max-age", type=click.FloatRange(0), default=90, show_default=True, metavar="DAYS", help="As for audits."
)
@json_option
def certificates(max_age: float, as_json: bool) -> None:
    """Show whether certificates are in force, and what speaks for it.

    Of every certificate that an audit in the ledger used: its age; how many verified bins were drawn by lot, counted, and
    found wrong, with a 95% interval and what the certificate allows, by band; the evidence against it, which suspends
    from 20 on; and whether the last audit's photos were like those that it is from.

    The result is one line for each certificate and its particulars, and nothing is changed.
    """
    with _ledger() as ledger:
        from binsight.audit.standing import standing_of
        from binsight.storage.ledger import Certificates

        acts = Certificates(ledger)
        used = acts.used()
        if not used and not as_json:
            click.echo("no audit in this ledger has used a certificate yet")
        for sha256 in used:
            shown = _described(standing_of(sha256, acts.acts(sha256)), max_age)
            if as_json:
                print_json(shown)
            else:
                for line in _lines(shown):
                    click.echo(line)


@click.command()
@click.argument("certificate")
@click.option("--reason", required=True, help="Why it may be relied on again.")
@json_option
def reinstate(certificate: str, reason: str, as_json: bool) -> None:
    """Put a suspended certificate in force again, with a reason.

    CERTIFICATE is the beginning of its hash, as binsight audit certificates shows it. Its age and what counts say of it
    begin anew. A certificate made anew (binsight audit certify) needs none of this, and is the better way.

    The result is an act in the journal: who put it in force, when and why.
    """
    if not reason.strip():
        raise BadInput("--reason must say why the certificate may be relied on again, but is empty; say it")
    with _ledger() as ledger:
        from binsight.audit.standing import standing_of
        from binsight.storage.ledger import Certificates
        from binsight.storage.ledger.certificates import REINSTATED

        acts = Certificates(ledger)
        found = [sha256 for sha256 in acts.used() if sha256.startswith(certificate.lower())]
        if len(found) != 1 or not certificate:
            raise MissingObject(
                f"{certificate!r} must begin one certificate's hash, but begins {len(found)}; see the list"
            )
        if standing_of(found[0], acts.acts(found[0])).is_in_force:
            raise BadInput(f"certificate {found[0][:12]} is in force, and needs no putting there")
        entry = acts.add(REINSTATED, found[0], {"reason": reason.strip()}, by=who())
    if as_json:
        print_json({"sha256": found[0], "at": entry.at, "by": entry.by, "reason": reason.strip()})
    else:
        click.echo(f"certificate {found[0][:12]} is in force again; what it was suspended for begins anew")


@click.command("spot-check")
@click.argument("counts", type=click.Path(path_type=Path))
@click.option("--audit", required=True, metavar="ID", help="The audit that drew the bins, as it named itself.")
@click.option(
    "--mapping", default="generic", show_default=True, metavar="NAME|FILE", help="Which columns mean what."
)
@json_option
def spot_check(counts: Path, audit: str, mapping: str, as_json: bool) -> None:
    """Take in what people counted, and see whether the certificate holds.

    COUNTS has a line for each bin that was counted after the audit, in the shape in which the mapping's system takes
    counts: those that the audit drew by lot and any others. A count that differs from the record should have been made
    again by another person. Bins that were taken in before are not taken again.

    The result is an act in the journal, the share of wrong ones among verified records with what the certificate allows,
    and the accuracy of all records where the counts can speak for all. Ends non-zero where the certificate is suspended
    by it.
    """
    with _ledger() as ledger:
        from binsight.audit.certifying import counts_as_records
        from binsight.audit.intake import read_records
        from binsight.audit.mapping import load_mapping
        from binsight.audit.spot_check import spot_check as check

        with read_records(counts, counts_as_records(load_mapping(mapping))) as read:
            if problem := next(iter(read.problems), None):
                raise BadInput(
                    f"{counts}, {problem.sentence}; correct it, since a count that is left out is no draw"
                )
            found = check(ledger, audit, read, by=who())
    accuracy = found.accuracy
    if as_json:
        print_json(
            {
                "num_new": found.num_new,
                "num_open": found.num_open,
                "num_unknown": found.num_unknown,
                "evidence": round(min(found.evidence, 1e6), 3),
                "live": [_share(one) for one in found.shares],
                "suspended": [one.sentence for one in found.suspended],
                "accuracy": None
                if accuracy is None
                else {"share": accuracy.share, "low": accuracy.interval.low, "high": accuracy.interval.high},
                "accuracy_unknown": found.why_not,
            }
        )
    else:
        click.echo(
            f"{found.num_new:,} counts of bins drawn by lot taken in, {found.num_open:,} to come; {found.num_unknown:,} "
            "bins are not in this audit"
        )
        for one in found.shares:
            click.echo(_sentence(_share(one)))
        if accuracy is None:
            click.echo(f"accuracy of all records: not known, since {found.why_not}")
        else:
            click.echo(
                f"IRA by bins, exact, weighted: {accuracy.share:.1%} ({accuracy.interval.low:.1%}–"
                f"{accuracy.interval.high:.1%}), from {accuracy.num:,} bins that stand for {accuracy.num_for:,.0f}"
            )
    if found.suspended:
        raise GateFailed(
            f"certificate {found.standing.sha256[:12]} is suspended: {found.suspended[0].sentence}; "
            "make a new one, or find out why"
        )


def _described(standing: "Standing", max_age: float) -> dict[str, Any]:
    from datetime import UTC, datetime, timedelta

    from binsight.decision.surveillance import live_shares

    now = datetime.now(UTC)
    state = standing.state(now, max_age=timedelta(days=min(max_age, 10**6)))
    reasons = standing.reasons or state.reasons
    return {
        "sha256": standing.sha256,
        "model": standing.model,
        "state": "suspended" if reasons else "in force",
        "reasons": [{"why": one.why, "sentence": one.sentence} for one in reasons],
        "since": standing.at or None,
        "by": standing.by or None,
        "reinstated_because": standing.why or None,
        "age_days": None if standing.began is None else (now - standing.began).days,
        "age_from": "its date"
        if standing.is_dated and not standing.why
        else "reinstatement"
        if standing.why
        else "first use",
        "num_audits": standing.num_audits,
        "num_drawn": standing.num_drawn,
        "evidence": round(min(state.evidence, 1e6), 3),
        "live": [_share(one) for one in live_shares(standing.counts)],
        "drift": standing.drift,
    }


def _share(one: "LiveShare") -> dict[str, Any]:
    return {
        "band": one.band,
        "counted": one.num,
        "wrong": one.num_wrong,
        "share": round(one.share, 6),
        "low": round(one.interval.low, 6),
        "high": round(one.interval.high, 6),
        "allowed": round(one.bound, 6),
    }


def _sentence(one: dict[str, Any]) -> str:
    return (
        f"  verified records of {one['band']}: {one['wrong']:,} of {one['counted']:,} counted are wrong, "
        f"{one['share']:.1%} ({one['low']:.1%}–{one['high']:.1%}); {one['allowed']:.1%} allowed"
    )


def _lines(shown: dict[str, Any]) -> Iterator[str]:
    yield (
        f"{shown['sha256'][:12]}  {shown['state']}  for {shown['model']}, {shown['age_days']} days from "
        f"{shown['age_from']}, {shown['num_audits']:,} audits"
    )
    for one in shown["reasons"]:
        yield f"  {one['why']}: {one['sentence']}"
    if shown["reinstated_because"]:
        yield f"  in force again by {shown['by']} at {shown['since'][:16]}: {shown['reinstated_because']}"
    yield f"  {shown['num_drawn']:,} verified bins drawn by lot; evidence against it {shown['evidence']:.2f} of 20"
    yield from map(_sentence, shown["live"])
    if shown["drift"]:
        yield f"  {shown['drift']['sentence']}"
