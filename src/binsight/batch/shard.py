"""One shard: read its list, count its photos, write its rows whole."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256

from binsight.batch.photos import Listed, Photos
from binsight.batch.places import Output, Places
from binsight.batch.plan import Task
from binsight.batch.rows import listed, num_failed, row_bytes
from binsight.counting import Counter
from binsight.errors import (
    AccessRefused,
    BadInput,
    BinsightError,
    ChangedMeanwhile,
    MissingObject,
    MissingStore,
    StorageFailure,
)
from binsight.records import CountFailure

_READS = 8  # photos on their way from the store at once
_ROWS = (BadInput, ChangedMeanwhile, MissingObject, AccessRefused)
"""What is wrong with one photo, and becomes its row; all else is wrong with the store and ends the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A shard whose part is there. `here` is false where it was found there, from before or from another process."""

    num_photos: int
    num_failed: int
    here: bool


class _Ends(Exception):
    """Carries an error of ours past the counter, which would make a row of it."""

    def __init__(self, cause: BinsightError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def found(out: Output, task: Task) -> Done | None:
    """The shard, where its part is there and whole."""
    data = out.read_if_there(task.part)
    failed = None if data is None else num_failed(data, task.num_photos)
    return None if failed is None else Done(num_photos=task.num_photos, num_failed=failed, here=False)


def count_shard(places: Places, task: Task, counter: Counter) -> Done:
    """Count a shard and write its part, unless that is there meanwhile.

    Raises `StorageFailure` or `MissingStore` where a store fails, however often it is asked, or refuses everything: then
    nothing is written.
    """
    out = places.open_out()
    if (done := found(out, task)) is not None:
        return done
    reader, photos = _Reader(places), _list_of(out, task)
    try:
        results = list(counter.count(reader.ahead(photos), read_labels=task.read_labels))
    except _Ends as ended:
        raise ended.cause from None
    if not reader.any_read:
        reader.check_place()
    out.write(task.part, row_bytes(results, task.model))
    return Done(
        num_photos=len(results), num_failed=sum(isinstance(one, CountFailure) for one in results), here=True
    )


def _list_of(out: Output, task: Task) -> list[Listed]:
    data = out.objects.read(task.list_name)
    if sha256(data).hexdigest() != task.digest:
        raise StorageFailure(f"{out.url}/{task.list_name} was changed; begin again in another --out")
    return listed(data)


class _Reader:
    """Reads photos ahead of the counter, so that a store's latency costs nothing, and tells faults apart."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._photos: Photos = places.open_photos()
        self.any_read = False
        self._only_refused = True

    def ahead(self, photos: Iterable[Listed]) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """Every photo's full name, and what waits for its bytes."""
        begun: deque[tuple[str, Future[bytes]]] = deque()
        with ThreadPoolExecutor(_READS, thread_name_prefix="read") as pool:
            for photo in photos:
                begun.append((f"{self._places.photos}/{photo.name}", pool.submit(self._read, photo)))
                if len(begun) >= 2 * _READS:
                    name, data = begun.popleft()
                    yield name, data.result
            for name, data in begun:
                yield name, data.result

    def _read(self, photo: Listed) -> bytes:
        try:
            data = self._photos.read(photo)
        except MissingStore as error:
            raise _Ends(error) from None
        except _ROWS as error:
            self._only_refused &= isinstance(error, AccessRefused)
            raise
        except BinsightError as error:
            raise _Ends(error) from None
        self.any_read = True
        return data

    def check_place(self) -> None:
        """Where no photo of a shard could be read, it is the place that is gone or shut, unless it still lists photos.

        Raises the refusal where they were all refused and the place's first photo is, too: it is the place that refuses
        then, and rows of that would stay once the permission is given.
        """
        first = next(iter(self._photos.list()), None)
        if first is None:
            raise StorageFailure(f"{self._places.photos} holds no photo any more; is it still mounted?")
        if self._only_refused:
            with suppress(BadInput, ChangedMeanwhile, MissingObject):
                self._photos.read(first)
