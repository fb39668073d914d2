"""A certificate for bins of one's own: from photos of bins that people counted with care."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import numpy as np

from binsight.audit.lines import AuditLine
from binsight.audit.mapping import Mapping, RecordColumns
from binsight.audit.seen import SeenPhotos
from binsight.counting import Counter
from binsight.counting.bundle import CERTIFICATE_NAME
from binsight.decision.certificate import Certificate, read_certificate
from binsight.decision.certify import certify
from binsight.decision.measures import count_prior
from binsight.errors import BadInput, MissingObject
from binsight.records import StockRecord
from binsight.storage.files import written_whole

NOTE = (
    "From photos of bins that were counted by people: it holds for bins, cameras and counts like these, as far as those "
    "counts are right."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What a certificate is made of, and how many bins could not be used: without a photo, or with one of another bin."""

    certificate: Certificate
    num_unused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """A certificate that is in force, and the hash of its file."""

    certificate: Certificate
    sha256: str

    def at(self, alpha: float) -> Certificate:
        """The certificate, which must certify something at this bound. Raises `BadInput` where it does not."""
        bounds = sorted({band.alpha for band in self.certificate.bands})
        if alpha not in bounds:
            known = " or ".join(f"{bound:g}" for bound in bounds)
            raise BadInput(f"--alpha must be one that the model is certified at, {known}, but is {alpha:g}")
        return self.certificate


def certificate_in_force(counter: Counter, file: Path | None) -> InForce | None:
    """That of `file`, or else the bundle's own; None where it has none.

    Raises `MissingObject`, `BadCertificate`, and `BadInput` for one that was made for another model.
    """
    data = counter.bundle.certificate() if file is None else _read(file)
    if data is None:
        return None
    name = f"{counter.bundle.folder}/{CERTIFICATE_NAME}" if file is None else str(file)
    certificate, ours = read_certificate(data, name=name), counter.bundle.name
    if certificate.model not in ("", ours) or certificate.num_counts != counter.bundle.spec.num_counts:
        made_for = certificate.model or f"a model of {certificate.num_counts} counts"
        raise BadInput(f"{name} is for {made_for}, not for {ours}; make one for it: binsight audit certify")
    return InForce(certificate=certificate, sha256=sha256(data).hexdigest())


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise MissingObject(f"{file} cannot be read ({error.strerror}); check the path") from None


def counts_as_records(mapping: Mapping) -> Mapping:
    """The mapping that reads people's counts, in the shape in which the system takes them, as if they were records."""
    column_of = {field: column for column, field in mapping.counts.items() if field}
    known = {field: column_of[field] for field in ("bin_id", "site", "aisle", "sku", "photo") if field in column_of}
    columns = RecordColumns.model_validate({**known, "expected_qty": column_of["counted_qty"]})
    return mapping.model_copy(update={"records": columns})


def certify_lines(
    lines: Iterable[AuditLine],
    *,
    model: str,
    num_counts: int,
    counts_sha256: str,
    seen: SeenPhotos | None = None,
) -> Counted:
    """Certify from bins whose records are trusted counts; each bin is a group by itself.

    What their photos looked like, where it was `seen`, goes with the certificate, so that audits can tell when theirs no
    longer do.

    Raises `BadInput` where no photo could be used.
    """
    probs, counts, bins, num_unused = [], [], [], 0
    for line in lines:
        if line.estimate is None or line.p_record is None:
            num_unused += 1
            continue
        probs.append(line.estimate.probs)
        counts.append(min(line.record.expected, num_counts - 1))
        bins.append(_bin(line.record))
    if not probs:
        raise BadInput(
            "a certificate needs photos of bins that were counted, but none of them was found; check the names"
        )
    counts_B = np.array(counts)
    certificate = certify(
        np.array(probs),
        counts_B,
        bins,
        count_prior(counts_B, num_counts),
        dataset_sha256=counts_sha256,
        split="counted",
        note=NOTE,
    )
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    reference = None if seen is None else seen.reference(dataset_sha256=counts_sha256, split="counted")
    update = {"model": model, "made_at": made_at, "reference": reference}
    return Counted(certificate=certificate.model_copy(update=update), num_unused=num_unused)


def write_certificate(certificate: Certificate, path: Path) -> None:
    """Write it whole, or not at all."""
    with written_whole(path) as part:
        part.write_text(certificate.as_text(), encoding="utf-8")


def _bin(record: StockRecord) -> str:
    return f"{record.site or ''}\x1f{record.bin_id}"
