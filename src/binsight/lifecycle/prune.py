"""Remove the files of bundles that nothing points at, and nothing pointed at lately. The rows of the ledger stay."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from binsight.counting.registry import Registry

KEPT_DAYS = 30
"""A model that was in use a month ago may be asked for again when what came after it disappoints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """One version that has files: how many bytes, and why they stay; empty where they are (or would be) removed."""

    version: str
    name: str
    num_bytes: int
    kept: str


def prune(
    registry: Registry,
    *,
    by: str,
    versions: Sequence[str] = (),
    days: float = KEPT_DAYS,
    dry_run: bool = False,
    now: datetime | None = None,
) -> Iterator[Pruned]:
    """Remove what nothing needs: of all versions, or of some. `dry_run` says what would be done.

    What an alias points at, or a rollback would go to, stays whatever its age. Killed between the mark in the ledger and
    the last file, it goes on when it is run again.
    """
    since = ((now or datetime.now(UTC)) - timedelta(days=days)).isoformat(timespec="microseconds")
    for found in registry.models.versions():
        if versions and found.version not in versions:
            continue
        num_bytes = sum(info.size for info in registry.files(found.version))
        if not num_bytes:
            continue
        kept = registry.models.kept_for(found.version, since=since)
        if not kept and not dry_run:
            kept = registry.models.remove(found.version, since=since, by=by)
            if not kept:
                registry.remove_files(found.version)
        yield Pruned(version=found.version, name=found.name, num_bytes=num_bytes, kept=kept)
