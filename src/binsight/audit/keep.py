"""Audit lines on their way into the ledger, some hundred to a transaction."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from binsight.audit.lines import SUSPECT, VERIFIED, AuditLine
from binsight.audit.places import Place, place_of
from binsight.audit.plan import Task as Planned
from binsight.audit.tasks import make_tasks
from binsight.records import CountEstimate, StockRecord
from binsight.storage.ledger import AisleRow, Audit, AuditLineRow, Audits, FoundBy, Ledger

TOGETHER = 1000
"""Lines of one transaction: what a killed audit may lose at most, and what one digest in the journal proves."""


_RECORD_FIELDS = tuple(name for name in StockRecord.__slots__ if name not in ("bin_id", "expected"))


class Keeper:
    """Keeps an audit's lines in the ledger; without one it only hands them on."""

    def __init__(self, ledger: Ledger | None = None, audit: Audit | None = None) -> None:
        self._ledger, self.audit = ledger, audit
        self._aisles: dict[Place, _Aisle] = {}

    def kept(self, lines: Iterable[AuditLine]) -> Iterator[AuditLine]:
        """The lines as they come, each handed on once it is in the ledger for good."""
        if self._ledger is None or self.audit is None:
            yield from lines
            return
        audits, lines, place = Audits(self._ledger), iter(lines), 0
        while together := list(islice(lines, TOGETHER)):
            rows = [row_of(line, place + number) for number, line in enumerate(together, 1)]
            audits.add(self.audit, rows, list(map(self._found_by, together)))
            place += len(together)
            yield from together

    def end(self, tally: Mapping[str, Any]) -> None:
        """Say that these were all, and what they came to."""
        if self._ledger is not None and self.audit is not None:
            Audits(self._ledger).end(self.audit, tally, [aisle.row for aisle in self._aisles.values()])

    def give_out(self, planned: Iterable[Planned], drawn: Collection[int]) -> int:
        """Make tasks of the plan; how many. `drawn` are the lines among them that were drawn by lot."""
        if self._ledger is None or self.audit is None:
            return 0
        return make_tasks(self._ledger, self.audit, planned, drawn=drawn, by=self.audit.begun_by)

    def _found_by(self, line: AuditLine) -> FoundBy:
        """What a line is looked up by; its aisle takes it in."""
        site, aisle = place = place_of(line.record)
        self._aisles.setdefault(place, _Aisle(place)).add(line)
        value = line.record.unit_value
        return FoundBy(site=site, aisle=aisle, value_off=None if value is None else line.units_off * value)


@dataclass(slots=True)
class _Aisle:
    """An aisle's lines as they pass."""

    place: Place
    words: Counter[str] = field(default_factory=Counter)
    units_off: float = 0.0

    def add(self, line: AuditLine) -> None:
        self.words[line.word] += 1
        self.units_off += line.units_off

    @property
    def row(self) -> AisleRow:
        site, aisle = self.place
        return AisleRow(
            site=site,
            aisle=aisle,
            num_records=self.words.total(),
            num_verified=self.words[VERIFIED],
            num_suspect=self.words[SUSPECT],
            units_off=self.units_off,
        )


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
    fields = {name: getattr(record, name) for name in _RECORD_FIELDS}
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


_compact = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode  # `dumps` makes an encoder each time
