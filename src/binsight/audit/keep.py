"""Audit lines on their way into the ledger, some hundred to a transaction."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from binsight.audit.lines import AuditLine
from binsight.audit.plan import Task as Planned
from binsight.audit.tasks import make_tasks
from binsight.records import CountEstimate, StockRecord
from binsight.storage.ledger import Audit, AuditLineRow, Audits, Ledger

TOGETHER = 1000
"""Lines of one transaction: what a killed audit may lose at most, and what one digest in the journal proves."""


class Keeper:
    """Keeps an audit's lines in the ledger; without one it only hands them on."""

    def __init__(self, ledger: Ledger | None = None, audit: Audit | None = None) -> None:
        self._ledger, self.audit = ledger, audit

    def kept(self, lines: Iterable[AuditLine]) -> Iterator[AuditLine]:
        """The lines as they come, each handed on once it is in the ledger for good."""
        if self._ledger is None or self.audit is None:
            yield from lines
            return
        audits, lines, place = Audits(self._ledger), iter(lines), 0
        while together := list(islice(lines, TOGETHER)):
            audits.add(self.audit, [row_of(line, place + number) for number, line in enumerate(together, 1)])
            place += len(together)
            yield from together

    def end(self, tally: Mapping[str, Any]) -> None:
        """Say that these were all, and what they came to."""
        if self._ledger is not None and self.audit is not None:
            Audits(self._ledger).end(self.audit, tally)

    def give_out(self, planned: Iterable[Planned]) -> int:
        """Make tasks of the plan; how many."""
        if self._ledger is None or self.audit is None:
            return 0
        return make_tasks(self._ledger, self.audit, planned, by=self.audit.begun_by)


def row_of(line: AuditLine, place: int) -> AuditLineRow:
    """The line as the ledger has it."""
    seen = line.estimate
    return AuditLineRow(
        place=place,
        bin_id=line.record.bin_id,
        expected=line.record.expected,
        record=_record_json(line.record),
        photo=None if seen is None else seen.photo,
        photo_sha256=line.photo_sha256,
        estimate=None if seen is None else _estimate_json(seen),
        count=None if seen is None else seen.count,
        verdict=line.word,
        reason=line.reason,
        exception=line.exception,
        p_record=line.p_record,
        p_right=line.p_right,
        units_off=line.units_off,
    )


def _record_json(record: StockRecord) -> str:
    """The fields that have something to say, beside those that are columns."""
    fields = {name: getattr(record, name) for name in StockRecord.__slots__ if name not in ("bin_id", "expected")}
    return _compact({name: _plain(value) for name, value in fields.items() if value not in (None, ())})


def _estimate_json(estimate: CountEstimate) -> str:
    fields: dict[str, Any] = {"probs": [round(p, 6) for p in estimate.probs]}
    fields |= {"bin_label": estimate.bin_label} if estimate.bin_label else {}
    fields |= {"flags": list(estimate.flags)} if estimate.flags else {}
    return _compact(fields)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value


def _compact(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
