"""What an audit came to: its folder, for people, for spreadsheets and for programs."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from binsight.audit.lines import SUSPECT
from binsight.audit.plan import Plan, Task
from binsight.audit.report import Thumbnails, audit_page
from binsight.audit.spool import RowProblem
from binsight.audit.spreadsheets import Value, write_book, write_rows
from binsight.audit.tally import Tally
from binsight.audit.watch import Outlook
from binsight.storage.files import written_whole
from binsight.storage.ledger import Audit

VERDICTS = "verdicts.jsonl"
BOOK = "audit.xlsx"
LINE_COLUMNS = (
    "bin_id", "expected", "count", "p_record", "verdict", "reason", "p_right", "units_off", "photo", "exception", "site",
)  # fmt: skip
TASK_COLUMNS = ("site", "aisle", "bin_id")
"""For people who count: neither what is expected, nor whether a bin was chosen or drawn by lot, can be told from them."""
PLAN_COLUMNS = (*TASK_COLUMNS, "seconds", "walk", "gain")
"""For who plans the work: seconds and gain give away what a record says."""
PROBLEM_COLUMNS = ("row", "column", "shown", "sentence")


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A finished audit. `audit` is its place in the ledger, where it is kept; so many of its tasks were given out, or None
    where none were to be."""

    tally: Tally
    plan: Plan
    by_value: bool
    num_problems: int
    audit: Audit | None
    num_given_out: int | None = None
    outlook: Outlook | None = None

    @property
    def is_whole(self) -> bool:
        """Whether every row could be used and every photo be read."""
        return not self.num_problems and not self.tally.num_failed

    def sentences(self) -> Iterator[str]:
        """The audit in a few lines."""
        tally = self.tally
        words = ", ".join(f"{number:,} {word.replace('_', ' ')}" for word, number in tally.words.items() if number)
        yield f"{tally.num_records:,} records: {words or 'none'}"
        for why, number in tally.reasons.most_common():
            yield f"  not assessable: {number:,} {why}"
        yield (
            f"{len(self.plan.tasks):,} bins to count in {self.plan.seconds / 3600:.1f} hours of labour, which corrects "
            f"{self.plan.gain:,.1f} {'of value' if self.by_value else 'units'}, as expected"
        )
        if self.plan.num_drawn:
            yield f"  {self.plan.num_drawn:,} of them were drawn by lot, to see whether the certificate holds"
        if self.outlook is not None:
            yield from self.outlook.sentences()
        if self.plan.num_without_value:
            yield f"{self.plan.num_without_value:,} bins have no unit value, and are not among them"
        for pair in self.plan.misplaced[:3]:
            yield f"probably misplaced: {pair.units} from {pair.short} to {pair.over}"
        if self.audit is not None:
            yield f"kept in the ledger as audit {self.audit.id}"
        if self.num_given_out:
            yield f"{self.num_given_out:,} tasks given out; binsight serve shows them to those who count"
        if self.num_given_out is not None and (rest := len(self.plan.tasks) - self.num_given_out):
            yield f"{rest:,} bins wait since an earlier audit already, and keep the task that they have"


def write_outcome(
    folder: Path,
    done: Done,
    *,
    model: str,
    problems: Iterable[RowProblem],
    unused: Iterable[str],
    thumbnails: Thumbnails,
    as_book: bool = False,
) -> Path:
    """Write all beside `VERDICTS`, which is there already, and the page last; its path.

    Every table is CSV without formulas, and a sheet of `BOOK` besides where that is wanted. Raises `StorageFailure` where
    the disk fails, `BadInput` where there are more rows than a sheet can have.
    """
    tables: dict[str, tuple[Sequence[str], Callable[[], Iterable[Mapping[str, Value]]]]] = {
        "verdicts": (LINE_COLUMNS, lambda: _lines(folder / VERDICTS)),
        "exceptions": (LINE_COLUMNS, lambda: _lines(folder / VERDICTS, only_exceptions=True)),
        "tasks": (TASK_COLUMNS, lambda: (_task(task, TASK_COLUMNS) for task in done.plan.tasks)),
        "plan": (PLAN_COLUMNS, lambda: (_task(task, PLAN_COLUMNS) for task in done.plan.tasks)),
        "problems": (PROBLEM_COLUMNS, lambda: map(_problem, problems)),
    }
    for name, (columns, rows) in tables.items():
        _write(folder / f"{name}.csv", columns, rows())
    (folder / BOOK).unlink(missing_ok=True)  # which an earlier audit may have had
    if as_book:
        sheets = {name: (columns, _cells(columns, rows())) for name, (columns, rows) in tables.items()}
        write_book(folder / BOOK, sheets)
    for name in ("gain", "misplaced", "not_assessable"):  # which an earlier audit may have had
        (folder / f"{name}.csv").unlink(missing_ok=True)
    num_unused = 0
    with written_whole(folder / "unused.txt") as part, part.open("w", encoding="utf-8") as file:
        for num_unused, name in enumerate(unused, 1):  # noqa: B007 - the last number is how many there are
            file.write(name + "\n")
    summary = done.tally.as_json() | {
        "audit": None if done.audit is None else done.audit.id,
        "model": model,
        "certificate": None if done.outlook is None else done.outlook.as_json(),
        "num_tasks": len(done.plan.tasks),
        "num_drawn": done.plan.num_drawn,
        "num_problems": done.num_problems,
        "num_unused_photos": num_unused,
        "misplaced": [{"short": one.short, "over": one.over, "units": one.units} for one in done.plan.misplaced],
    }
    with written_whole(folder / "audit.json") as part:
        part.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return audit_page(
        done.tally,
        done.plan,
        by_value=done.by_value,
        model=model,
        summary=summary,
        thumbnails=thumbnails,
        told=[] if done.outlook is None else list(done.outlook.sentences()),
    ).write(folder)


def _write(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Value]]) -> None:
    write_rows(path, {column: column for column in columns}, rows)


def _cells(columns: Sequence[str], rows: Iterable[Mapping[str, Value]]) -> Iterator[list[Value]]:
    return ([row.get(column) for column in columns] for row in rows)


def _lines(verdicts: Path, *, only_exceptions: bool = False) -> Iterator[dict[str, Any]]:
    with verdicts.open(encoding="utf-8") as lines:
        for text in lines:
            if only_exceptions and f'"{SUSPECT}"' not in text and '"exception": null' in text:
                continue  # most of a large audit, which need not be parsed to be left out
            line: dict[str, Any] = json.loads(text)
            if not only_exceptions or line["verdict"] == SUSPECT or line["exception"]:
                yield line


def _task(task: Task, columns: Sequence[str]) -> dict[str, Value]:
    fields: dict[str, Value] = {name: getattr(task, name) for name in columns}
    return fields | {"gain": round(task.gain, 4)} if "gain" in columns else fields


def _problem(problem: RowProblem) -> dict[str, Value]:
    return {name: getattr(problem, name) for name in PROBLEM_COLUMNS}
