"""Photos of audits for pages: read where the audit found them, proven where it kept a hash, without their metadata."""

import logging
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from binsight.counting.sources import photo_reader
from binsight.errors import BadPhoto, MissingObject
from binsight.imaging.strip import photo_type, stripped
from binsight.storage.ledger import AuditLineRow, Audits, Ledger

log = logging.getLogger(__name__)


class Photos:
    """The photos that a ledger's audits name. Every method raises as the ledger's transactions do."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def of(self, audit: str, line: AuditLineRow) -> tuple[bytes, str]:
        """A line's photo and its media type, metadata taken off: that may say what the record does.

        Raises `MissingObject` where there is none or it is gone, `BadPhoto` where it is not the one that was counted.
        """
        if line.photo is None:
            raise MissingObject(f"bin {line.bin_id} has no photo; count it where it is")
        data = self.whole(audit, line)
        kind = photo_type(data)
        return stripped(data), kind

    def whole(self, audit: str, line: AuditLineRow) -> bytes:
        """A line's photo as it was, byte by byte. Raises as `of`."""
        name = line.photo or ""
        source = reader()(self._placed(audit, name))
        try:
            data = source() if callable(source) else source
        except MissingObject as error:
            # Its name and place are for the log: a name can say what is in the bin, to who counts blind.
            log.warning("%s", error)
            raise MissingObject(f"the photo of bin {line.bin_id} is gone; count it where it is") from None
        if line.photo_sha256 is not None and sha256(data).hexdigest() != line.photo_sha256:
            raise BadPhoto(
                f"the photo of bin {line.bin_id} is not the one that was counted; look at the bin", reason="changed"
            )
        return data

    def _placed(self, audit: str, name: str) -> str:
        """A file's name is one in the folder where the audit ran."""
        if name.startswith("s3://"):
            return name
        folder = Audits(self._ledger).read(audit).terms.get("folder", "")
        return str(Path(folder) / name)


reader = lru_cache(maxsize=1)(photo_reader)
"""One reader for all, so that connections to buckets are kept."""
