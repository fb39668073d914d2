"""Fetch photos and their records into a folder in ABID's own layout, many requests in flight, resumable.

For every id: record (there already? else read it; does its count match?) → photo (there already? else read it).
A file is written under a temporary name, moved to its own, then noted in the journal, so that a kill at any
moment costs what was in flight and no more. Nothing grows with the number of ids but the journal's index.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from binsight.dataset.event_loop import new_loop
from binsight.dataset.fetch_folder import MISSING_NAME, PHOTOS, RECORDS, FetchFolder
from binsight.dataset.selection import Selection
from binsight.dataset.sources import Source, Wanted, open_abid, open_source
from binsight.errors import AccessRefused, BadInput, MissingObject, MissingStore
from binsight.progress import progress_bar
from binsight.records import BinRecord
from binsight.settings import settings

_REFUSALS = 100  # so many objects refused and none read: it is the store that refuses, not single objects


@dataclass(slots=True, kw_only=True)
class FetchSummary:
    """What a fetch did. All figures but `files`, `bytes` and `seconds` count photos (ids)."""

    fetched: int = 0
    """Photos of which the photo, its record or both were read in this run."""
    already_there: int = 0
    """Photos that lay in the folder with their records, whole."""
    missing: int = 0
    """Photos that lack the photo, its record or both; `missing.csv` names them."""
    not_wanted: int = 0
    """Photos whose record says another count than asked for."""
    files: int = 0
    """Files written."""
    bytes: int = 0
    """Bytes written."""
    seconds: float = 0.0


def fetch(
    source: str,
    folder: Path,
    selection: Selection | None = None,
    *,
    endpoint_url: str | None = None,
    anonymous: bool = False,
    jobs: int = 32,
    verify: bool = False,
) -> FetchSummary:
    """Fetch the selected photos (None: all) with their records from `source` into `folder`, and say what was done.

    `source` is `abid`, `s3://bucket/prefix` or a folder; `sources.py` says which layouts are understood. `jobs`
    requests are in flight. What lies there whole already, by the journal and the files' sizes (with `verify`, by
    their SHA-256), is not fetched again.

    A photo or record that is missing, refused, unreadable or larger than the settings allow is listed in
    `missing.csv` and ends nothing. Raises `MissingStore` for a bucket or folder that is not there,
    `MissingObject` or `AccessRefused` where no photo at all could be had, `StorageFailure` for a store or disk
    that fails, `BadInput` for arguments that cannot be, `BadDataset` for a folder that holds another source's.
    """
    started = time.monotonic()
    if selection is None:
        selection = Selection()
    if "://" not in source and source != "abid" and folder.resolve().is_relative_to(Path(source).resolve()):
        raise BadInput(f"{folder} lies in the source {source}; fetch into a folder outside it")
    with asyncio.Runner(loop_factory=new_loop) as runner:
        summary = runner.run(_fetch(source, folder, selection, endpoint_url, anonymous, jobs, verify))
    summary.seconds = round(time.monotonic() - started, 3)
    return summary


async def _fetch(
    url: str,
    folder: Path,
    selection: Selection,
    endpoint_url: str | None,
    anonymous: bool,
    jobs: int,
    verify: bool,
) -> FetchSummary:
    known = selection.known_ids()
    if url == "abid":
        source = open_abid(endpoint_url=endpoint_url)
    else:
        source = await open_source(url, endpoint_url=endpoint_url, anonymous=anonymous)
    if selection.counts is not None and source.records is None:
        raise BadInput(f"{url} has no records, so photos cannot be chosen by count; leave the counts out")
    if known:
        ids, total = known
        wanted = _wanted(ids)
    else:
        wanted, total = source.listed(), None
    if selection.limit is not None:
        total = min(selection.limit, total or selection.limit)
    with FetchFolder(folder, source.url) as files, progress_bar("photo") as bar:
        task = bar.add_task(f"from {url}", total=total)
        advance = (lambda: bar.advance(task)) if not bar.disable else _nothing
        fetcher = _Fetcher(source, files, selection, verify=verify, advance=advance)
        await fetcher.run(wanted, jobs)
        files.publish_missing()
    fetcher.check_any()
    return fetcher.summary


def _nothing() -> None:
    """A progress bar that nobody sees is not worth the counting."""


async def _wanted(ids: Iterable[str]) -> AsyncIterator[Wanted]:
    for photo in ids:
        yield Wanted(photo)


class _Step(Enum):
    """What became of one object."""

    THERE = auto()
    FETCHED = auto()
    NOT_WANTED = auto()


class _Fetcher:
    """One run: workers that each take the next id and do its record, then its photo."""

    def __init__(
        self,
        source: Source,
        files: FetchFolder,
        selection: Selection,
        *,
        verify: bool,
        advance: Callable[[], None],
    ) -> None:
        self.summary = FetchSummary()
        self._source = source
        self._files = files
        self._selection = selection
        self._verify = verify
        self._advance = advance
        self._max_bytes = settings().max_photo_bytes
        self._num_found = 0
        self._num_refused = 0
        self._first_gap: Exception | None = None
        self._num_busy = 0
        self._one_ended = asyncio.Event()
        self._turn = asyncio.Lock()

    async def run(self, wanted: AsyncIterator[Wanted], jobs: int) -> None:
        """Fetch all that is wanted, up to the limit. Raises the first error that ends the run."""
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(jobs):
                    workers.create_task(self._work(wanted))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    def check_any(self) -> None:
        """Raises `MissingObject` or `AccessRefused` where not one photo was had, now or before."""
        if self._num_found:
            return
        summary = self.summary
        if self._first_gap is None:
            raise MissingObject(
                f"none of the {summary.not_wanted} records in {self._source.url} says such a count; "
                "ask for other counts or ids"
            )
        kind = AccessRefused if isinstance(self._first_gap, AccessRefused) else MissingObject
        raise kind(
            f"none of {summary.missing} photos could be had from {self._source.url}; {MISSING_NAME} in "
            f"{self._files.folder} lists why, beginning with: {self._first_gap}"
        )

    async def _work(self, wanted: AsyncIterator[Wanted]) -> None:
        while True:
            async with self._turn:
                next_one = await anext(wanted, None) if await self._has_room() else None
            if next_one is None:
                return
            self._num_busy += 1
            await self._photo_and_record(next_one)
            self._num_busy -= 1
            self._one_ended.set()

    async def _has_room(self) -> bool:
        """Whether the limit leaves room for one more, once enough of those under way have ended to know.

        Ids are taken in order and never more than may still be kept, so that a limit keeps the first ones, the
        same in every run.
        """
        limit = self._selection.limit
        while limit is not None and self._num_found + self._num_busy >= limit:
            if self._num_busy == 0:
                return False
            self._one_ended.clear()
            await self._one_ended.wait()
        return True

    async def _photo_and_record(self, wanted: Wanted) -> None:
        gaps: dict[str, Exception] = {}
        steps: list[_Step] = []
        for what, read in (("record", self._record), ("photo", self._photo)):
            try:
                steps.append(await read(wanted))
            except MissingStore:
                raise
            except (MissingObject, AccessRefused, BadInput) as gap:
                self._check_refusals(gap)
                gaps[what] = gap
                if what == "record" and self._selection.counts is not None:
                    break  # whether the photo is wanted cannot be known
            if _Step.NOT_WANTED in steps:
                break
        self._sum_up(wanted.photo, steps, gaps)

    async def _record(self, wanted: Wanted) -> _Step:
        if self._source.records is None:
            return _Step.THERE
        counts, photo = self._selection.counts, wanted.photo
        name = f"{RECORDS}/{photo}.json"
        if self._files.has(name, verify=self._verify):
            if counts is None or BinRecord.from_abid_json(self._files.read(name), photo=photo).expected in counts:
                return _Step.THERE
            return _Step.NOT_WANTED
        if counts is not None:
            noted = self._files.journal.count_of(photo)
            if noted is not None and noted not in counts:
                return _Step.NOT_WANTED
        data = await self._read(self._source.record_name(photo))
        if counts is not None:
            count = BinRecord.from_abid_json(data, photo=photo).expected
            if count not in counts:
                self._files.journal.add_count(photo, count)
                return _Step.NOT_WANTED
        self._keep(name, data)
        return _Step.FETCHED

    async def _photo(self, wanted: Wanted) -> _Step:
        places = [
            (name, f"{PHOTOS}/{wanted.photo}{name[name.rindex('.') :].lower()}")
            for name in self._source.photo_names(wanted)
        ]
        if any(self._files.has(place, verify=self._verify) for _, place in places):
            self._num_found += 1
            return _Step.THERE
        for name, place in places:
            last = name == places[-1][0]
            try:
                data = await self._read(name)
            except MissingObject as error:
                if last or isinstance(error, MissingStore):
                    raise
                continue
            self._keep(place, data)
            break
        self._num_found += 1
        return _Step.FETCHED

    async def _read(self, name: str) -> bytes:
        return await self._source.store.read_async(name, max_bytes=self._max_bytes)

    def _keep(self, place: str, data: bytes) -> None:
        self._files.keep(place, data)
        self.summary.files += 1
        self.summary.bytes += len(data)

    def _check_refusals(self, gap: Exception) -> None:
        """Raises the refusal where the store has refused everything so far: asking on would be pointless."""
        if isinstance(gap, AccessRefused):
            self._num_refused += 1
            if self._num_refused >= _REFUSALS and self.summary.files == 0:
                raise gap

    def _sum_up(self, photo: str, steps: list[_Step], gaps: dict[str, Exception]) -> None:
        summary = self.summary
        summary.fetched += _Step.FETCHED in steps
        summary.missing += bool(gaps)
        summary.not_wanted += _Step.NOT_WANTED in steps
        summary.already_there += not gaps and all(step is _Step.THERE for step in steps)
        if gaps:
            first = next(iter(gaps.values()))
            self._first_gap = self._first_gap or first
            self._files.report_missing(photo, "both" if len(gaps) == 2 else next(iter(gaps)), str(first))
        if self._selection.limit is None or ("photo" not in gaps and _Step.NOT_WANTED not in steps):
            self._advance()
