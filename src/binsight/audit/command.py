"""A whole audit: files in, verdicts judged and kept, the folder of results out.

```
RECORDS ─▶ intake ─┐
                   ├─▶ audited ─▶ ledger ─▶ verdicts.jsonl, tally ─▶ plan ─▶ folder
PHOTOS ──▶ index ──┘                └─▶ the certificate, watched (watch.py)
```
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
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
from binsight.audit.keep import Keeper
from binsight.audit.lines import AuditLine, Judging
from binsight.audit.mapping import load_mapping
from binsight.audit.matching import Photos
from binsight.audit.opening import Terms, opened_lines
from binsight.audit.outcome import VERDICTS, Done, write_outcome
from binsight.audit.plan import plan_counts
from binsight.audit.report import Thumbnails
from binsight.audit.seen import SeenPhotos
from binsight.audit.standing import reasons_json
from binsight.audit.tally import Tally
from binsight.audit.watch import Drawing, Outlook, Watch, reference_for, watching
from binsight.counting import Counter, default_bundle
from binsight.counting.bundle import REFERENCE_NAME, Bundle, file_digest
from binsight.decision.belief import RecordErrors
from binsight.decision.decide import Costs
from binsight.decision.reference import Reference, read_reference
from binsight.errors import BadInput
from binsight.progress import progress_bar
from binsight.settings import settings
from binsight.storage.files import make_folder, written_whole
from binsight.storage.ledger import Audits, Certificates, Ledger

__all__ = ["Photos", "Terms", "opened_lines", "run_audit", "run_certify"]


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

    A certificate that the ledger knows as suspended has nothing verified, whether the audit is kept or not. `tell` hears
    each line as it is done; `as_book` writes the tables as one XLSX besides. Raises `BadInput` and `MissingObject` for
    what is given wrongly, `BadBundle` and `BadCertificate` for a model that is not whole, `StorageFailure` where a disk or
    the ledger fails.
    """
    if terms.give_out and by is None:
        raise BadInput("tasks are given out of an audit that the ledger keeps; leave --no-keep out")
    counter = Counter.load(terms.model or default_bundle())
    in_force = certificate_in_force(counter, terms.certificate)
    judging, drawing, seen = (
        judging_of(in_force, terms),
        Drawing(share=terms.share, of_all=terms.draw_all),
        SeenPhotos(),
    )
    mapping = load_mapping(terms.mapping)
    make_folder(out)
    with opened_ledger() as ledger:
        watch = None if in_force is None else watch_of(ledger, in_force, terms, counter.bundle.name, by)
        judging = judging if watch is None else watch.judging(judging)
        with opened_lines(records, mapping, photos, terms, counter, judging, seen=seen) as opened:
            withheld = [] if watch is None else reasons_json(watch.withheld)
            told = terms.judged_by() | {"draw": drawing.as_terms(), "withheld": withheld}
            keeper = _keeper(ledger, counter, in_force, told, records, by)
            counted_here = photos.estimates is None and not photos.captured
            lines = opened.lines if counted_here else watching(seen, opened.lines)
            lines, audit = keeper.kept(lines), "" if keeper.audit is None else keeper.audit.id
            if watch is not None:
                watch.begin(audit)
                lines = watch.passed(lines, judging, drawing, audit)
            tally = Tally(by=judging)
            with written_whole(out / VERDICTS) as part:
                plan = plan_counts(
                    _noted(lines, part, tally, tell, len(opened.records)),
                    budget=float("inf") if terms.budget_minutes is None else 60 * terms.budget_minutes,
                    by_value=terms.by_value,
                    errors=judging.errors,
                    drawn=tuple if watch is None else watch.drawn,
                )
            outlook: Outlook | None = None
            if watch is not None and in_force is not None:
                drift = seen.drift_from(reference_for(in_force, _reference(counter.bundle)))
                outlook = watch.end(
                    audit=audit, drawing=drawing, errors=judging.errors, alpha=terms.alpha, plan=plan, drift=drift
                )
            keeper.end(tally.as_json())
            drawn = () if watch is None else watch.drawn_lines()
            num_given_out = keeper.give_out(plan.tasks, drawn) if terms.give_out else None
            done = Done(
                tally=tally,
                plan=plan,
                by_value=terms.by_value,
                num_problems=len(opened.records.problems),
                audit=keeper.audit,
                num_given_out=num_given_out,
                outlook=outlook,
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
    mapping, seen = counts_as_records(load_mapping(terms.mapping)), SeenPhotos()
    with opened_lines(counts, mapping, photos, terms, counter, Judging(certificate=None), seen=seen) as opened:
        if problem := next(iter(opened.records.problems), None):
            raise BadInput(f"{counts}, {problem.sentence}; a certificate needs counts that are all in order")
        counted = certify_lines(
            opened.lines if photos.estimates is None else watching(seen, opened.lines),
            model=counter.bundle.name,
            num_counts=counter.bundle.spec.num_counts,
            counts_sha256=file_digest(counts),
            seen=seen,
        )
    write_certificate(counted.certificate, out)
    return counted


@contextmanager
def opened_ledger() -> Iterator[Ledger]:
    """The ledger that the settings name. Raises as `Ledger.open`."""
    ledger = Ledger.open(settings().ledger)
    try:
        yield ledger
    finally:
        ledger.close()


def _keeper(
    ledger: Ledger,
    counter: Counter,
    in_force: InForce | None,
    told: dict[str, Any],
    records: Path,
    by: str | None,
) -> Keeper:
    """What keeps the audit, or lets it pass where nobody is named."""
    if by is None:
        return Keeper()
    audit = Audits(ledger).begin(
        model=counter.bundle.name,
        certificate_sha256=None if in_force is None else in_force.sha256,
        terms=told | {"folder": str(Path.cwd()), "records": records.name, "records_sha256": file_digest(records)},
        by=by,
    )
    return Keeper(ledger, audit)


def watch_of(ledger: Ledger, in_force: InForce, terms: Terms, model: str, by: str | None) -> Watch:
    """The watch over a certificate; `by` is who keeps what it does, None where it only looks."""
    max_age = timedelta(days=min(terms.max_age_days, 10**6))
    return Watch(Certificates(ledger), in_force, model=model, by=by, max_age=max_age)


def _reference(bundle: Bundle) -> Reference | None:
    text = bundle.reference()
    return None if text is None else read_reference(text, name=f"{bundle.folder}/{REFERENCE_NAME}")


def judging_of(in_force: InForce | None, terms: Terms) -> Judging:
    """What records are judged by. Raises `BadInput` for a term that is none."""
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
    encode = json.JSONEncoder(ensure_ascii=False).encode
    with file.open("w", encoding="utf-8") as out, progress_bar("records", shown=tell is None) as bar:
        for line in bar.track(lines, total=total, description="audit"):
            fields = line.as_json()
            out.write(encode(fields) + "\n")
            tally.add(line)
            if tell is not None:
                tell(fields)
            yield line
