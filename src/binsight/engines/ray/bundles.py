"""A bundle on its way to workers of other machines, which need not have it."""

import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from binsight.counting import Bundle
from binsight.counting.bundle import SPEC_NAME
from binsight.errors import BadBundle, MissingObject
from binsight.settings import settings
from binsight.storage.files import make_folder

Packed = Mapping[str, bytes]
"""Every file of a bundle by its name."""


def packed(bundle: Bundle) -> Packed:
    """The bundle's own files, and nothing that lies beside them."""
    return {name: (bundle.folder / name).read_bytes() for name in (SPEC_NAME, *bundle.spec.files)}


def unpacked(files: Packed, version: str) -> Path:
    """The folder with the bundle in this machine's cache, written where it is not there whole."""
    kept = settings().cache_dir.expanduser() / "bundles" / version
    if (kept / SPEC_NAME).is_file():
        if _is_whole(kept, version):
            return kept
        shutil.rmtree(kept)
    make_folder(kept.parent)
    with tempfile.TemporaryDirectory(prefix=f".{version}.", dir=kept.parent) as part:
        folder = Path(part) / "bundle"
        for name, data in files.items():
            make_folder((folder / name).parent)
            (folder / name).write_bytes(data)
        with suppress(OSError):  # another worker of this machine was first
            folder.replace(kept)
    return kept


def _is_whole(folder: Path, version: str) -> bool:
    try:
        return Bundle.open(folder).version == version
    except (BadBundle, MissingObject):
        return False
