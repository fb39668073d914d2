"""`binsight audit epcis`."""

from pathlib import Path

import click

from binsight.cli.options import json_option, print_json, require_extra


@click.command()
@click.argument("audit_id")
@click.option(
    "--base", required=True, metavar="URL", help="Address of yours below which bins and items have their ids."
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("epcis.json"), show_default=True, help="The file."
)
@json_option
def epcis(audit_id: str, base: str, out: Path, as_json: bool) -> None:
    """Write a kept audit as a GS1 EPCIS 2.0 document.

    Verified records become ObjectEvents with the persistent disposition completeness_verified, suspect ones with
    mismatch_quantity: what a photo says, and not yet what a person counted. Other records have no event. Bins are
    URL/loc/BIN, items URL/class/ITEM.

    The result is a JSON-LD document. Each event's id is its CBV hash, so that sending it twice does no harm.
    """
    require_extra("ledger", "EPCIS documents")
    from binsight.audit.epcis import write_epcis
    from binsight.settings import settings
    from binsight.storage.ledger import Ledger

    ledger = Ledger.open(settings().ledger)
    try:
        number = write_epcis(ledger, audit_id, base, out)
    finally:
        ledger.close()
    if as_json:
        print_json({"out": str(out), "events": number})
    else:
        click.echo(f"{out}: {number:,} events")
