"""What an audit is given, and its lines under way: records read, photos indexed, one compared with the other.

```
RECORDS ─▶ intake ─┐
                   ├─▶ audited ─▶ lines
PHOTOS ──▶ index ──┘
```
"""

import glob
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from binsight.audit.captured import captured_photos
from binsight.audit.estimates import read_estimates
from binsight.audit.intake import Records, read_records
from binsight.audit.lines import AuditLine, Judging
from binsight.audit.mapping import Mapping
from binsight.audit.movements import read_movements
from binsight.audit.photos import LABEL, NAME, PhotoIndex
from binsight.audit.run import Freshness, Movement, Read, Result, audited
from binsight.audit.seen import SeenPhotos
from binsight.counting import Counter
from binsight.counting.sources import find_photos, photo_reader
from binsight.decision.lots import SHARE
from binsight.errors import BadInput, MissingObject
from binsight.progress import progress_bar
from binsight.settings import settings

_MOST_HOURS = 24 * 365 * 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Photos:
    """Where an audit's photos are, and how a bin's is found."""

    arguments: Sequence[str]
    estimates: Path | None = None
    captured: bool = False
    by_label: bool = False
    check_labels: bool = False
    endpoint_url: str | None = None
    anonymous: bool = False


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
    if not photos.arguments and photos.estimates is None and not photos.captured:
        raise BadInput("an audit needs photos, or --estimates of them, or --captured ones; name a folder of photos")
    gap = None if terms.max_gap_hours is None else timedelta(hours=min(terms.max_gap_hours, _MOST_HOURS))
    read = photo_reader(endpoint_url=photos.endpoint_url, anonymous=photos.anonymous)
    with (
        read_records(records, mapping, encoding=terms.encoding, sheet=terms.sheet) as found,
        PhotoIndex.opened() as index,
        _movements(terms, mapping) as movement,
    ):
        note = None if seen is None else seen.note
        count = partial(counter.count, note=note)
        _fill(index, photos, count, counter)
        found_by = LABEL if photos.by_label else NAME
        index.claim(found, by=found_by)
        lines = audited(
            found,
            index,
            by,
            count=partial(count, read_labels=photos.check_labels),
            read=read,
            found_by=found_by,
            fresh=Freshness(max_gap=gap, movement=movement),
            check_labels=photos.check_labels,
        )
        yield Opened(records=found, index=index, read=read, lines=lines)


@contextmanager
def _movements(terms: Terms, mapping: Mapping) -> Iterator[Movement | None]:
    if terms.movements is None:
        yield None
        return
    with read_movements(terms.movements, mapping, encoding=terms.encoding) as movement:
        yield movement


def _fill(index: PhotoIndex, photos: Photos, count: Callable[..., Iterator[Result]], counter: Counter) -> None:
    """Index what was counted already, and else the photos' names; by label all are counted, to read it."""
    if photos.estimates is not None:
        index.add_results(read_estimates(photos.estimates, num_counts=counter.bundle.spec.num_counts))
    if photos.captured:
        index.add_captured(captured_photos(settings(), model=counter.bundle.name))
    for argument in photos.arguments:  # a file that is not there is not looked for before it is counted
        if "://" not in argument and not glob.has_magic(argument) and not Path(argument).exists():
            raise MissingObject(f"{argument} is not there; check the path to the photos")
    found = find_photos(photos.arguments, endpoint_url=photos.endpoint_url, anonymous=photos.anonymous)
    if photos.by_label:
        with progress_bar("photos") as bar:
            index.add_results(bar.track(count(found, read_labels=True), description="reading labels"))
    elif photos.estimates is None:
        index.add_names(name for name, _ in found)
    else:
        index.add_names(name for name, _ in found if not index.has(name))
