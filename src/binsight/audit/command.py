"""A whole audit: files in, verdicts judged and kept, the folder of results out.

```
RECORDS ─▶ intake ─┐
                   ├─▶ audited ─▶ ledger ─▶ verdicts.jsonl, tally ─▶ plan ─▶ folder
PHOTOS ──▶ index ──┘
```
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from binsight.audit.certifying import (
    Counted,
    InForce,
    certificate_in_force,
    certify_lines,
    counts_as_records,
    write_certificate,
)
from binsight.audit.intake import Records, read_records
from binsight.audit.keep import Keeper
from binsight.audit.lines import AuditLine, Judging
from binsight.audit.mapping import Mapping, load_mapping
from binsight.audit.matching import Photos as Photos
from binsight.audit.matching import against_photos
from binsight.audit.movements import read_movements
from binsight.audit.outcome import VERDICTS, Done, write_outcome
from binsight.audit.photos import PhotoIndex
from binsight.audit.plan import plan_counts
from binsight.audit.report import Thumbnails
from binsight.audit.run import Freshness, Movement, Read
from binsight.audit.tally import Tally
from binsight.counting import Counter, default_bundle
from binsight.counting.bundle import file_digest
from binsight.decision.belief import RecordErrors
from binsight.decision.decide import Costs
from binsight.errors import BadInput
from binsight.progress import progress_bar
from binsight.settings import settings
from binsight.storage.files import make_folder, written_whole
from binsight.storage.ledger import Audits, Ledger

_MOST_HOURS = 24 * 365 * 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How records are read and judged, and how many bins people may count."""

    mapping: str = "generic"
    encoding: str | None = None
    sheet: str | None = None
    max_gap_hours: float | None = None
    movements: Path | None = None
    model: Path | None = None
    certificate: Path | None = None
    alpha: float = 0.05
    error_rate: float = 0.05
    error_ratio: float = 0.1
    far_errors: float = 0.02
    count_cost: float = 45
    unit_cost: float = 300
    budget_minutes: float | None = None
    by_value: bool = False
    give_out: bool = False

    def judged_by(self) -> dict[str, Any]:
        """What the verdicts depend on, beside records, photos, model and certificate, for the ledger."""
        names = (
            "mapping",
            "max_gap_hours",
            "alpha",
            "error_rate",
            "error_ratio",
            "far_errors",
            "count_cost",
            "unit_cost",
        )
        return {name: getattr(self, name) for name in names}


def run_audit(
    records: Path,
    photos: Photos,
    terms: Terms,
    out: Path,
    *,
    by: str | None,
    tell: Callable[[dict[str, Any]], None] | None = None,
    as_book: bool = False,
) -> Done:
    """Audit `records` and write the folder `out`; `by` is who does it, None where the ledger is not to keep it.

    `as_book` writes the tables as one XLSX besides; `tell` hears each line as it is done. Raises `BadInput` and
    `MissingObject` for what is given wrongly, `BadBundle` and `BadCertificate` for a model that is not whole,
    `StorageFailure` where a disk or the ledger fails.
    """
    if terms.give_out and by is None:
        raise BadInput("tasks are given out of an audit that the ledger keeps; leave --no-keep out")
    counter = Counter.load(terms.model or default_bundle())
    in_force = certificate_in_force(counter, terms.certificate)
    judging = judging_by(in_force, terms)
    make_folder(out)
    with (
        opened_lines(records, load_mapping(terms.mapping), photos, terms, counter, judging) as opened,
        _ledger(counter, in_force, terms, records, by) as keeper,
    ):
        tally = Tally(by=judging)
        with written_whole(out / VERDICTS) as part:
            plan = plan_counts(
                _noted(keeper.kept(opened.lines), part, tally, tell, len(opened.records)),
                budget=float("inf") if terms.budget_minutes is None else 60 * terms.budget_minutes,
                by_value=terms.by_value,
                errors=judging.errors,
            )
        keeper.end(tally.as_json())
        num_given_out = keeper.give_out(plan.tasks) if terms.give_out else 0
        done = Done(
            tally=tally,
            plan=plan,
            by_value=terms.by_value,
            num_problems=len(opened.records.problems),
            audit=keeper.audit,
            num_given_out=num_given_out,
        )
        write_outcome(
            out,
            done,
            model=counter.bundle.name,
            problems=opened.records.problems,
            unused=opened.index.unused(),
            thumbnails=Thumbnails(opened.read if photos.arguments or photos.captured else None),
            as_book=as_book,
        )
    return done


