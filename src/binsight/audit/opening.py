"""What an audit is given, and its lines under way: records read, photos indexed, one compared with the other.

```
RECORDS ─▶ intake ─┐
                   ├─▶ audited ─▶ lines
PHOTOS ──▶ index ──┘
```
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from binsight.audit.intake import Records, read_records
from binsight.audit.lines import AuditLine, Judging
from binsight.audit.mapping import Mapping
from binsight.audit.matching import Photos, against_photos
from binsight.audit.movements import read_movements
from binsight.audit.photos import PhotoIndex
from binsight.audit.run import Freshness, Movement, Read
from binsight.audit.seen import SeenPhotos
from binsight.counting import Counter
from binsight.decision.lots import SHARE

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
    share: float = SHARE
    draw_all: bool = False
    max_age_days: float = 90
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An audit under way: its records, its photos, how one is read, and the lines that come of them."""

    records: Records
    index: PhotoIndex
    read: Read
    lines: Iterator[AuditLine]


@contextmanager
def opened_lines(
    records: Path,
    mapping: Mapping,
    photos: Photos,
    terms: Terms,
    counter: Counter,
    by: Judging,
    *,
    seen: SeenPhotos | None = None,
) -> Iterator[Opened]:
    """Read the records, index the photos, and judge one by the other as the lines are taken.

    `seen` is told of the photos.
    """
    gap = None if terms.max_gap_hours is None else timedelta(hours=min(terms.max_gap_hours, _MOST_HOURS))
    note = None if seen is None else seen.note
    with (
        read_records(records, mapping, encoding=terms.encoding, sheet=terms.sheet) as found,
        _movements(terms, mapping) as movement,
        against_photos(
            found, photos, counter, by, fresh=Freshness(max_gap=gap, movement=movement), note=note
        ) as matched,
    ):
        yield Opened(records=found, index=matched.index, read=matched.read, lines=matched.lines)


@contextmanager
def _movements(terms: Terms, mapping: Mapping) -> Iterator[Movement | None]:
    if terms.movements is None:
        yield None
        return
    with read_movements(terms.movements, mapping, encoding=terms.encoding) as movement:
        yield movement
