"""Verdicts for stock records, in their order and at flat memory, however many there are.

```
records ─▶ photo of each ─▶ counted, some hundred at a time ─▶ stale? another bin's? ─▶ judged ─▶ lines
```
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from itertools import islice

from binsight.audit.lines import BAD_PHOTO, STALE, WRONG_BIN, AuditLine, Judging, judged, unseen
from binsight.audit.photos import NAME, FoundPhoto, PhotoIndex
from binsight.counting.counter import PhotoBytes
from binsight.errors import BadInput
from binsight.records import CountEstimate, CountFailure, StockRecord

Result = CountEstimate | CountFailure
Count = Callable[[Iterable[tuple[str, PhotoBytes]]], Iterator[Result]]
Read = Callable[[str], PhotoBytes]
Movement = Callable[[StockRecord, datetime, datetime], datetime | None]

TOGETHER = 256
"""Records that are looked up and counted before the first of them is answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """When record and photo no longer speak of the same stock.

    `movement(record, after, until)` gives a movement of its bin between two moments, where movements are known: only that
    makes a record stale then. Where they are not, a record is stale that lies further from its photo than `max_gap`.
    A record or photo without a moment is never stale, since nothing is known.
    """

    max_gap: timedelta | None = None
    movement: Movement | None = None

    def stale_because(self, record: StockRecord) -> str | None:
        """Why the record is stale, or None."""
        if record.as_of is None or record.photo_taken_at is None:
            return None
        before, after = sorted((record.as_of, record.photo_taken_at))
        if self.movement is not None:
            moved = self.movement(record, before, after)
            return None if moved is None else f"a movement at {_shown(moved)} lies between record and photo"
        if self.max_gap is not None and after - before > self.max_gap:
            return f"record ({_shown(record.as_of)}) and photo ({_shown(record.photo_taken_at)}) are too far apart"
        return None


def audited(
    records: Iterable[StockRecord],
    photos: PhotoIndex,
    by: Judging,
    *,
    count: Count,
    read: Read,
    found_by: str = NAME,
    fresh: Freshness = Freshness(),
    check_labels: bool = False,
) -> Iterator[AuditLine]:
    """A line for every record, in their order.

    `count` counts (name, photo) pairs in their order, `read` says how a photo is got by its name; photos that the index
    has counted already are not counted again. `check_labels` makes a photo whose label names another bin an exception.
    """
    records = iter(records)
    while together := list(islice(records, TOGETHER)):
        found = [_found(record, photos, found_by) for record in together]
        wanted = [one.name for one in found if isinstance(one, FoundPhoto) and one.result is None]
        hashes: dict[str, str] = {}
        counted = count((name, partial(_hashed, name, read(name), hashes)) for name in wanted)
        for record, photo in zip(together, found, strict=True):
            if not isinstance(photo, FoundPhoto):
                yield unseen(record, photo, by)
                continue
            result = next(counted) if photo.result is None else photo.result
            if record.photo_taken_at is None and photo.taken_at is not None:
                record = replace(record, photo_taken_at=photo.taken_at)  # noqa: PLW2901 - what is now known of it
            line = line_of(record, result, by, fresh=fresh, check_labels=check_labels)
            yield replace(line, photo_sha256=hashes.get(photo.name))


def line_of(
    record: StockRecord, result: Result, by: Judging, *, fresh: Freshness = Freshness(), check_labels: bool = False
) -> AuditLine:
    """The line of a record whose photo was found. What the photo cannot speak of comes before what it shows."""
    if isinstance(result, CountFailure):
        return unseen(record, result.error, by, exception=BAD_PHOTO)
    label = result.bin_label
    if check_labels and label is not None and label != record.bin_id:
        reason = f"the label in the photo names bin {label}"
        return unseen(record, reason, by, exception=WRONG_BIN, estimate=result)
    if stale := fresh.stale_because(record):
        return unseen(record, stale, by, word=STALE, estimate=result)
    return judged(record, result, by)


def _hashed(name: str, photo: PhotoBytes, hashes: dict[str, str]) -> bytes:
    """The photo's bytes, whose hash is noted on their way to be counted."""
    data = photo() if callable(photo) else photo
    hashes[name] = sha256(data).hexdigest()
    return data


def _found(record: StockRecord, photos: PhotoIndex, found_by: str) -> FoundPhoto | str:
    """The record's photo, or why there is none."""
    try:
        return photos.find(record, by=found_by) or "there is no photo of it"
    except BadInput as error:
        return str(error)


def _shown(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
