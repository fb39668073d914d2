"""A whole check of consignments: lines and photos in, decisions judged and kept, the folder of results out."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from binsight.audit.certifying import certificate_in_force
from binsight.audit.command import Terms, judging_of, opened_ledger, watch_of
from binsight.audit.consignment_lines import Consignment, ConsignmentFile, read_consignments
from binsight.audit.consignment_page import consignments_page, write_tables
from binsight.audit.consignments import DECISIONS, RELEASE, JudgedConsignment
from binsight.audit.lines import BAD_PHOTO, AuditLine
from binsight.audit.mapping import load_mapping
from binsight.audit.matching import Photos, against_photos
from binsight.audit.report import Thumbnails
from binsight.counting import Counter, default_bundle
from binsight.counting.bundle import file_digest
from binsight.progress import progress_bar
from binsight.storage.files import make_folder, written_whole
from binsight.storage.ledger import Consignments

RESULTS = "consignments.jsonl"
Keep = Callable[[JudgedConsignment], JudgedConsignment]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedConsignments:
    """A finished check: how many of each decision, and what could not be used."""

    decisions: Mapping[str, int]
    num_problems: int
    num_failed: int
    certificate: str

    @property
    def is_whole(self) -> bool:
        """Whether every row could be used and every photo be read."""
        return not self.num_problems and not self.num_failed

    @property
    def all_released(self) -> bool:
        """Whether nothing is left to look at."""
        return set(self.decisions) <= {RELEASE}


def run_consignments(
    lines: Path,
    photos: Photos,
    terms: Terms,
    out: Path,
    *,
    by: str | None,
    tell: Callable[[JudgedConsignment], None] | None = None,
) -> CheckedConsignments:
    """Judge the consignments of `lines` by the photos of their totes, and write the folder `out`; `by` is who does it,
    None where the journal is not to keep it.

    `tell` hears each consignment as it is judged. Raises as `run_audit` does.
    """
    counter = Counter.load(terms.model or default_bundle())
    in_force = certificate_in_force(counter, terms.certificate)
    judging, withheld = judging_of(in_force, terms), False
    if in_force is not None:
        with opened_ledger() as ledger:
            watch = watch_of(ledger, in_force, terms, counter.bundle.name, None)
            judging, withheld = watch.judging(judging), bool(watch.withheld)
    found = read_consignments(lines, load_mapping(terms.mapping), encoding=terms.encoding, sheet=terms.sheet)
    make_folder(out)
    records = [record for one in found.consignments.values() for record in one.records()]
    terms_kept = terms.judged_by() | {
        "lines": lines.name,
        "lines_sha256": file_digest(lines),
        "model": counter.bundle.name,
        "certificate_sha256": None if in_force is None else in_force.sha256,
    }
    judged: list[JudgedConsignment] = []
    with (
        against_photos(records, photos, counter, judging) as matched,
        _kept(by, terms_kept) as keep,
        progress_bar("consignments", shown=tell is None) as bar,
        written_whole(out / RESULTS) as part,
        part.open("w", encoding="utf-8") as file,
    ):
        for one in bar.track(_judged(found, matched.lines), total=len(found.consignments), description="judging"):
            kept = keep(one)
            file.write(json.dumps(kept.as_json(), ensure_ascii=False) + "\n")
            judged.append(kept)
            if tell is not None:
                tell(kept)
    done = CheckedConsignments(
        decisions={word: n for word in DECISIONS if (n := sum(one.decision == word for one in judged))},
        num_problems=sum(1 for _ in found.problems()),
        num_failed=sum(tote.exception == BAD_PHOTO for one in judged for tote in one.totes),
        certificate=_certificate_said(
            terms, is_there=in_force is not None, withheld=judging.withheld if withheld else ""
        ),
    )
    write_tables(out, judged, found.problems())
    thumbnails = Thumbnails(matched.read if photos.arguments or photos.captured else None)
    consignments_page(
        judged,
        model=counter.bundle.name,
        certificate=done.certificate,
        num_problems=done.num_problems,
        thumbnails=thumbnails,
    ).write(out)
    return done


def _judged(found: ConsignmentFile, lines: Iterator[AuditLine]) -> Iterator[JudgedConsignment]:
    """Each consignment with the lines of its totes, which come in the consignments' order."""
    anybodys = [f"{problem.sentence}; it may be of this consignment" for problem in found.unassigned[:3]]
    for one in found.consignments.values():
        yield JudgedConsignment(
            id=one.id,
            totes=list(islice(lines, len(one.records()))),
            problems=[*_own_problems(one), *anybodys],
        )


def _own_problems(one: Consignment) -> list[str]:
    return [problem.sentence for problem in one.problems]


@contextmanager
def _kept(by: str | None, terms: Mapping[str, Any]) -> Iterator[Keep]:
    """What keeps each judgement in the journal with all that it rests on, or lets it pass where nobody is named."""
    if by is None:
        yield lambda one: one
        return
    with opened_ledger() as ledger:
        consignments = Consignments(ledger)

        def keep(one: JudgedConsignment) -> JudgedConsignment:
            fields = {name: value for name, value in one.as_json().items() if not name.startswith("entry")}
            entry = consignments.judge(one.id, fields | {"terms": terms}, by=by)
            return replace(one, entry=entry.seq, entry_hash=entry.hash)

        yield keep


def _certificate_said(terms: Terms, *, is_there: bool, withheld: str) -> str:
    """Under which certificate totes are verified, as a sentence."""
    if withheld:
        return f"Nothing can be verified, since {withheld}: nothing is released."
    if not is_there:
        return "No certificate is in force, so that nothing can be verified: nothing is released."
    if terms.certificate is not None:
        return f"Totes are verified under the certificate {terms.certificate.name}."
    return (
        "Totes are verified under the model's own certificate, which holds for photos like those that it was made from "
        "and no others: make one of your totes with binsight audit certify."
    )
