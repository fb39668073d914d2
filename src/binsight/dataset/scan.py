"""Opens every photo of a source once, in several processes, and keeps what is worth knowing of each."""

import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path

from binsight.dataset.intake import SourcePhoto
from binsight.dataset.likeness import Fingerprint, fingerprint
from binsight.errors import BadPhoto, BinsightError
from binsight.imaging import Limits, decode_photo, limits_set
from binsight.imaging.bin_label import read_bin_label
from binsight.imaging.quality import Quality, measure_quality

CHUNK = 16
"""Photos handed to a process at a time: enough that the hand-over costs nothing, few enough that a bar moves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What one opened photo shows: some 2 KB, whatever the photo's size."""

    sha256: str
    num_bytes: int
    quality: Quality
    fingerprint: Fingerprint
    bin_label: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """Why a photo could not be opened: `BadPhoto`'s reason, or `unreadable` where the file could not be read."""

    reason: str
    detail: str


def scan_photo(path: Path, *, read_labels: bool, limits: Limits) -> Scan | Unreadable:
    """Open one photo. Never raises for a bad file."""
    try:
        data = _read_bounded(path, limits)
        image = decode_photo(data, name=path.name, limits=limits)
    except BadPhoto as error:
        return Unreadable(reason=error.reason, detail=str(error))
    except OSError as error:
        return Unreadable(reason="unreadable", detail=f"{path.name} cannot be read ({error.strerror})")
    return Scan(
        sha256=sha256(data).hexdigest(),
        num_bytes=len(data),
        quality=measure_quality(image),
        fingerprint=fingerprint(image),
        bin_label=read_bin_label(image) if read_labels else None,
    )


def _read_bounded(path: Path, limits: Limits) -> bytes:
    num_bytes = path.stat().st_size
    if num_bytes > limits.max_bytes:
        raise BadPhoto(
            f"{path.name} must be at most {limits.max_bytes:,} bytes, but has {num_bytes:,}; save it smaller",
            reason="too_many_bytes",
        )
    return path.read_bytes()


def scan_photos(
    photos: Sequence[SourcePhoto], *, jobs: int, read_labels: bool = True
) -> Iterator[Scan | Unreadable]:
    """Open the photos in order, `jobs` at a time; memory is bounded by the largest `jobs` photos.

    Raises `BinsightError` where the system ends a process, as it does when memory runs out.
    """
    limits = limits_set()
    scan = partial(scan_photo, read_labels=read_labels, limits=limits)
    paths = [photo.path for photo in photos]
    jobs = min(jobs, -(-len(paths) // CHUNK))  # starting a process takes longer than opening a few photos
    if jobs <= 1:
        yield from map(scan, paths)
        return
    # Spawned, not forked: a fork of a process with threads (the progress bar's) can hang.
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))
    try:
        with _interrupts_held_back():
            results = pool.map(scan, paths, chunksize=CHUNK)
        yield from results
    except BrokenProcessPool:
        raise BinsightError(
            "a process that opened photos was ended by the system, as when memory runs out; "
            "run again with fewer --jobs"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Hold back Ctrl-C, for good in processes started meanwhile: it is for the parent alone to end them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
