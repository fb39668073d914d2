"""Photos of bins that people counted, out of the ledger: each with its count, and with what probability it was counted.

```
tasks that ended, audits' draws ─▶ rows (told before the first step, so that a resumed one has the same)
rows ─▶ photos, proven by their hashes ─▶ one count a photo ─▶ counts.csv, photos/, left_out.csv
```
"""

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from binsight.audit.lines import VERIFIED
from binsight.audit.tasks import FOUND
from binsight.counting.sources import photo_reader
from binsight.decision.sampled import Drawn, probability_of
from binsight.errors import BadPhoto, MissingObject, StorageFailure
from binsight.imaging.strip import photo_type, stripped
from binsight.storage.captures import is_line, line_reader
from binsight.storage.files import make_folder
from binsight.storage.ledger import Audits, Ledger, TrustedCount, TrustedCounts
from binsight.storage.ledger.tasks import RANDOM

CAPTURED = "captured"
"""Why a photo was counted that a service kept by lot, beside the origins of tasks."""
COUNTS, LEFT_OUT = "counts.csv", "left_out.csv"
COUNTS_COLUMNS = ("file", "count", "probability", "origin", "audit", "task", "site", "bin_id")
LEFT_OUT_COLUMNS = ("task", "bin", "why")
MOST_SAID = 10
_SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedBin:
    """One bin that was counted: where its photo is, what was found, and with what probability it came to be counted.

    `problem` says why it cannot join, where that is known before its photo is read.
    """

    task: str
    audit: str
    site: str
    bin_id: str
    origin: str
    photo: str
    photo_sha256: str
    quantity: int
    probability: float
    problem: str = ""

    @property
    def name(self) -> str:
        """The bin, for a person."""
        return f"{self.site}/{self.bin_id}" if self.site else self.bin_id


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A counted bin whose photo does not join, and why."""

    task: str
    bin: str
    why: str


def number_of_counts(ledger: Ledger) -> int:
    """How many trusted counts of bins with a photo there are."""
    return TrustedCounts(ledger).number(FOUND)


def counted_bins(ledger: Ledger) -> list[CountedBin]:
    """Every bin that was counted and that has a photo, with its probability to be counted."""
    trusted = TrustedCounts(ledger)
    draws = {str(body["audit"]): _drawn(body) for body in trusted.draws()}
    kept, folders = Audits(ledger), dict[str, str]()

    def place(row: TrustedCount) -> str:
        if row.photo.startswith("s3://"):
            return row.photo
        if row.audit not in folders:
            folders[row.audit] = str(kept.read(row.audit).terms.get("folder", ""))
        return str(Path(folders[row.audit]) / row.photo)

    return [
        CountedBin(
            task=row.task,
            audit=row.audit,
            site=row.site,
            bin_id=row.bin_id,
            origin=row.origin,
            photo=place(row),
            photo_sha256=row.photo_sha256 or "",
            quantity=row.quantity,
            probability=probability_of(
                draws.get(row.audit), by_lot=row.origin == RANDOM, is_verified=row.verdict == VERIFIED
            ),
        )
        for row in trusted.all(FOUND)
    ]


def _drawn(body: Mapping[str, Any]) -> Drawn:
    num_others = body["num_records"] - body["num_stale"] - body["num_verified"]
    drawn_others = sum(not band for _, band in body["drawn"])  # verified lines alone have a band
    return Drawn(
        probability=body["probability"],
        of_all=body["of"] == "all",
        counts_all_others=body["num_planned"] + drawn_others >= num_others,
    )


def gather(rows: Iterable[Mapping[str, Any]], out: Path, say: Callable[[str], None]) -> None:
    """Write the photos and counts of rows, as `counted_bins` told them, into `out`. Raises `StorageFailure`."""
    bins = [CountedBin(**row) for row in rows]
    make_folder(out / "photos")
    left_out: list[LeftOut] = []
    by_photo: dict[str, list[tuple[CountedBin, str]]] = defaultdict(list)
    read = _reader()
    for one in bins:
        if one.problem:
            left_out.append(LeftOut(task=one.task, bin=one.name, why=one.problem))
            continue
        try:
            data = _proven(one, read)
        except (BadPhoto, MissingObject) as error:
            left_out.append(LeftOut(task=one.task, bin=one.name, why=str(error)))
            continue
        digest = sha256(data).hexdigest()
        file = name_of(digest, _SUFFIXES[photo_type(data)])
        try:
            (out / "photos" / file).write_bytes(data)
        except OSError as error:
            raise StorageFailure(f"{out} cannot be written ({error.strerror}); free space and go on") from None
        by_photo[without_metadata(data)].append((one, file))
    kept = [row for group in by_photo.values() for row in _one_count(group, left_out)]
    write_table(out / LEFT_OUT, LEFT_OUT_COLUMNS, map(asdict, left_out))
    write_table(out / COUNTS, COUNTS_COLUMNS, (_columns(one, file) for one, file in kept))
    for out_one in left_out[:MOST_SAID]:
        say(f"left out: bin {out_one.bin}: {out_one.why}")
    if len(left_out) > MOST_SAID:
        say(f"left out: {len(left_out) - MOST_SAID:,} more; {out / LEFT_OUT} lists all")


def without_metadata(data: bytes) -> str:
    """The hash of a photo as a capture keeps it: the same for a photo and for its capture."""
    try:
        return sha256(stripped(data)).hexdigest()
    except BadPhoto:  # it can be decoded all the same, and no capture is like it
        return sha256(data).hexdigest()


def _reader() -> Callable[[str], Any]:
    """How to get the photo of a counted bin: a file, an object, or what a line of captures holds."""
    by_name, by_line = photo_reader(), line_reader()
    return lambda photo: by_line(photo) if is_line(photo) else by_name(photo)


def name_of(photo_sha256: str, suffix: str) -> str:
    """The file of a counted bin's photo: by its content, so that one photo has one name."""
    return f"{photo_sha256[:24]}{suffix}"


