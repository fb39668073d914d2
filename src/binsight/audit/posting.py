"""What people settled on the console into a stock system's file: each count once, and the file whole or not there.

```
settled, not posted ─▶ a temporary file ─▶ one transaction: none was posted meanwhile ─▶ noted ─▶ the file in its place
```
Killed anywhere, what is not in its place is not noted, and goes out the next time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from pathlib import Path

from binsight.audit.counts import write_counts
from binsight.audit.mapping import Mapping
from binsight.audit.spreadsheets import Value
from binsight.audit.tasks import FOUND
from binsight.errors import BadInput
from binsight.storage.ledger import Audits, Detail, Ledger, Outcomes, TaskRows
from binsight.storage.ledger.tasks import record_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """What went out: the tasks, and a sentence for each bin that was left out. Without tasks no file was written."""

    tasks: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def post_counts(ledger: Ledger, audit: str, target: Mapping, out: Path, *, by: str, again: bool = False) -> Posted:
    """Write what was settled of an audit in the target's columns; `again`: what went out before, too.

    Raises `MissingObject` for no such audit, `BadInput` where `out` is there already, unless `again`, which has all that
    may stand in it; `ChangedMeanwhile` where somebody else posted some of it meanwhile; else as `write_counts`.
    """
    outcomes, posted = Outcomes(ledger), Posted()
    waiting = outcomes.to_post(Audits(ledger).read(audit).id, FOUND, again=again)

    def fitting() -> Iterator[dict[str, Value]]:
        for task in waiting:
            detail = TaskRows(ledger).detail(task)
            if said := _misfit(detail, target):
                posted.left_out.append(said)
            else:
                posted.tasks.append(task)
                yield count_of(detail)

    @contextmanager
    def placing() -> Iterator[None]:
        with outcomes.posting(posted.tasks, by=by, again=again):
            if out.exists() and not again:
                raise BadInput(
                    f"{out} is there already, with counts that may not be imported yet; import it and take it away, or "
                    "name another file"
                )
            yield

    counts = fitting()
    if (first := next(counts, None)) is not None:
        write_counts(out, target, chain([first], counts), placing=placing())
    return posted


def _misfit(detail: Detail, target: Mapping) -> str | None:
    """Why a task's count cannot stand in the target's columns: what is counted in a bin is its total, of all items."""
    items = record_of(detail.line).get("skus", ())
    if len(items) < 2 or "sku" not in target.counts.values():
        return None
    shown = ", ".join(items[:3]) + (", …" if len(items) > 3 else "")
    return (
        f"bin {detail.task.bin_id} holds {len(items)} items ({shown}), of which the count says only the total, "
        f"{detail.task.quantity}; it is left out and not noted as posted, count its items apart or post with a mapping "
        "that has no column for the item"
    )


def count_of(detail: Detail) -> dict[str, Value]:
    """What goes into a stock system of a task that ended, by field: who counted last and when, and why it differs."""
    line, record = detail.line, record_of(detail.line)
    last = detail.standing[-1] if detail.standing else None
    decided = detail.decisions[-1] if detail.decisions else {}
    fields: dict[str, Value] = {
        "bin_id": line.bin_id,
        "site": record.get("site"),
        "aisle": record.get("aisle"),
        "sku": ", ".join(record.get("skus", ())),
        "photo": line.photo,
        "expected_qty": line.expected,
        "counted_qty": detail.task.quantity,
        "counter": last.user if last else decided.get("user"),
        "counted_at": datetime.fromisoformat(last.counted_at if last else decided["at"]),
        "reason": decided.get("reason"),
        "comment": decided.get("comment") or (last.comment if last else None),
    }
    return {field: value for field, value in fields.items() if value not in (None, "")}
