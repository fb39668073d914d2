"""Whether an audit's lines are in the ledger, or were taken out of it into an archive: by what the journal says last."""

import sqlalchemy as sa

from binsight.errors import MissingObject
from binsight.storage.ledger.journal import Entry, entries_of

ARCHIVED, RESTORED = "audit.archived", "audit.restored"


def archived(connection: sa.Connection, audit_id: str) -> Entry | None:
    """The entry of the archive that has the audit's lines; None where the ledger has them."""
    last = entries_of(connection, audit_id, (ARCHIVED, RESTORED))[-1:]
    return next((entry for entry in last if entry.kind == ARCHIVED), None)


def check_whole(connection: sa.Connection, audit_id: str) -> None:
    """Raises `MissingObject` where the audit's lines lie in an archive."""
    entry = archived(connection, audit_id)
    if entry is not None:
        raise MissingObject(
            f"the lines of audit {audit_id} lie in {entry.body['place']} since {entry.at[:10]}; bring them back with "
            f"binsight audit restore {audit_id}"
        )