def _columns(one: CountedBin, file: str) -> dict[str, Any]:
    return {
        "file": file,
        "count": one.quantity,
        "probability": one.probability,
        "origin": one.origin,
        "audit": one.audit,
        "task": one.task,
        "site": one.site,
        "bin_id": one.bin_id,
    }


def read_gathered(folder: Path) -> list[dict[str, str]]:
    """The rows of `counts.csv`. Raises `MissingObject` where it is gone."""
    try:
        with (folder / COUNTS).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise MissingObject(f"{folder / COUNTS} cannot be read ({error.strerror}); run the same command") from None


def _proven(one: CountedBin, read: Callable[[str], Any]) -> bytes:
    """The photo, which must be the one that was counted. Raises `MissingObject` or `BadPhoto`."""
    source = read(one.photo)
    data: bytes = source() if callable(source) else source
    if one.photo_sha256 and sha256(data).hexdigest() != one.photo_sha256:
        raise BadPhoto(f"{one.photo} is not the photo that was counted any more", reason="changed")
    photo_type(data)
    return data


def _one_count(
    group: Sequence[tuple[CountedBin, str]], left_out: list[LeftOut]
) -> Iterable[tuple[CountedBin, str]]:
    """Of the counts of one photo, the one that stands; none where they contradict each other, and each is named."""
    quantities = sorted({one.quantity for one, _ in group})
    if len(quantities) > 1:
        said = " and ".join(map(str, quantities))
        left_out += (
            LeftOut(task=one.task, bin=one.name, why=f"its photo was counted as {said}; count it again")
            for one, _ in group
        )
        return
    # Counted in several audits, it had more than one chance: the likeliest of them says least for others.
    yield max(group, key=lambda each: each[0].probability)


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as CSV. Raises `StorageFailure`."""
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise StorageFailure(f"{path} cannot be written ({error.strerror}); free space and go on") from None
