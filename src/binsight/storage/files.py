"""Files that are whole or not there at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from secrets import token_hex

from binsight.errors import BadInput, BinsightError, StorageFailure


def make_folder(folder: Path) -> None:
    """Make a folder, where it is not there yet.

    Raises `BadInput` where a file is in its way, `StorageFailure` where it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise BadInput(f"{folder} must be a folder, but a file is in its way; choose another folder") from None
    except OSError as error:
        raise StorageFailure(f"{folder} cannot be made ({error.strerror}); choose another folder") from None


def part_of(path: Path) -> Path:
    """A temporary name beside `path` that nobody else has: threads share a process, containers the number of theirs."""
    return path.with_name(f".{path.name}.{token_hex(6)}.part")


@contextmanager
def written_whole(path: Path, *, placing: AbstractContextManager[None] | None = None) -> Iterator[Path]:
    """A temporary path to write to, put in `path`'s place once the block ends well: nobody sees half a file.

    It is put there within `placing`: what must be so only with the file, or can forbid it. Raises `StorageFailure` naming
    the path where the disk fails.
    """
    part = part_of(path)
    try:
        yield part
        with placing or nullcontext():
            part.replace(path)
    except (BinsightError, BrokenPipeError):
        raise  # of something else that failed meanwhile, which says so itself, or of who read the output
    except OSError as error:
        raise StorageFailure(
            f"{path} could not be written ({error.strerror or error}); free space and run again"
        ) from None
    finally:
        with suppress(OSError):  # where it could not be made, it cannot be removed
            part.unlink(missing_ok=True)


@contextmanager
def folder_written_whole(out: Path) -> Iterator[Path]:
    """A temporary folder beside `out` that takes its place once the block ends well."""
    part, old = (out.with_name(f".{out.name}.{os.getpid()}.{what}") for what in ("part", "old"))
    try:
        part.mkdir(parents=True)
        yield part
        if out.exists():
            out.replace(old)
        part.replace(out)
    except OSError as error:
        raise StorageFailure(
            f"{out} could not be written ({error.strerror or error}); free space and run again"
        ) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
