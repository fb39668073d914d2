"""Records and photos brought together: photos found, indexed and counted, records judged by them."""

import glob
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from binsight.audit.captured import captured_photos
from binsight.audit.estimates import read_estimates
from binsight.audit.lines import AuditLine, Judging
from binsight.audit.photos import LABEL, NAME, PhotoIndex
from binsight.audit.run import Freshness, Read, Result, audited
from binsight.counting import Counter
from binsight.counting.counter import Seen
from binsight.counting.sources import find_photos, photo_reader
from binsight.errors import BadInput, MissingObject
from binsight.progress import progress_bar
from binsight.records import CountEstimate, StockRecord
from binsight.settings import settings

ANY_AGE = Freshness()
"""Of records and photos that say no moments."""


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
class Matched:
    """Records and photos brought together: the photos, how one is read, and the lines that come of them."""

    index: PhotoIndex
    read: Read
    lines: Iterator[AuditLine]


@contextmanager
def against_photos(
    records: Iterable[StockRecord],
    photos: Photos,
    counter: Counter,
    by: Judging,
    *,
    fresh: Freshness = ANY_AGE,
    note: Callable[[Seen, CountEstimate], None] | None = None,
) -> Iterator[Matched]:
    """Index the photos and judge the records, which are gone through three times, by them as the lines are taken.

    `note` is told of every photo that is counted, as `Counter.count` has it.
    """
    if not photos.arguments and photos.estimates is None and not photos.captured:
        raise BadInput("an audit needs photos, or --estimates of them, or --captured ones; name a folder of photos")
    read = photo_reader(endpoint_url=photos.endpoint_url, anonymous=photos.anonymous)
    with PhotoIndex.opened() as index:
        count = partial(counter.count, note=note)
        found_by = LABEL if photos.by_label else NAME
        _fill(index, photos, count, counter, found_by)
        index.claim(records, by=found_by)
        lines = audited(
            records,
            index,
            by,
            count=partial(count, read_labels=photos.check_labels),
            read=read,
            found_by=found_by,
            fresh=fresh,
            check_labels=photos.check_labels,
        )
        yield Matched(index=index, read=read, lines=lines)


def _fill(
    index: PhotoIndex, photos: Photos, count: Callable[..., Iterator[Result]], counter: Counter, found_by: str
) -> None:
    """Index what was counted already, and else the photos' names; by label all are counted, to read it."""
    if photos.estimates is not None:
        index.add_results(read_estimates(photos.estimates, num_counts=counter.bundle.spec.num_counts))
    if photos.captured:
        index.add_captured(captured_photos(settings(), model=counter.bundle.name), by=found_by)
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
