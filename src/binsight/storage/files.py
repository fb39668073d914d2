"""Files that are whole or not there at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

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


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary path to write to, put in `path`'s place once the block ends well: nobody sees half a file.

    Raises `StorageFailure` naming the path where the disk fails.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
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
