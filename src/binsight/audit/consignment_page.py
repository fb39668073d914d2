"""The page and the tables of checked consignments."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from binsight.audit.consignments import DECISIONS, HOLD, SWAPS, JudgedConsignment, tote_json
from binsight.audit.lines import VERIFIED, AuditLine
from binsight.audit.report import Thumbnails
from binsight.audit.spool import RowProblem
from binsight.audit.spreadsheets import Value, write_rows
from binsight.report import EstimateCard, Page

NUM_CARDS = 24
CONSIGNMENT_COLUMNS = ("consignment", "decision", "totes", "verified", "expected", "why", "entry")
TOTE_COLUMNS = (
    "consignment", "decision", "tote", "expected", "seen", "verdict", "reason", "exception", "photo", "photo_sha256",
)  # fmt: skip
PROBLEM_COLUMNS = ("row", "column", "shown", "sentence")
DECIDED = (
    "RELEASE: every tote is verified. HOLD: a tote is suspect, so that counting it is worth more than it costs. CHECK: "
    "anything else, such as a tote without a photo or one that the photo is not sure enough of. A person lets a "
    "consignment go, with binsight audit consignments release; that is kept with who and why."
)


def consignments_page(
    judged: Sequence[JudgedConsignment], *, model: str, certificate: str, num_problems: int, thumbnails: Thumbnails
) -> Page:
    """The page; consignments on HOLD come first."""
    page = Page("Consignments against photos", lead=SWAPS)
    page.figures({word: f"{sum(one.decision == word for one in judged):,}" for word in DECISIONS})
    page.text(f"Counted with the model {model}. {certificate}")
    if num_problems:
        page.text(f"{num_problems:,} problems with rows of the file are named in problems.csv.")
    page.section("Decisions", DECIDED)
    order = sorted(judged, key=lambda one: DECISIONS.index(one.decision) if one.decision != HOLD else -1)
    page.table("decisions", [_consignment(one) for one in order], columns=CONSIGNMENT_COLUMNS)
    open_totes = [(one, tote) for one in order for tote in one.totes if tote.word != VERIFIED]
    if open_totes:
        page.section("Totes to look at", "Those that are not verified. The triangle marks what should be in it.")
        page.estimates([_card(one, tote, thumbnails) for one, tote in open_totes[:NUM_CARDS]])
    return page


def write_tables(folder: Path, judged: Sequence[JudgedConsignment], problems: Iterable[RowProblem]) -> None:
    """A line a consignment, a line a tote, a line a problem: CSV without formulas."""
    _write(folder / "consignments.csv", CONSIGNMENT_COLUMNS, map(_consignment, judged))
    _write(folder / "totes.csv", TOTE_COLUMNS, (_tote(one, tote) for one in judged for tote in one.totes))
    _write(folder / "problems.csv", PROBLEM_COLUMNS, map(_problem, problems))


def why(one: JudgedConsignment) -> str:
    """What keeps a consignment from being released, the first of it; empty where nothing does."""
    suspects_first = sorted(
        (tote for tote in one.totes if tote.word != VERIFIED), key=lambda tote: tote.word != "suspect"
    )
    reasons = [f"tote {tote.record.bin_id}: {tote.reason}" for tote in suspects_first] + list(one.problems)
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return f"{reasons[0]}{more}" if reasons else ""


def _consignment(one: JudgedConsignment) -> dict[str, Any]:
    return {
        "consignment": one.id,
        "decision": one.decision,
        "totes": len(one.totes),
        "verified": sum(tote.word == VERIFIED for tote in one.totes),
        "expected": sum(tote.record.expected for tote in one.totes),
        "why": why(one),
        "entry": one.entry,
    }


def _tote(one: JudgedConsignment, tote: AuditLine) -> dict[str, Value]:
    fields = tote_json(tote) | {"consignment": one.id, "decision": one.decision}
    return {name: fields[name] for name in TOTE_COLUMNS}


def _problem(problem: RowProblem) -> dict[str, Value]:
    return {name: getattr(problem, name) for name in PROBLEM_COLUMNS}


def _card(one: JudgedConsignment, tote: AuditLine, thumbnails: Thumbnails) -> EstimateCard:
    return EstimateCard(
        photo=f"{one.decision} {one.id}, tote {tote.record.bin_id}",
        jpeg=None if tote.estimate is None else thumbnails.of(tote.estimate.photo),
        estimate=tote.estimate,
        error="" if tote.estimate else tote.reason,
        known=tote.record.expected,
        known_as="expected",
    )


def _write(path: Path, columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    write_rows(path, {column: column for column in columns}, rows)
