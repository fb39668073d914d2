"""`binsight audit archive` and `binsight audit restore`."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from binsight.cli.options import json_option, print_json, require_extra, who


@click.command()
@click.argument("place")
@click.option(
    "--older-than",
    "days",
    type=click.IntRange(0, 36500),
    default=400,
    show_default=True,
    help="Days since its end, or since its last line where it was cut off.",
)
@click.option("--dry-run", is_flag=True, help="Say which audits these are, and change nothing.")
@click.option("--endpoint-url", help="Address of an S3-compatible server for s3:// URLs.")
@json_option
def archive(place: str, days: int, dry_run: bool, endpoint_url: str | None, as_json: bool) -> None:
    """Take old audits' lines out of the ledger, into Parquet files.

    PLACE is a folder or an s3:// URL. An audit goes where it ended so many days ago and no task of it waits for
    somebody; the newest stays. One that was cut off goes too, a day after its last line at the earliest. Lines that
    became tasks stay, with counts, decisions, tallies and the whole journal, and binsight audit restore brings the rest
    back. Killed, run it again.

    The result is a file an audit, read back before anything is taken out, its hash in the journal.
    """
    require_extra("ledger", "archiving audits")
    require_extra("batch", "archives of audits")
    from binsight.audit.archive import archive as archive_one
    from binsight.audit.archive import old_audits
    from binsight.settings import settings
    from binsight.storage.ledger import Ledger
    from binsight.storage.objects import open_store

    ledger = Ledger.open(settings().ledger)
    try:
        audits = old_audits(ledger, datetime.now(UTC) - timedelta(days=days))
        if audits and not dry_run:
            store = open_store(_whole(place), endpoint_url=endpoint_url, create=True)
        for audit in audits:
            if dry_run:
                _say(as_json, {"audit": audit}, audit)
                continue
            done = archive_one(ledger, audit, store, by=who())
            fields = {name: getattr(done, name) for name in done.__slots__}
            size = f" ({done.num_bytes / 1e6:.1f} MB)" if done.num_bytes else ""
            said = f"{audit}: {done.num_removed:,} lines into {done.name}{size}, {done.num_kept:,} stay with their tasks"
            _say(as_json, fields, said)
    finally:
        ledger.close()
    if not audits and not as_json:
        click.echo(f"no audit is to be archived: none ended more than {days} days ago with all its tasks over")


@click.command()
@click.argument("audit_id")
@click.option("--from", "place", help="Where its file is now, if not where it was put: a folder or an s3:// URL.")
@click.option("--endpoint-url", help="Address of an S3-compatible server for s3:// URLs.")
@json_option
def restore(audit_id: str, place: str | None, endpoint_url: str | None, as_json: bool) -> None:
    """Put an archived audit's lines back into the ledger.

    AUDIT_ID is an audit that binsight audit archive took out. The file must be the one that was written, by its hash, and
    its lines those that the journal proves. The file stays.

    The result is an audit as it was before: its exceptions, evidence and documents can be asked for again.
    """
    require_extra("ledger", "restoring audits")
    require_extra("batch", "archives of audits")
    from binsight.audit.archive import restore as restore_one
    from binsight.settings import settings
    from binsight.storage.ledger import Ledger
    from binsight.storage.objects import open_store

    ledger = Ledger.open(settings().ledger)
    try:
        number = restore_one(
            ledger, audit_id, lambda url: open_store(url, endpoint_url=endpoint_url), by=who(), place=place
        )
    finally:
        ledger.close()
    _say(as_json, {"audit": audit_id, "num_restored": number}, f"{audit_id}: {number:,} lines are back")


def _whole(place: str) -> str:
    """A folder by its whole path: the journal tells of it to whoever works elsewhere."""
    return place if "://" in place else str(Path(place).absolute())


def _say(as_json: bool, fields: dict[str, object], sentence: str) -> None:
    if as_json:
        print_json(fields)
    else:
        click.echo(sentence)
