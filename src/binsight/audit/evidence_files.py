"""Evidence on disk: a folder, or a zip."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

from binsight.audit.evidence import MANIFEST, EvidenceBundle
from binsight.errors import BadInput, MissingObject
from binsight.storage.files import make_folder, written_whole

MAX_BYTES = 1 << 30
"""Of all files of a bundle together, unpacked."""


def write_evidence(bundle: EvidenceBundle, out: Path) -> None:
    """Write a folder that is new or empty, or, where the name ends so, a zip. The manifest is written last.

    Raises `BadInput` where something else is there, `StorageFailure` where the disk fails.
    """
    if out.suffix.lower() == ".zip":
        with written_whole(out) as part:
            part.write_bytes(bundle.as_zip())
        return
    make_folder(out)
    if any(out.iterdir()):
        raise BadInput(f"{out} must be a new or empty folder, but has files; name another")
    for name in sorted(bundle.files, key=lambda name: name == MANIFEST):
        make_folder((out / name).parent)
        with written_whole(out / name) as part:
            part.write_bytes(bundle.files[name])


def read_evidence(path: Path) -> Mapping[str, bytes]:
    """All files of a folder or zip by name. Raises `MissingObject`, and `BadInput` for what is neither or too large."""
    if path.is_dir():
        paths = [file for file in sorted(path.rglob("*")) if file.is_file()]
        _check_size(path, sum(file.stat().st_size for file in paths))
        return {file.relative_to(path).as_posix(): file.read_bytes() for file in paths}
    try:
        with zipfile.ZipFile(path) as archive:
            _check_size(path, sum(part.file_size for part in archive.infolist()))
            return {part.filename: archive.read(part) for part in archive.infolist() if not part.is_dir()}
    except FileNotFoundError:
        raise MissingObject(f"{path} is not there; name a folder or .zip of evidence") from None
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise BadInput(f"{path} is neither a folder nor a whole .zip ({error}); get it again") from None


def _check_size(path: Path, size: int) -> None:
    if size > MAX_BYTES:
        raise BadInput(f"{path} must have at most {MAX_BYTES >> 20:,} MiB, but has {size >> 20:,}; is it evidence?")
