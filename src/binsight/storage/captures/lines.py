"""SageMaker's layout: JSON lines in the folder of their hour, photos in base64.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html
"""

import base64
import hashlib
import json
import os
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

from binsight.errors import BadInput, MissingObject
from binsight.storage.captures.capture import Capture, Problem, hour_folder, hour_of
from binsight.storage.captures.place import Place, failed, make_folder_durably, sync_folder
from binsight.storage.objects import open_store

SUFFIX = ".jsonl"
SHARE = "binsight-share="
"""So begins the custom attribute that tells with which share of the requests a line was kept."""
_LINE = re.compile(rf"(?P<folder>.*)/(?P<file>[^/]+{re.escape(SUFFIX)}):(?P<number>[0-9]+)")
"""Where a photo lies within a file of lines."""


class LineCaptures:
    """Captures of one variant in this layout.

    In a folder every writer appends to a file of its own in each hour; in a bucket every write is an object. One thread
    at a time may write; reading, and removing hours that are over, goes beside it.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._file: _Appended | None = None

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()
            self._file = None

    def write(self, captures: Sequence[Capture]) -> int:
        """Keep captures, and say how many bytes that took; when this returns they are on the disk.

        Raises `StorageFailure`, after which none of them counts as kept.
        """
        num_bytes = 0
        for hour, group in groupby(captures, key=lambda capture: hour_folder(capture.captured_at)):
            data = b"".join(_line(capture) for capture in group)
            num_bytes += len(data)
            if self._place.folder is None:
                self._place.put({f"{hour}/{_file_name()}": data})
            else:
                self._append(self._place.folder / hour, data)
        return num_bytes

    def read(
        self, *, since: datetime | None = None, until: datetime | None = None, photos: bool = False
    ) -> Iterator[Capture]:
        """The captures from `since` on and before `until`, hour by hour; with their photos if asked for.

        Lines that cannot be read are passed over: `problems` names them.
        """
        for _, capture, _ in self._lines(since, until, photos):
            if (
                capture is None
                or (since and capture.captured_at < since)
                or (until and capture.captured_at >= until)
            ):
                continue
            yield capture

    def problems(self) -> Iterator[Problem]:
        """Lines that cannot be read: torn at the end of a file, where a crash leaves one, or corrupt."""
        for where, capture, is_torn in self._lines(None, None, photos=False):
            if capture is None:
                yield Problem(word="torn" if is_torn else "corrupt", where=where)

    def bytes_by_hour(self) -> dict[datetime, int]:
        """What retention goes by."""
        sizes: dict[datetime, int] = {}
        for info in self._place.names(SUFFIX):
            hour = hour_of(info.name)
            assert hour is not None
            sizes[hour] = sizes.get(hour, 0) + info.size
        return sizes

    def remove_before(self, moment: datetime) -> None:
        """Delete the hours that were over then."""
        self._place.remove_before(moment)

    def oldest_of_endpoint(self) -> datetime | None:
        """As `Place.oldest_of_endpoint`."""
        return self._place.oldest_of_endpoint()

    def _append(self, folder: Path, data: bytes) -> None:
        try:
            if self._file is None or self._file.folder != folder:
                self.close()
                self._file = _Appended(folder)
            self._file.append(data)
        except OSError as error:
            # After a failed write or fsync nobody knows what of the file will reach the disk: the next goes to a new one.
            with suppress(OSError):
                self.close()
            self._file = None
            raise failed(error, folder) from None

    def _lines(
        self, since: datetime | None, until: datetime | None, photos: bool
    ) -> Iterator[tuple[str, Capture | None, bool]]:
        """(file and line, its capture or None, whether it is a last line without its end) of every line."""
        for info in self._place.names(SUFFIX):
            hour = hour_of(info.name)
            assert hour is not None
            if (since and hour_folder(hour) < hour_folder(since)) or (until and hour >= until):
                continue
            lines = self._place.objects().read(info.name).split(b"\n")
            for number, line in enumerate(lines, 1):
                if line:
                    where = f"{self._place.address(info.name)}:{number}"
                    capture = None if number == len(lines) else _capture(line, photos)
                    if capture is not None and capture.photo_sha256 is not None:
                        capture = replace(capture, photo_at=where)
                    yield where, capture, number == len(lines)


def is_line(address: str) -> bool:
    """Whether this is where a photo lies within a file of lines, and not a file of its own."""
    return _LINE.fullmatch(address) is not None


def line_reader() -> Callable[[str], bytes]:
    """How to get a photo by where it lies; of a few files all lines are kept, as photos of one hour come together.

    It raises `MissingObject` where the file is gone, or holds no photo there.
    """

    @lru_cache(maxsize=4)
    def lines(folder: str, file: str) -> list[bytes]:
        return open_store(folder).read(file).split(b"\n")

    def read(address: str) -> bytes:
        found = _LINE.fullmatch(address)
        assert found is not None
        number, there = int(found["number"]), lines(found["folder"], found["file"])
        capture = _capture(there[number - 1], photos=True) if number <= len(there) else None
        if capture is None or capture.photo is None:
            raise MissingObject(
                f"{address} holds no photo any more; binsight captures verify names what is damaged"
            )
        return capture.photo

    return read


class _Appended:
    """A file that lines are added to, each batch on the disk when `append` returns."""

    def __init__(self, folder: Path) -> None:
        make_folder_durably(folder)
        self.folder = folder
        path = folder / _file_name()
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        self._size = 0
        sync_folder(folder)

    def append(self, data: bytes) -> None:
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(self._descriptor, left) :]
            os.fsync(self._descriptor)
        except OSError:
            with suppress(OSError):  # no torn line, where the disk allows that much
                os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)

    def close(self) -> None:
        os.close(self._descriptor)


def _file_name() -> str:
    """As SageMaker's: minute, second, millisecond, and what makes it unique."""
    now = datetime.now(UTC)
    return f"{now:%M-%S}-{now.microsecond // 1000:03}-{uuid.uuid4()}{SUFFIX}"


