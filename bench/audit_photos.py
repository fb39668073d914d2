"""Photos with their records, as the stock system has them, and what the shipped counter says of each: counted once."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from binsight.audit.places import walking_key
from binsight.counting import Counter, default_bundle
from binsight.dataset.manifest import Dataset
from binsight.decision.certificate import Certificate, read_certificate
from binsight.records import CountEstimate, CountFailure
from binsight.settings import settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A photo whose count is taken for true, and its estimate. `chain` links photos that resemble one another."""

    photo: str
    count: int
    chain: str
    estimate: CountEstimate


def known_photos(source: Path, split: str, collection: str, cache: Path | None) -> list[Known]:
    """The photos of a split and collection in the order of their names, of a dataset or of a labels.csv beside whose
    `bin-images` they are. Estimates are kept in `cache`, by bundle, and made where they are not there."""
    counter = Counter.load(default_bundle())
    wanted = sorted(_listed(source, split, collection), key=lambda row: walking_key(row[0]))
    path = cache or settings().cache_dir.expanduser() / f"audit-{counter.bundle.version}.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    key = f"{source.resolve()}:{{}}".format
    missing = [(key(name), read) for name, _, _, read in wanted if key(name) not in kept]
    for estimate in counter.count(missing):
        if isinstance(estimate, CountFailure):
            raise SystemExit(f"{estimate.photo} cannot be counted: {estimate.error}")
        kept[estimate.photo] = {"probs": estimate.probs, "flags": estimate.flags}
    if missing:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(kept))
    return [
        Known(
            photo=name,
            count=count,
            chain=chain,
            estimate=CountEstimate(
                photo=name, probs=tuple(kept[key(name)]["probs"]), flags=tuple(kept[key(name)]["flags"])
            ),
        )
        for name, count, chain, _ in wanted
    ]


Listed = tuple[str, int, str, Callable[[], bytes]]


def _listed(source: Path, split: str, collection: str) -> list[Listed]:
    if source.is_dir():
        dataset = Dataset.open(source)
        photos = [p for p in dataset.photos if p.split == split and p.extras.get("collection") == collection]
        return [(p.photo, p.count, p.group, lambda p=p: dataset.read_bytes(p)) for p in photos]
    with source.open(newline="") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if row["split"] == split and row["collection"] == collection and row["count"]
        ]
    folder = source.parent / "bin-images"
    return [
        (row["image_id"], int(row["count"]), row["group"], (folder / f"{row['image_id']}.jpg").read_bytes)
        for row in rows
    ]


def shipped_certificate() -> Certificate:
    """The certificate of the shipped bundle."""
    text = Counter.load(default_bundle()).bundle.certificate()
    assert text is not None
    return read_certificate(text, name="the shipped certificate")
