"""`binsight audit consignments`: whether what is packed may leave, and who let it go."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from binsight.cli.audit import DefaultGroup
from binsight.cli.audit_options import photo_options, photos_of, terms_of
from binsight.cli.options import json_option, print_errors, print_json, require_extra, who

if TYPE_CHECKING:
    from binsight.storage.ledger import Consignments, Entry

COMMANDS = {
    "run": (
        "binsight.cli.audit_consignments:run",
        "Compare what should be in totes with their photos: RELEASE, HOLD or CHECK.",
    ),
    "release": ("binsight.cli.audit_consignments:release", "Let a consignment go: who, and why."),
    "show": ("binsight.cli.audit_consignments:show", "How a consignment was judged last, and who released it."),
}


@click.group(cls=DefaultGroup, lazy=COMMANDS)
def consignments() -> None:
    """Check what leaves: RELEASE, HOLD or CHECK for each consignment.

    binsight audit consignments LINES PHOTOS is what it is for; see binsight audit consignments run --help.
    """


@click.command()
@click.argument("lines", type=click.Path(path_type=Path))
@click.argument("photos", nargs=-1)
@photo_options
@click.option(
    "--certificate",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What may be verified, from binsight audit certify.  [default: the bundle's own]",
)
@click.option("--alpha", default=0.05, show_default=True, help="Bound on wrong totes verified, as certified.")
@click.option("--keep/--no-keep", default=True, show_default=True, help="Keep the judgements in the ledger.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("consignments"), show_default=True, help="Its folder."
)
@json_option
def run(
    lines: Path,
    photos: tuple[str, ...],
    certificate: Path | None,
    alpha: float,
    keep: bool,
    out: Path,
    as_json: bool,
    **given: Any,
) -> None:
    """Compare what should be in totes with their photos: RELEASE, HOLD or CHECK.

    LINES is a CSV or XLSX file with a line for each item of a tote of a consignment (consignment, tote, expected_qty and,
    as wanted, sku and photo); PHOTOS show a tote each. Lines of one tote add up. A tote's photo is the one that its line
    names, or else the one called as the tote is, in a folder called as the consignment where there are several folders.

    RELEASE: every tote is verified. HOLD: a tote is suspect. CHECK: anything else. A photo shows how many items there
    are, not which: a swap of equal numbers cannot be seen.

    The result is the folder OUT with index.html, consignments.csv, totes.csv and problems.csv, with --json a line for each
    consignment with its totes and evidence; and, unless --no-keep, each judgement in the ledger's journal. Ends non-zero
    where rows could not be used or photos not be read; the rest is done.
    """
    require_extra("audit", "checking consignments")
    from binsight.audit.consignment_page import why
    from binsight.audit.consignment_run import run_consignments
    from binsight.audit.consignments import SWAPS, JudgedConsignment
    from binsight.audit.events import consignment_judged
    from binsight.webhooks import EventMessage, Hooks

    hooks, messages = Hooks.from_settings(), list[EventMessage]()

    def tell(one: JudgedConsignment) -> None:
        messages.append(consignment_judged(one))
        if as_json:
            print_json(one.as_json())
        else:
            click.echo(f"{one.decision:<8}{one.id}" + (f"  {why(one)}" if why(one) else ""))

    done = run_consignments(
        lines,
        photos_of(photos, given),
        replace(terms_of(given), certificate=certificate, alpha=alpha),
        out,
        by=who() if keep else None,
        tell=tell,
    )
    if not as_json:
        click.echo(", ".join(f"{number:,} {word}" for word, number in done.decisions.items()) or "no consignments")
        click.echo(done.certificate)
        click.echo(SWAPS)
        click.echo(f"the report: {out / 'index.html'}")
    untold = print_errors(hooks.tell(messages))
    if not done.is_whole:
        click.echo(
            f"error: {done.num_problems:,} problems with rows ({out / 'problems.csv'}) and {done.num_failed:,} photos "
            f"that could not be counted ({out / 'totes.csv'})",
            err=True,
        )
    if untold or not done.is_whole:
        sys.exit(1)


@click.command()
@click.argument("consignment")
@click.option("--by", metavar="NAME", help="Who lets it go.  [default: the user who runs this]")
@click.option("--reason", default="", help="Why; needed unless it was judged RELEASE.")
@click.option("--override", is_flag=True, help="Let it go although it is on HOLD.")
@click.option(
    "--judged",
    metavar="HASH",
    help="The judgement that was looked at, as show prints it; with another since, nothing is done.",
)
@json_option
def release(
    consignment: str, by: str | None, reason: str, override: bool, judged: str | None, as_json: bool
) -> None:
    """Let a consignment go: who, and why.

    On its last judgement: RELEASE needs nothing, CHECK a reason, HOLD a reason and --override. NAME is what is said here,
    and proven by nothing. Where others may judge it meanwhile, say with --judged which judgement you saw.

    The result is an entry of the journal with who and why, and the hash of the judgement that it rests on. Ends non-zero
    where that does not allow it, or where it was released already.
    """
    require_extra("audit", "the journal of consignments")
    from binsight.audit.events import consignment_released
    from binsight.webhooks import Hooks

    hooks = Hooks.from_settings()
    entry = _with_consignments().release(
        consignment, by=who() if by is None else by, reason=reason, override=override, judged=judged
    )
    if as_json:
        print_json(_shown(entry))
    else:
        click.echo(f"consignment {consignment} is released by {entry.by} (entry {entry.seq})")
    if print_errors(hooks.tell([consignment_released(entry)])):
        sys.exit(1)


@click.command()
@click.argument("consignment")
@json_option
def show(consignment: str, as_json: bool) -> None:
    """How a consignment was judged last, and who released it.

    The result is its decision, its totes with what was seen in them, and the release, where there is one.
    """
    history = _with_consignments().read(consignment)
    judged, released = history.judged, history.released
    if as_json:
        print_json({"judged": _shown(judged), "released": None if released is None else _shown(released)})
        return
    click.echo(f"{history.decision}, judged by {judged.by} at {judged.at} (entry {judged.seq}, hash {judged.hash})")
    for tote in judged.body["totes"]:
        seen = "–" if tote["seen"] is None else tote["seen"]
        click.echo(
            f"  {tote['tote']}: expected {tote['expected']}, seen {seen}, {tote['verdict']}: {tote['reason']}"
        )
    for problem in judged.body["problems"]:
        click.echo(f"  {problem}")
    if released is not None:
        reason = f": {released.body['reason']}" if released.body["reason"] else ""
        click.echo(f"released by {released.by} at {released.at} (entry {released.seq}){reason}")


def _with_consignments() -> "Consignments":
    require_extra("ledger", "the journal of consignments")
    from binsight.settings import settings
    from binsight.storage.ledger import Consignments, Ledger

    ledger = Ledger.open(settings().ledger)
    click.get_current_context().call_on_close(ledger.close)
    return Consignments(ledger)


def _shown(entry: "Entry") -> dict[str, Any]:
    return {name: getattr(entry, name) for name in ("seq", "at", "by", "kind", "subject", "body", "hash")}
