"""The folder a fetch writes into: files arrive whole or not at all, and what is missing is listed.

```
DIR/
├── bin-images/<id>.jpg    the photos, byte for byte
├── metadata/<id>.json     their records
├── fetch.jsonl            the journal: every file that is wholly there, with its size and SHA-256
└── missing.csv            photo, what, reason: what the last run did not get (only where there was any)
```
"""

import csv
import os
import shutil
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self

from binsight.dataset.journal import Journal
from binsight.errors import BadInput, StorageFailure

PHOTOS = "bin-images"
RECORDS = "metadata"
MISSING_NAME = "missing.csv"

_TEMPORARY = ".fetching"


class FetchFolder:
    """The open folder, with its journal; a context manager that leaves no temporary file behind.

    Raises `StorageFailure` from every method that writes, where the disk is full or does not allow it.
    """

    def __init__(self, folder: Path, source: str) -> None:
        """Raises as `Journal` does."""
        self.folder = folder
        self._prefix = f"{folder}/"
        self._temporary = folder / _TEMPORARY
        self._make(folder)
        self.journal = Journal(folder, source)
        # Left by a run that was killed. Only now: the journal's lock says that no other run uses it.
        shutil.rmtree(self._temporary, ignore_errors=True)
        for name in (PHOTOS, RECORDS, _TEMPORARY):
            self._make(folder / name)
        self._num_missing = 0
        self._missing = (self._temporary / MISSING_NAME).open("w", newline="", encoding="utf-8")
        self._missing_rows = csv.writer(self._missing)
        self._missing_rows.writerow(["photo", "what", "reason"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # of a full disk: the run has failed with that already
            self._missing.close()
        shutil.rmtree(self._temporary, ignore_errors=True)
        for name in (PHOTOS, RECORDS):
            with suppress(OSError):  # it holds files, as it should
                (self.folder / name).rmdir()
        self.journal.close()

    def has(self, name: str, *, verify: bool) -> bool:
        """Whether the file is there as it was fetched: same size, and with `verify` the same bytes."""
        return self.journal.has_file(name, verify=verify)

    def read(self, name: str) -> bytes:
        """A file that is there."""
        return (self.folder / name).read_bytes()

    def keep(self, name: str, data: bytes) -> None:
        """Put a file into the folder, whole, and note it in the journal."""
        # Plain strings and file descriptors: pathlib and file objects would cost as much as the writing itself.
        temporary = f"{self._prefix}{_TEMPORARY}/{name.rpartition('/')[2]}"
        try:
            file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            try:
                written = os.write(file, data)
            finally:
                os.close(file)
            if written == len(data):
                os.replace(temporary, self._prefix + name)  # noqa: PTH105
        except OSError as error:
            raise _unwritable(self.folder / name, error.strerror) from None
        if written != len(data):  # what the disk had room for
            raise _unwritable(self.folder / name, "disk full")
        self.journal.add_file(name, len(data), sha256(data).hexdigest())

    def report_missing(self, photo: str, what: str, reason: str) -> None:
        """List what could not be had: `photo`, `record` or `both`."""
        self._num_missing += 1
        try:
            self._missing_rows.writerow([photo, what, reason])
        except OSError as error:
            raise _unwritable(self.folder / MISSING_NAME, error.strerror) from None

    def publish_missing(self) -> None:
        """Put this run's list of what is missing in the place of the last run's."""
        path = self.folder / MISSING_NAME
        try:
            self._missing.close()
            if self._num_missing:
                (self._temporary / MISSING_NAME).replace(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise _unwritable(path, error.strerror) from None

    def _make(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise BadInput(f"{folder} must be a folder, but is a file; name another") from None
        except OSError as error:
            raise _unwritable(folder, error.strerror) from None


def _unwritable(path: Path, why: str | None) -> StorageFailure:
    return StorageFailure(
        f"{path} cannot be written ({why}); free space or check the rights, then run the same command again"
    )
