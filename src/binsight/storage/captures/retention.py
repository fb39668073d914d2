"""How long captures are kept: a pure decision by age and bytes, over whole hours, and carrying it out."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from binsight.storage.captures.compact import CompactCaptures
from binsight.storage.captures.lines import LineCaptures
from binsight.storage.captures.truth import Truths

UNTOUCHED = timedelta(hours=2)
"""Hours that may still be written to, by this or another replica, whatever their clocks say within reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What retention did, in bytes of captures; `kept_since` is the first hour that is kept, None where all are."""

    kept_since: datetime | None
    removed_bytes: int
    kept_bytes: int


def first_kept_hour(
    sizes: Mapping[datetime, int], *, now: datetime, keep_days: float, max_bytes: int
) -> datetime | None:
    """The hour from which on captures are kept, None where all are.

    Hours older than `keep_days` go, and then the oldest until the rest has at most `max_bytes`; never the last two.
    """
    oldest = now - timedelta(days=keep_days)
    left, first = sum(sizes.values()), None
    for hour in sorted(sizes):
        end = hour + timedelta(hours=1)
        if end > now - UNTOUCHED or (end > oldest and left <= max_bytes):
            break
        left -= sizes[hour]
        first = end
    return first


def prune(
    captures: CompactCaptures | LineCaptures,
    truths: Truths,
    *,
    now: datetime,
    keep_days: float,
    max_bytes: int,
) -> Pruned:
    """Delete what is not to be kept any longer. Raises as the store and the ledger do.

    The added counts are the whole endpoint's: they go once no variant keeps a capture that they may be about.
    """
    sizes = captures.bytes_by_hour()
    first = first_kept_hour(sizes, now=now, keep_days=keep_days, max_bytes=max_bytes)
    if first is not None:
        captures.remove_before(first)
        truths.remove_before(min(first, captures.oldest_of_endpoint() or first))
    kept_bytes = sum(size for hour, size in sizes.items() if first is None or hour >= first)
    return Pruned(kept_since=first, removed_bytes=sum(sizes.values()) - kept_bytes, kept_bytes=kept_bytes)
