"""Old audits out of the ledger into an archive, and back.

```
ledger: lines ──▶ one Parquet file an audit ──▶ read back ──▶ its hash in the journal ──▶ lines out of the ledger
```
Killed anywhere, nothing is lost: lines leave the ledger only once the file was read back as it was written and its hash
stands in the journal, and the same command goes on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from binsight.audit.archive_files import archive_bytes, archived_groups
from binsight.errors import BinsightError, MissingObject, StorageFailure
from binsight.storage.api_key import stamp
from binsight.storage.ledger import Archives, Audits, Entry, Ledger
from binsight.storage.ledger.archives import size_of
from binsight.storage.objects import Objects

Open = Callable[[str], Objects]


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """An audit whose lines were taken out: into which file, of how many bytes, and how many lines went and stay."""

    audit: str
    name: str
    num_bytes: int
    num_removed: int
    num_kept: int


def archive(ledger: Ledger, audit_id: str, store: Objects, *, by: str) -> Archived:
    """Take an audit's lines out of the ledger into a file in `store`; those that became tasks stay too.

    One that was archived before and cut off goes on. Raises `GateFailed` where the lines are not those that the journal
    has the digests of, `StorageFailure` where the file does not come back as it was written, and as the store does.
    """
    archives = Archives(ledger)
    entry, name = archives.of(audit_id), f"{audit_id}.parquet"
    if entry is None:
        groups = archives.groups(audit_id)
        data = archive_bytes(map(archives.lines, groups))
        store.write(name, data)
        digest = sha256(data).hexdigest()
        if sha256(store.read(name)).hexdigest() != digest:
            raise StorageFailure(
                f"{store.url}/{name} is not as it was written; nothing was taken out, archive again"
            )
        archives.archive(
            audit_id, place=store.url, name=name, sha256=digest, num_lines=sum(map(size_of, groups)), by=by
        )
        num_bytes = len(data)
    else:
        name, num_bytes = entry.body["name"], 0
    removal = archives.remove(audit_id)
    return Archived(
        audit=audit_id, name=name, num_bytes=num_bytes, num_removed=removal.num_removed, num_kept=removal.num_kept
    )


def old_audits(ledger: Ledger, before: datetime) -> list[str]:
    """The audits that ended, or were cut off, before this moment and may be archived, the oldest first: all but the newest
    that ended, and those with tasks that wait for somebody."""
    return Archives(ledger).old(stamp(before))


def restore(ledger: Ledger, audit_id: str, open_place: Open, *, by: str, place: str | None = None) -> int:
    """Put an archived audit's lines back into the ledger; how many.

    They are looked for in `place`, by default where they were put. Raises `MissingObject` where the audit is not
    archived, `ChangedMeanwhile` where the file has other lines than the journal has digests of, and as the store does.
    """
    Audits(ledger).read(audit_id)
    archives = Archives(ledger)
    entry = archives.of(audit_id)
    if entry is None:
        raise MissingObject(f"audit {audit_id} is not archived; its lines are in the ledger")
    data = _checked(entry, open_place(place or entry.body["place"]))
    groups = zip(archives.groups(audit_id), archived_groups(data, entry.body["name"]), strict=True)
    number = sum(archives.restore(group, lines) for group, lines in groups)
    archives.restored(audit_id, by=by)
    return number


def archive_faults(ledger: Ledger, open_place: Open, *, place: str | None = None) -> list[str]:
    """What is wrong with the archives' files, a sentence each; none where every file is the one that was written."""
    faults = []
    for entry in Archives(ledger).all():
        try:
            _checked(entry, open_place(place or entry.body["place"]))
        except BinsightError as error:
            faults.append(str(error))
    return faults


def _checked(entry: Entry, store: Objects) -> bytes:
    data = store.read(entry.body["name"])
    if sha256(data).hexdigest() != entry.body["sha256"]:
        raise StorageFailure(
            f"{store.url}/{entry.body['name']} is not the file of entry {entry.seq}; look for another copy of it"
        )
    return data