def _line(capture: Capture) -> bytes:
    data: dict[str, Any] = {}
    if capture.photo is not None:
        data["endpointInput"] = {
            "observedContentType": capture.photo_type,
            "mode": "INPUT",
            "data": base64.b64encode(capture.photo).decode(),
            "encoding": "BASE64",
        }
    data["endpointOutput"] = {
        "observedContentType": "application/json",
        "mode": "OUTPUT",
        "data": capture.answer,
        "encoding": "JSON",
    }
    about: dict[str, Any] = {
        "eventId": capture.event_id,
        "inferenceTime": f"{capture.captured_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }
    if capture.inference_id is not None:
        about["inferenceId"] = capture.inference_id
    if capture.share is not None:
        about["customAttributes"] = [f"{SHARE}{capture.share!r}"]
    line = {"captureData": data, "eventMetadata": about, "eventVersion": "0"}
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def _capture(line: bytes, photos: bool) -> Capture | None:
    """The capture of a line; None where the line is not one."""
    try:
        fields = json.loads(line)
        about, kept = fields["eventMetadata"], fields["captureData"].get("endpointInput")
        photo = None if kept is None else base64.b64decode(kept["data"], validate=True)
        capture = Capture(
            event_id=str(about["eventId"]),
            captured_at=datetime.fromisoformat(about["inferenceTime"]),
            answer=str(fields["captureData"]["endpointOutput"]["data"]),
            inference_id=about.get("inferenceId"),
            photo_sha256=None if photo is None else hashlib.sha256(photo).hexdigest(),
            photo_type=None if kept is None else str(kept["observedContentType"]),
            photo=photo if photos else None,
            share=_share(about.get("customAttributes")),
        )
        json.loads(capture.answer)
    except (ValueError, KeyError, TypeError, AttributeError, BadInput):
        return None
    return capture


def _share(attributes: Any) -> float | None:
    """What one of them says, None where none does: a line that SageMaker wrote has what its callers sent along."""
    for one in attributes if isinstance(attributes, list) else ():
        if str(one).startswith(SHARE):
            with suppress(ValueError):
                return float(str(one).removeprefix(SHARE))
    return None
