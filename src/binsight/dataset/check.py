"""Decode every photo once, in worker processes, and lay its unchanged bytes aside for the dataset."""

import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path

from binsight.dataset.likeness import Fingerprint, fingerprint
from binsight.errors import BadPhoto, StorageFailure
from binsight.imaging.decode import Limits, decode_photo
from binsight.processes import ctrl_c_blocked, worker_processes

_BATCH = 32
"""Photos a task: handing one over costs about as much as decoding a small photo."""

_AHEAD = 4
"""Tasks a worker has waiting: enough to keep it busy, few enough to keep memory flat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoFile:
    """One photo to check: `path` is read, `staged` is where its bytes go if it is good."""

    photo: str
    path: Path
    staged: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedPhoto:
    """What checking found: `reason` and `detail` where the photo is bad, the other fields where it is good."""

    photo: str
    sha256: str = ""
    width: int = 0
    height: int = 0
    fingerprint: Fingerprint | None = None
    reason: str = ""
    detail: str = ""


Check = Callable[[Iterable[PhotoFile], Limits], Iterator[CheckedPhoto]]
"""Who checks photos, and answers in their order: `by_processes`, or another engine."""


def by_processes(num_jobs: int) -> Check:
    """As many worker processes of this machine; this one for a single job."""
    return partial(check_photos, num_jobs=num_jobs)


def check_photos(files: Iterable[PhotoFile], limits: Limits, *, num_jobs: int) -> Iterator[CheckedPhoto]:
    """Check photos in worker processes, or in this one for a single job; answers come in the order of `files`.

    Raises `StorageFailure` where a photo cannot be staged, or a worker was killed.
    """
    if num_jobs == 1:
        yield from (check_photo(file, limits) for file in files)
        return
    with worker_processes(num_jobs) as pool:
        waiting: deque[Future[list[CheckedPhoto]]] = deque()
        try:
            for batch in batches(files):
                with ctrl_c_blocked():  # submitting may start a worker
                    waiting.append(pool.submit(check_batch, batch, limits))
                if len(waiting) > num_jobs * _AHEAD:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        except BrokenProcessPool:
            raise StorageFailure(
                "a worker process was killed, probably because memory ran out; try again with fewer --jobs"
            ) from None


def check_photo(file: PhotoFile, limits: Limits) -> CheckedPhoto:
    """Decode one photo and stage its bytes. A bad photo is an answer; a disk that cannot be written is an error."""
    try:
        data = _read(file.path, limits)
        image = decode_photo(data, name=file.path.name, limits=limits)
    except BadPhoto as error:
        return CheckedPhoto(photo=file.photo, reason=error.reason, detail=str(error))
    except OSError as error:
        detail = f"{file.path.name} cannot be read ({error.strerror}); check its rights and the disk"
        return CheckedPhoto(photo=file.photo, reason="unreadable", detail=detail)
    file.staged.write_bytes(data)
    return CheckedPhoto(
        photo=file.photo,
        sha256=sha256(data).hexdigest(),
        width=image.width,
        height=image.height,
        fingerprint=fingerprint(image),
    )


def _read(path: Path, limits: Limits) -> bytes:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device might never end
        raise BadPhoto(f"{path.name} is not a plain file; remove it", reason="unreadable")
    if status.st_size > limits.max_bytes:
        raise BadPhoto(
            f"{path.name} must be at most {limits.max_bytes:,} bytes, but has {status.st_size:,}; save it smaller",
            reason="too_many_bytes",
        )
    return path.read_bytes()


def check_batch(files: list[PhotoFile], limits: Limits) -> list[CheckedPhoto]:
    """What checking found of each, as a task of a worker."""
    return [check_photo(file, limits) for file in files]


def batches(files: Iterable[PhotoFile]) -> Iterator[list[PhotoFile]]:
    """The photos of one task each."""
    remaining = iter(files)
    while batch := list(islice(remaining, _BATCH)):
        yield batch
