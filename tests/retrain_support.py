"""A site that retrains: a dataset of real photos, bins that people counted, and the terms of a small, quick retraining."""

import csv
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from tests.dataset_support import real_dataset
from tests.tasks_support import a_line, a_user, an_audit, by_policy
from tests.train_support import RECIPE

from binsight.audit.lines import VERIFIED
from binsight.dataset.manifest import Split
from binsight.lifecycle.terms import Terms, load_terms
from binsight.storage.ledger import (
    PHOTO,
    Audit,
    AuditLineRow,
    Certificates,
    Counts,
    Leases,
    Ledger,
    Outcomes,
)
from binsight.storage.ledger.certificates import AUDITED

TERMS = """
[data]
base = "{base}"
promotion = "{base}"
[train]
recipe = "{recipe}"
begin = "fresh"
overrides = ["training.epochs=1"]
[compare]
min_photos = 100
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where everything of it lies."""

    folder: Path
    terms: Path

    def load(self, *overrides: str) -> Terms:
        return load_terms(self.terms, overrides)

    @property
    def work(self) -> Path:
        return self.folder / "work"


def a_site(
    abid: Path, folder: Path, sizes: Mapping[Split, int], *, recipe: str = RECIPE, terms: str = TERMS
) -> Site:
    """A dataset, a recipe and terms."""
    base = folder / "base"
    if not base.exists():
        real_dataset(abid, base, sizes)
    (folder / "tiny.toml").write_text(recipe.format(dataset="dataset"))
    (folder / "retrain.toml").write_text(terms.format(base=base, recipe=folder / "tiny.toml"))
    return Site(folder=folder, terms=folder / "retrain.toml")


def counted(
    ledger: Ledger,
    photos: Sequence[tuple[Path, int]],
    *,
    folder: Path,
    drawn: Iterable[int] = (),
    probability: float = 0.05,
    site: str = "DC1",
    first_bin: int = 1,
    user: str = "bea",
) -> Audit:
    """An audit of these photos, each bin counted as its number says, blind, once and for good.

    The places in `drawn` (from 1) are verified lines that were drawn by lot; the others are suspects.
    """
    chosen = set(drawn)
    lines = [
        replace(_line(place, path, count, site, first_bin), verdict=VERIFIED if place in chosen else "suspect")
        for place, (path, count) in enumerate(photos, 1)
    ]
    audit = _audit(ledger, lines, folder, chosen, probability)
    person = a_user(ledger, f"{user}{first_bin}")
    leases, counts, outcomes = Leases(ledger), Counts(ledger), Outcomes(ledger)
    by_bin = {line.bin_id: line.expected for line in lines}
    for lease in leases.claim(person.id, where=PHOTO, seconds=600, most=len(lines)):
        counts.add(lease.token, by_bin[lease.task.bin_id], user=person.id, name=person.name, rule=by_policy())
        outcomes.settled(lease.task.id)
    return audit


def _audit(
    ledger: Ledger, lines: Sequence[AuditLineRow], folder: Path, drawn: set[int], probability: float
) -> Audit:
    audit = an_audit(ledger, lines, folder=str(folder))
    if drawn:
        with ledger.writing() as connection:
            ids = "', '".join(line.bin_id for line in lines if line.place in drawn)
            connection.exec_driver_sql(
                f"UPDATE tasks SET origin = 'random' WHERE audit = '{audit.id}' AND bin_id IN ('{ids}')"
            )
        body = {
            "audit": audit.id,
            "key": "00",
            "share": probability,
            "of": "verified",
            "probability": probability,
            "drawn": [[place, "1-2"] for place in sorted(drawn)],
            "bands": {"1-2": {"bound": 0.01}},
            "num_records": 1000,
            "num_verified": 900,
            "num_stale": 0,
            "num_planned": len(lines) - len(drawn),
            "drift": {},
        }
        Certificates(ledger).add(AUDITED, "f" * 64, body, by="ann")
    return audit


def _line(place: int, path: Path, count: int, site: str, first_bin: int) -> AuditLineRow:
    line = a_line(place, expected=count)
    record = json.loads(line.record) | {"site": site}
    return replace(
        line,
        bin_id=f"B-{first_bin + place - 1:05}",
        record=json.dumps(record),
        photo=str(path),
        photo_sha256=sha256(path.read_bytes()).hexdigest(),
    )


def fresh_photos(abid: Path, number: int, *, not_in: Path, folder: Path) -> list[tuple[Path, int]]:
    """Photos of the shared labels, with their counts, that are not in a dataset and share no chain with it; copied."""
    from binsight.dataset.manifest import Dataset

    dataset = Dataset.open(not_in)
    names, groups = {photo.photo for photo in dataset.photos}, {photo.group for photo in dataset.photos}
    folder.mkdir(parents=True, exist_ok=True)
    found: list[tuple[Path, int]] = []
    with (abid / "labels.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if len(found) == number:
                break
            if row["split"] != "train" or not row["count"] or row["image_id"] in names or row["group"] in groups:
                continue
            target = folder / f"{row['image_id']}.jpg"
            shutil.copyfile(abid / "bin-images" / target.name, target)
            found.append((target, int(row["count"])))
    return found
