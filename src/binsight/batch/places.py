"""Where the photos are and where the rows go, as plain values that any worker can open for itself."""

import os
from dataclasses import dataclass
from pathlib import Path

from binsight.batch.photos import Photos, open_photos
from binsight.errors import BadInput, MissingObject, MissingStore
from binsight.storage.files import make_folder, written_whole
from binsight.storage.objects import Objects, open_store

JOB = "_job"
"""The folder of what is no row: readers of Parquet folders pass over names that begin with `_` or `.`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Both ends of a job. `anonymous` is for the photos alone; nobody writes unsigned."""

    photos: str
    out: str
    endpoint_url: str | None = None
    anonymous: bool = False

    @classmethod
    def of(cls, photos: str, out: str, *, endpoint_url: str | None, anonymous: bool) -> "Places":
        """As a command line names them; folders become absolute, so that they mean the same to every process."""
        return cls(photos=_whole(photos), out=_whole(out), endpoint_url=endpoint_url, anonymous=anonymous)

    def open_photos(self) -> Photos:
        """Raises as `open_store`."""
        return open_photos(self.photos, endpoint_url=self.endpoint_url, anonymous=self.anonymous)

    def open_out(self) -> "Output":
        """Raises as `open_store`."""
        return Output(self.out, open_store(self.out, endpoint_url=self.endpoint_url, create=True))


@dataclass(frozen=True)
class Output:
    """The opened output. Everything raises as `Objects` does."""

    url: str
    objects: Objects

    def write(self, name: str, data: bytes) -> None:
        """Write an object whole or not at all.

        In a folder, what a SIGKILL leaves of it has a name that readers of Parquet pass over, and after a loss of power
        nothing under the full name is empty.
        """
        if self.url.startswith("s3://"):
            self.objects.write(name, data)
            return
        path = Path(self.url, name)
        make_folder(path.parent)
        with written_whole(path) as part, part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def read_if_there(self, name: str) -> bytes | None:
        """None where there is no such object."""
        try:
            return self.objects.read(name)
        except MissingStore:
            raise
        except MissingObject:
            return None


def _whole(url: str) -> str:
    if "://" not in url:
        return str(Path(url).absolute())
    if not url.startswith("s3://"):
        raise BadInput(f"{url} must be a folder or s3://bucket/prefix; name it so")
    return url.rstrip("/")
