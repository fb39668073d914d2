"""Evidence of what an audit found in some bins: a page, the same as JSON, the photos as they were, and all their hashes.

```
ledger: lines, entries ─┐
                        ├─▶ files by name ─▶ manifest.json ─▶ its hash in the journal ─▶ a folder or a zip
photos, checked by hash ┘
```
Whoever changes a file breaks the manifest; whoever changes the manifest no longer has the hash that the journal keeps.
"""

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from binsight.audit.evidence_page import evidence_page
from binsight.audit.stored import site_of
from binsight.counting.counter import PhotoBytes
from binsight.counting.sources import SUFFIXES
from binsight.errors import BinsightError, MissingObject
from binsight.storage.ledger import AuditLineRow, Audits, Evidence, Ledger

FACTS, MANIFEST = "evidence.json", "manifest.json"
FORMAT = 1
NOT_HASHED = "the audit kept no hash of it, since it was counted elsewhere"
NOT_READ = "photos were not asked for"
Read = Callable[[str], PhotoBytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceBundle:
    """Files by name, and what is missing of them: a sentence for each photo that could not be had as it was."""

    files: Mapping[str, bytes]
    missing: Sequence[str]

    def as_zip(self) -> bytes:
        """All of them in one archive."""
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in self.files.items():
                archive.writestr(name, data)
        return out.getvalue()


def make_evidence(
    ledger: Ledger,
    audit_id: str,
    bin_ids: Sequence[str],
    read: Read | None,
    *,
    by: str,
    site: str | None = None,
) -> EvidenceBundle:
    """Evidence of what the audit found in these bins, at all sites or at one; `read` gives a photo by its name, None where
    photos stay out.

    That it was made is an entry of the journal, with the manifest's hash. A photo that is not the audit's any more, by
    its hash, stays out and is named. Raises `MissingObject` for an audit or a bin that is not in the ledger.
    """
    audit, source = Audits(ledger).read(audit_id), Evidence(ledger)
    found = source.lines(audit_id, bin_ids)
    lines = [line for line in found if site is None or site_of(line.record) == site]
    if unknown := sorted(set(bin_ids) - {line.bin_id for line in lines}):
        raise MissingObject(f"audit {audit_id} has no line of bin {', '.join(unknown[:5])}; check the bins' ids")
    folder = str(audit.terms.get("folder", ""))
    photos = {line.place: _photo(line, read, folder) for line in lines}
    missing = [said for photo in photos.values() if (said := photo.missing)]
    facts = {
        "format": FORMAT,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "made_by": by,
        "audit": asdict(audit),
        "lines": [_line(line) | {"photo_file": photos[line.place].file} for line in lines],
        "journal": [asdict(entry) for entry in source.entries(audit_id, [line.place for line in lines])],
        "missing": missing,
    }
    files = {photo.file: photo.data for photo in photos.values() if photo.file is not None}
    files[FACTS] = _json(facts)
    pictures = {place: photo.data for place, photo in photos.items() if photo.file is not None}
    files |= evidence_page(facts, pictures).files()
    manifest = {"format": FORMAT, "audit": audit_id, "files": {name: _hash(data) for name, data in files.items()}}
    files[MANIFEST] = _json(manifest)
    source.made(audit_id, {"bins": list(bin_ids), "manifest_sha256": _hash(files[MANIFEST])}, by=by)
    return EvidenceBundle(files=files, missing=missing)


def evidence_faults(files: Mapping[str, bytes], ledger: Ledger | None = None) -> list[str]:
    """What is wrong with evidence, a sentence each; none where every file is as its manifest says, every photo the one
    that its line names, and, where a ledger is given, the manifest the one of an entry in its journal."""
    try:
        manifest, facts = json.loads(files[MANIFEST]), json.loads(files[FACTS])
        hashes, audit_id = dict(manifest["files"]), str(manifest["audit"])
        wanted = {line["photo_file"]: line["photo_sha256"] for line in facts["lines"] if line["photo_file"]}
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        return [f"{MANIFEST} or {FACTS} is missing or damaged ({error!r})"]
    faults = [f"{name} is missing" for name in hashes if name not in files]
    for name, data in files.items():
        if name != MANIFEST and name not in hashes:
            faults.append(f"{name} was put in")
        elif name != MANIFEST and hashes[name] != _hash(data):
            faults.append(f"{name} was changed")
    faults += [f"{name} is not the audit's photo" for name, digest in wanted.items() if hashes.get(name) != digest]
    if ledger is not None and Evidence(ledger).entry_of(audit_id, _hash(files[MANIFEST])) is None:
        faults.append(f"{MANIFEST} is none that the ledger's journal knows of")
    return faults


@dataclass(frozen=True, slots=True, kw_only=True)
class _Photo:
    file: str | None
    data: bytes = b""
    missing: str | None = None


def _photo(line: AuditLineRow, read: Read | None, folder: str) -> _Photo:
    """The photo as it was, or why it is not there. `folder` is the one in which the audit was made."""
    if line.photo is None:
        return _Photo(file=None)
    why = NOT_HASHED if line.photo_sha256 is None else NOT_READ if read is None else None
    if why is None and read is not None:
        try:
            photo = read(line.photo if "://" in line.photo else str(Path(folder, line.photo)))
            data = photo() if callable(photo) else photo
        except BinsightError as error:
            why = str(error)
        else:
            if _hash(data) == line.photo_sha256:
                return _Photo(file=f"photos/{line.place}{_suffix(line.photo)}", data=data)
            why = "what is there now is another photo, by its hash"
    return _Photo(file=None, missing=f"photo {line.photo} of bin {line.bin_id} is not in here: {why}")


def _suffix(name: str) -> str:
    suffix = PurePosixPath(name).suffix.lower()
    return suffix if suffix in SUFFIXES else ".bin"


def _line(line: AuditLineRow) -> dict[str, Any]:
    fields = asdict(line)
    return fields | {
        name: None if fields[name] is None else json.loads(fields[name]) for name in ("record", "estimate")
    }


def _hash(data: bytes) -> str:
    return sha256(data).hexdigest()


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, default=dict) + "\n").encode()
