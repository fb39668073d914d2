"""`binsight audit`: what to do about stock records, and proofs of what was done."""

import click

from binsight.cli import LazyGroup
from binsight.cli.options import json_option, print_json, require_extra
from binsight.errors import GateFailed

RUN = "run"
COMMANDS = {
    RUN: ("binsight.cli.audit_run:run", "Compare stock records with photos: a verdict each, bins to count."),
    "backtest": (
        "binsight.cli.audit_backtest:backtest",
        "Say what auditing would have been worth, from past records, photos and counts.",
    ),
    "certify": (
        "binsight.cli.audit_certify:certify",
        "Certify what may be verified, from bins that people counted.",
    ),
    "certificates": (
        "binsight.cli.audit_certificates:certificates",
        "Show whether certificates are in force, and what speaks for it.",
    ),
    "spot-check": (
        "binsight.cli.audit_certificates:spot_check",
        "Take in what people counted, and see whether the certificate holds.",
    ),
    "reinstate": (
        "binsight.cli.audit_certificates:reinstate",
        "Put a suspended certificate in force again, with a reason.",
    ),
    "consignments": (
        "binsight.cli.audit_consignments:consignments",
        "Check what leaves: RELEASE, HOLD or CHECK for each consignment.",
    ),
    "evidence": (
        "binsight.cli.audit_evidence:evidence",
        "Put together what proves an audit's findings in some bins.",
    ),
    "verify-evidence": (
        "binsight.cli.audit_evidence:verify_evidence",
        "Check that evidence is as it was made.",
    ),
    "counts": (
        "binsight.cli.audit_counts:counts",
        "Write people's counts in the columns in which a stock system takes them.",
    ),
    "epcis": ("binsight.cli.audit_epcis:epcis", "Write a kept audit as a GS1 EPCIS 2.0 document."),
    "verify-log": ("binsight.cli.audit:verify_log", "Prove that nothing in the ledger was changed."),
}


class DefaultGroup(LazyGroup):
    """`binsight audit RECORDS PHOTOS` is `binsight audit run RECORDS PHOTOS`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        named = bool(args) and (args[0] in self.lazy or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if named or not args else [RUN, *args])


@click.group(cls=DefaultGroup, lazy=COMMANDS)
def audit() -> None:
    """Compare stock records with photos: a verdict each, bins to count.

    binsight audit RECORDS PHOTOS is what it is for; see binsight audit run --help for its options.
    """


@click.command("verify-log")
@click.option(
    "--head", metavar="HASH", help="A last hash that was kept elsewhere: it must still stand in the journal."
)
@json_option
def verify_log(head: str | None, as_json: bool) -> None:
    """Prove that nothing in the ledger was changed.

    Every act, of an audit or of a person, is an entry of the journal, chained to the one before by its hash; verdicts,
    tasks, counts and decisions are proven by the digests in it. The result is how many entries hold, and the last hash:
    kept elsewhere, on paper for one, and given with --head the next time, it also shows whether the end was cut off. Ends
    non-zero where the chain is broken.
    """
    require_extra("ledger", "proving the ledger")
    from binsight.settings import settings
    from binsight.storage.ledger import Ledger, prove

    ledger = Ledger.open(settings().ledger)
    try:
        proof = prove(ledger, head=head)
    finally:
        ledger.close()
    if as_json:
        print_json({"num_entries": proof.num_entries, "head": proof.head, "broken": proof.broken})
    elif not proof.broken:
        click.echo(f"{proof.num_entries:,} entries hold; the last hash is {proof.head or 'none yet'}")
    if proof.broken:
        raise GateFailed(
            f"the journal is broken: {proof.broken}; bring the ledger back from a backup, and find out who"
        )
