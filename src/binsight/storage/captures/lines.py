"""SageMaker's layout: JSON lines in the folder of their hour, photos in base64.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html
"""

import io
import os
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from itertools import groupby
from pathlib import Path

from binsight.errors import MissingObject, StorageFailure
from binsight.storage.captures.capture import Capture, Problem, hour_folder, hour_of
from binsight.storage.captures.line import captures_in, line_of
from binsight.storage.captures.place import Place, failed, make_folder_durably, sync_folder
from binsight.storage.objects import open_store

SUFFIX = ".jsonl"
_LINE = re.compile(rf"(?P<folder>.*)/(?P<file>[^/]+{re.escape(SUFFIX)}):(?P<number>[0-9]+)(?:#[0-9]+)?")
"""Where a photo lies within a file of lines: in which line, and as which of several there."""


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
            data = b"".join(line_of(capture) for capture in group)
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

        Lines that cannot be read, and answers that are no photo's, are passed over: `problems` names them.
        """
        for one in self._found(since, until, photos):
            if isinstance(one, Problem):
                continue
            if (since is None or one.captured_at >= since) and (until is None or one.captured_at < until):
                yield one

    def problems(self) -> Iterator[Problem]:
        """Lines that cannot be read: torn at the end of a file, where a crash leaves one, or corrupt; and whole ones that
        cannot be used."""
        yield from (one for one in self._found(None, None, photos=False) if isinstance(one, Problem))

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
            if self._file is None or self._file.folder != folder or not self._file.is_there():
                self.close()
                self._file = _Appended(folder)
            self._file.append(data)
        except OSError as error:
            # After a failed write or fsync nobody knows what of the file will reach the disk: the next goes to a new one.
            with suppress(OSError):
                self.close()
            self._file = None
            raise failed(error, folder) from None

    def _found(self, since: datetime | None, until: datetime | None, photos: bool) -> Iterator[Capture | Problem]:
        """What the lines hold of the hours from `since` to `until`."""
        for info in self._place.names(SUFFIX):
            hour = hour_of(info.name)
            assert hour is not None
            if (since and hour_folder(hour) < hour_folder(since)) or (until and hour >= until):
                continue
            for number, line in enumerate(self._lines(info.name), 1):
                where = f"{self._place.address(info.name)}:{number}"
                if not line.endswith(b"\n"):
                    yield Problem(word="torn", where=where)
                elif line != b"\n":
                    yield from captures_in(line, where, photos=photos)

    def _lines(self, name: str) -> Iterator[bytes]:
        """The lines of a file with their ends, one by one: an hour of photos need not fit into memory, where it lies in a
        folder, nor twice, where it lies in a bucket."""
        if self._place.folder is None:
            yield from io.BytesIO(self._place.objects().read(name))
            return
        path = self._place.folder / name
        try:
            with path.open("rb") as file:
                yield from file
        except FileNotFoundError:
            raise MissingObject(f"{path} is not there any more; run the same command again") from None
        except OSError as error:
            raise StorageFailure(f"{path} cannot be read ({error.strerror or error}); mend the disk") from None


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
        where = f"{found['folder']}/{found['file']}:{number}"
        for one in captures_in(there[number - 1], where, photos=True) if number <= len(there) else ():
            if isinstance(one, Capture) and one.photo_at == address and one.photo is not None:
                return one.photo
        raise MissingObject(f"{address} holds no photo any more; binsight captures verify names what is damaged")

    return read


class _Appended:
    """A file that lines are added to, each batch on the disk when `append` returns."""

    def __init__(self, folder: Path) -> None:
        make_folder_durably(folder)
        self.folder = folder
        self._path = folder / _file_name()
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        self._size = 0
        sync_folder(folder)

    def is_there(self) -> bool:
        """Whether the file is still where it was made: what is added to one whose folder was removed or replaced, as by a
        mount, nobody finds."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), self._path.stat())
        except FileNotFoundError:
            return False

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
