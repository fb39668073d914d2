"""`binsight audit evidence` and `binsight audit verify-evidence`."""

import sys
from pathlib import Path

import click

from binsight.cli.options import json_option, print_json, require_extra, who
from binsight.errors import GateFailed


@click.command()
@click.argument("audit_id")
@click.argument("bins", nargs=-1, required=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("evidence"),
    show_default=True,
    help="Its folder, or a .zip file.",
)
@click.option("--photos/--no-photos", default=True, show_default=True, help="Put the photos in.")
@click.option("--endpoint-url", help="Address of an S3-compatible server for s3:// URLs.")
@click.option("--anonymous", is_flag=True, help="Send unsigned requests, for public buckets.")
@json_option
def evidence(
    audit_id: str,
    bins: tuple[str, ...],
    out: Path,
    photos: bool,
    endpoint_url: str | None,
    anonymous: bool,
    as_json: bool,
) -> None:
    """Put together what proves an audit's findings in some bins.

    AUDIT_ID is an audit that the ledger kept, BINS are bins of it. Photos are read where they were then, and only those
    whose bytes are still the same, by their hash, are put in.

    The result is a folder, or a .zip, with index.html, evidence.json, the photos as they were, and manifest.json with the
    SHA-256 of each file; that of the manifest is kept in the journal. Ends non-zero where a photo is missing.
    """
    require_extra("audit", "evidence")
    from binsight.audit.evidence import make_evidence
    from binsight.audit.evidence_files import write_evidence
    from binsight.counting.sources import photo_reader
    from binsight.settings import settings
    from binsight.storage.ledger import Ledger

    read = photo_reader(endpoint_url=endpoint_url, anonymous=anonymous) if photos else None
    ledger = Ledger.open(settings().ledger)
    try:
        bundle = make_evidence(ledger, audit_id, bins, read, by=who())
    finally:
        ledger.close()
    write_evidence(bundle, out)
    if as_json:
        print_json({"out": str(out), "files": sorted(bundle.files), "missing": list(bundle.missing)})
    else:
        click.echo(f"{out}: {len(bundle.files)} files")
    if photos and bundle.missing:
        for said in bundle.missing:
            click.echo(f"error: {said}", err=True)
        sys.exit(1)


@click.command("verify-evidence")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--offline", is_flag=True, help="Check the files alone, without the ledger that they came from.")
@json_option
def verify_evidence(bundle: Path, offline: bool, as_json: bool) -> None:
    """Check that evidence is as it was made.

    BUNDLE is a folder or .zip from binsight audit evidence. Every file must be as the manifest says, every photo the
    audit's, and the manifest one that the ledger's journal knows. --offline leaves the last out: then somebody may have
    written all of it anew.

    The result is what is wrong, if anything is. Ends non-zero where something is.
    """
    require_extra("audit", "checking evidence")
    from binsight.audit.evidence import evidence_faults
    from binsight.audit.evidence_files import read_evidence
    from binsight.settings import settings
    from binsight.storage.ledger import Ledger

    files = read_evidence(bundle)
    ledger = None if offline else Ledger.open(settings().ledger)
    try:
        faults = evidence_faults(files, ledger)
    finally:
        if ledger is not None:
            ledger.close()
    if as_json:
        print_json({"num_files": len(files), "faults": faults})
    elif not faults:
        click.echo(f"{len(files)} files are as they were made" + ("; the journal was not asked" if offline else ""))
    if faults:
        raise GateFailed(
            f"{bundle} is not as it was made: {'; '.join(faults[:5])}; get it again from where it was made"
        )
