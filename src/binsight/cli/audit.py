"""`binsight audit`: what to do about stock records, and proofs of what was done."""

import re

import click

from binsight.cli import LazyGroup
from binsight.cli.options import json_option, print_json, require_extra
from binsight.errors import BadInput, GateFailed

_HASH = re.compile("[0-9a-f]{64}")
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
    "archive": (
        "binsight.cli.audit_archive:archive",
        "Take old audits' lines out of the ledger, into Parquet files.",
    ),
    "restore": ("binsight.cli.audit_archive:restore", "Put an archived audit's lines back into the ledger."),
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
@click.option("--archives", is_flag=True, help="Read the files of archived audits too, where they were put.")
@click.option("--endpoint-url", help="Address of an S3-compatible server for s3:// URLs.")
@json_option
def verify_log(head: str | None, archives: bool, endpoint_url: str | None, as_json: bool) -> None:
    """Prove that nothing in the ledger was changed.

    Every act, of an audit or of a person, is an entry of the journal, chained to the one before by its hash; verdicts,
    tasks, counts and decisions are proven by the digests in it. The result is how many entries hold, and the last hash:
    kept elsewhere, on paper for one, and given with --head the next time, it also shows whether the end was cut off.
    People may go on working: the ledger is proven as it stood at the beginning. Lines of archived audits are proven with
    --archives. Ends non-zero where the chain is broken.
    """
    head = None if head is None else head.strip().lower()
    if head is not None and not _HASH.fullmatch(head):
        raise BadInput(
            f"--head must be a last hash, 64 hexadecimal digits, but is {head[:80]!r}; look again where it was kept"
        )
    require_extra("ledger", "proving the ledger")
    from binsight.audit.archive import archive_faults
    from binsight.settings import settings
    from binsight.storage.ledger import Archives, Ledger, prove
    from binsight.storage.objects import open_store

    ledger = Ledger.open(settings().ledger)
    try:
        proof = prove(ledger, head=head)
        archived = len(Archives(ledger).all())
        faults = archive_faults(ledger, lambda url: open_store(url, endpoint_url=endpoint_url)) if archives else []
    finally:
        ledger.close()
    if as_json:
        found = {"num_entries": proof.num_entries, "head": proof.head, "broken": proof.broken}
        print_json({**found, "num_archived": archived, "archive_faults": faults if archives else None})
    elif not proof.broken:
        click.echo(f"{proof.num_entries:,} entries hold; the last hash is {proof.head or 'none yet'}")
        if archived and not archives:
            click.echo(f"{archived:,} archived audits were not looked at; --archives reads their files too")
    if proof.broken:
        raise GateFailed(
            f"the journal is broken: {proof.broken}; bring the ledger back from a backup, and find out who"
        )
    if faults:
        raise GateFailed("; ".join(faults))
