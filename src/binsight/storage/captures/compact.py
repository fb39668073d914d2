"""The compact layout: each photo a file named by the SHA-256 of its bytes, and a row in the ledger after it."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from binsight.errors import MissingObject
from binsight.storage.captures.capture import Capture, Problem, hour_folder
from binsight.storage.captures.place import Place
from binsight.storage.ledger import CaptureRow, CaptureRows, Ledger

SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp"}


class CompactCaptures:
    """Captures of one variant in this layout. Safe to use from several threads and processes at once.

    A photo lies in the folder of its hour, and retention deletes whole hours that are long over: a photo is never deleted
    while a row is being written that counts on it. The same photo sent twice within an hour is one file.
    """

    def __init__(self, place: Place, ledger_url: str, *, endpoint: str, variant: str) -> None:
        """Raises as `Ledger.open`."""
        self._place, self._endpoint, self._variant = place, endpoint, variant
        self._rows = CaptureRows(Ledger.open(ledger_url), endpoint=endpoint, variant=variant)

    def close(self) -> None:
        """Give the ledger's connections back."""
        self._rows.close()

    def write(self, captures: Sequence[Capture]) -> int:
        """Keep captures, and say how many bytes that took; when this returns they are on the disk.

        The photos first, the rows then, all in one transaction: a row never names a photo that is not there. Raises
        `StorageFailure`, after which none of them counts as kept.
        """
        photos = {photo_name(capture): capture.photo for capture in captures if capture.photo is not None}
        if photos:
            self._place.put(photos)
        rows = [self._row(capture) for capture in captures]
        self._rows.add(rows)
        return sum(row.photo_bytes + len(row.answer) for row in rows)

    def read(
        self, *, since: datetime | None = None, until: datetime | None = None, photos: bool = False
    ) -> Iterator[Capture]:
        """The captures from `since` on and before `until`, in the order of time; with their photos if asked for.

        Raises `MissingObject` for a photo that is not there, and as the ledger and the store do.
        """
        bounds = {name: _text(moment) for name, moment in (("since", since), ("until", until)) if moment}
        objects = None
        for row in self._rows.read(**bounds):
            capture = self._capture(row)
            if photos and capture.photo_sha256:
                objects = objects or self._place.objects()
                yield replace(capture, photo=objects.read(photo_name(capture)))
            else:
                yield capture

    def problems(self) -> Iterator[Problem]:
        """Photos that a row names and that are missing, or are not those that were put there."""
        for row in self._rows.read():
            capture = self._capture(row)
            if capture.photo_at is None:
                continue
            where = capture.photo_at
            try:
                photo = self._place.objects().read(photo_name(capture))
            except MissingObject:
                yield Problem(word="missing", where=where, event_id=row.event_id)
                continue
            if hashlib.sha256(photo).hexdigest() != capture.photo_sha256:
                yield Problem(word="corrupt", where=where, event_id=row.event_id)

    def bytes_by_hour(self) -> dict[datetime, int]:
        """What retention goes by."""
        return {
            datetime.fromisoformat(f"{hour}:00:00+00:00"): size for hour, size in self._rows.bytes_by_hour().items()
        }

    def remove_before(self, moment: datetime) -> None:
        """Forget the hours that were over then, the rows first."""
        hour = moment.replace(minute=0, second=0, microsecond=0)
        self._rows.remove_before(_text(hour))
        self._place.remove_before(hour)

    def oldest_of_endpoint(self) -> datetime | None:
        """As `Place.oldest_of_endpoint`, and also of captures whose answer alone was kept."""
        row, hour = self._rows.oldest_of_endpoint(), self._place.oldest_of_endpoint()
        moments = [] if row is None else [datetime.fromisoformat(row)]
        return min(moments if hour is None else [*moments, hour], default=None)

    def _row(self, capture: Capture) -> CaptureRow:
        return CaptureRow(
            event_id=capture.event_id,
            inference_id=capture.inference_id,
            endpoint=self._endpoint,
            variant=self._variant,
            captured_at=_text(capture.captured_at),
            photo_sha256=capture.photo_sha256,
            photo_type=capture.photo_type,
            photo_bytes=len(capture.photo or b""),
            answer=capture.answer,
            model=capture.model,
            expected=capture.expected,
            share=capture.share,
        )

    def _capture(self, row: CaptureRow) -> Capture:
        capture = Capture(
            event_id=row.event_id,
            captured_at=datetime.fromisoformat(row.captured_at),
            answer=row.answer,
            inference_id=row.inference_id,
            photo_sha256=row.photo_sha256,
            photo_type=row.photo_type,
            share=row.share,
        )
        if capture.photo_sha256 is None:
            return capture
        return replace(capture, photo_at=self._place.address(photo_name(capture)))


def photo_name(capture: Capture) -> str:
    """Where a capture's photo lies in its place."""
    return f"{hour_folder(capture.captured_at)}/{capture.photo_sha256}{SUFFIXES[capture.photo_type or '']}"


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