def run_certify(counts: Path, photos: Photos, terms: Terms, out: Path) -> Counted:
    """Certify the model from people's `counts`, in the shape in which the mapping's system takes them, and write `out`.

    Raises `BadInput` for a row of them that cannot be used: what is certified from a part may not hold for the whole.
    """
    counter = Counter.load(terms.model or default_bundle())
    mapping = counts_as_records(load_mapping(terms.mapping))
    with opened_lines(counts, mapping, photos, terms, counter, Judging(certificate=None)) as opened:
        if problem := next(iter(opened.records.problems), None):
            raise BadInput(f"{counts}, {problem.sentence}; a certificate needs counts that are all in order")
        counted = certify_lines(
            opened.lines,
            model=counter.bundle.name,
            num_counts=counter.bundle.spec.num_counts,
            counts_sha256=file_digest(counts),
        )
    write_certificate(counted.certificate, out)
    return counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An audit under way: its records, its photos, how one is read, and the lines that come of them."""

    records: Records
    index: PhotoIndex
    read: Read
    lines: Iterator[AuditLine]


@contextmanager
def opened_lines(
    records: Path, mapping: Mapping, photos: Photos, terms: Terms, counter: Counter, by: Judging
) -> Iterator[Opened]:
    """Read the records, index the photos, and judge one by the other as the lines are taken."""
    gap = None if terms.max_gap_hours is None else timedelta(hours=min(terms.max_gap_hours, _MOST_HOURS))
    with (
        read_records(records, mapping, encoding=terms.encoding, sheet=terms.sheet) as found,
        _movements(terms, mapping) as movement,
        against_photos(found, photos, counter, by, fresh=Freshness(max_gap=gap, movement=movement)) as matched,
    ):
        yield Opened(records=found, index=matched.index, read=matched.read, lines=matched.lines)


@contextmanager
def _ledger(
    counter: Counter, in_force: InForce | None, terms: Terms, records: Path, by: str | None
) -> Iterator[Keeper]:
    """What keeps the audit, or lets it pass where nobody is named."""
    if by is None:
        yield Keeper()
        return
    ledger = Ledger.open(settings().ledger)
    try:
        audits = Audits(ledger)
        audit = audits.begin(
            model=counter.bundle.name,
            certificate_sha256=None if in_force is None else in_force.sha256,
            terms=terms.judged_by()
            | {"folder": str(Path.cwd()), "records": records.name, "records_sha256": file_digest(records)},
            by=by,
        )
        yield Keeper(ledger, audit)
    finally:
        ledger.close()


@contextmanager
def _movements(terms: Terms, mapping: Mapping) -> Iterator[Movement | None]:
    if terms.movements is None:
        yield None
        return
    with read_movements(terms.movements, mapping, encoding=terms.encoding) as movement:
        yield movement


def judging_by(in_force: InForce | None, terms: Terms) -> Judging:
    """What records are judged by. Raises `BadInput` for terms that are none."""
    try:
        return Judging(
            certificate=None if in_force is None else in_force.at(terms.alpha),
            alpha=terms.alpha,
            errors=RecordErrors(rate=terms.error_rate, ratio=terms.error_ratio, far=terms.far_errors),
            costs=Costs(count=terms.count_cost, wrong_unit=terms.unit_cost),
        )
    except ValueError as error:
        raise BadInput(f"{error}; correct the option") from None


def _noted(
    lines: Iterable[AuditLine], file: Path, tally: Tally, tell: Callable[[dict[str, Any]], None] | None, total: int
) -> Iterator[AuditLine]:
    """The lines, each written, counted and told as it passes."""
    with file.open("w", encoding="utf-8") as out, progress_bar("records", shown=tell is None) as bar:
        for line in bar.track(lines, total=total, description="audit"):
            fields = line.as_json()
            out.write(json.dumps(fields, ensure_ascii=False) + "\n")
            tally.add(line)
            if tell is not None:
                tell(fields)
            yield line
