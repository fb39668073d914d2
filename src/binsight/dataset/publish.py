"""A folder that appears whole or not at all: built under a temporary name beside its place, renamed at the end."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from binsight.errors import BadInput, BinsightError, StorageFailure


def partial_folder(folder: Path) -> Path:
    """Where `folder` is built: beside it, so that the last rename stays within one file system."""
    return folder.with_name(f".{folder.name}.partial")


@contextmanager
def building(folder: Path) -> Iterator[Path]:
    """The empty temporary folder in which to build `folder`; removed where the block fails.

    What a killed run left is cleared away first. The folder is locked, so that two runs never build in it at
    once. Raises `StorageFailure` where it is locked, and in place of the `OSError` of a full disk.
    """
    partial = partial_folder(folder)
    try:
        partial.mkdir(parents=True, exist_ok=True)
        lock = os.open(partial, os.O_RDONLY)
    except OSError as error:
        raise _unwritable(folder, error) from None
    try:
        _lock(lock, partial)
        try:
            _empty(partial)
            yield partial
        except BinsightError:
            raise
        except OSError as error:
            raise _unwritable(folder, error) from None
        finally:
            if _is_locked_folder(partial, lock):  # not where it was published
                shutil.rmtree(partial, ignore_errors=True)
    finally:
        os.close(lock)


def publish(partial: Path, folder: Path) -> None:
    """Give a built folder its name. Raises `BadInput` where it is taken: nothing is overwritten."""
    try:
        partial.rename(folder)
    except OSError as error:
        if folder.exists():
            raise BadInput(
                f"{folder} exists with other content and is never overwritten; choose another name"
            ) from None
        raise _unwritable(folder, error) from None


def _lock(lock: int, partial: Path) -> None:
    busy = StorageFailure(f"{partial} is in use by another run; wait for it to end")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise busy from None
    # The other run may have renamed or removed the folder between opening and locking it.
    if not _is_locked_folder(partial, lock):
        raise busy


def _is_locked_folder(partial: Path, lock: int) -> bool:
    return partial.exists() and os.path.samestat(partial.stat(), os.fstat(lock))


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _unwritable(folder: Path, error: OSError) -> StorageFailure:
    return StorageFailure(
        f"{folder} cannot be written ({error.strerror or error}); nothing is left of it: "
        "free space or check the rights, and run the same command again"
    )
