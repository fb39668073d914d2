"""A job from beginning to end: what is done is found, an engine does the rest, and the sum is told."""

import random
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from binsight.batch.places import Places
from binsight.batch.plan import Job, Task
from binsight.batch.shard import Done, count_shard, found
from binsight.counting import Counter
from binsight.progress import progress_bar

_LOOKS = 16  # parts looked at together

Engine = Callable[[Iterable[Task]], Iterator[Done]]
"""Counts shards wherever it does, and tells of each as it is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The closing line. `now` are the photos that this run counted; rate and cost are of this run."""

    out: str
    photos: int
    failed: int
    shards: int
    now: int
    seconds: float
    photos_per_s: float | None
    cost: float | None
    cost_per_million: float | None

    def fields(self) -> dict[str, Any]:
        return asdict(self)


def run(job: Job, places: Places, engine: Engine, *, began: float, price_per_hour: float | None) -> Summary:
    """Count the shards that have no part yet. `began` is when the run did, by `time.monotonic()`.

    Raises as `count_shard` and the engine do; what was counted by then is kept.
    """
    done: list[Done] = []  # a few numbers for each shard, not for each photo
    with progress_bar("photos") as bar:
        shown = bar.add_task("count", total=job.num_photos)

        def note(one: Done) -> None:
            done.append(one)
            bar.advance(shown, one.num_photos)

        todo = list(_todo(job, places, note))
        random.shuffle(todo)  # processes that share a job then seldom count the same shard
        for one in engine(todo):
            note(one)
    return _summary(job, places, done, time.monotonic() - began, price_per_hour)


def engine_here(places: Places, counter: Counter) -> Engine:
    """This process, with all the cores that it may use."""

    def count(tasks: Iterable[Task]) -> Iterator[Done]:
        return (count_shard(places, task, counter) for task in tasks)

    return count


def _todo(job: Job, places: Places, note: Callable[[Done], None]) -> Iterator[Task]:
    """Shards whose part is not there whole; `note` is told of the others."""
    out = places.open_out()
    names = {info.name for info in out.objects.list() if info.name.startswith("part-")}
    there = [task for task in job.tasks() if task.part in names]
    whole = set()
    with ThreadPoolExecutor(_LOOKS) as pool:
        for task, one in zip(there, pool.map(lambda task: found(out, task), there), strict=True):
            if one is not None:
                whole.add(task.number)
                note(one)
    return (task for task in job.tasks() if task.number not in whole)


def _summary(job: Job, places: Places, done: list[Done], seconds: float, price_per_hour: float | None) -> Summary:
    now = sum(one.num_photos for one in done if one.here)
    cost = None if price_per_hour is None else price_per_hour * seconds / 3600
    return Summary(
        out=places.out,
        photos=sum(one.num_photos for one in done),
        failed=sum(one.num_failed for one in done),
        shards=len(job.shards),
        now=now,
        seconds=round(seconds, 3),
        photos_per_s=round(now / seconds, 2) if now else None,
        cost=None if cost is None else round(cost, 6),
        cost_per_million=round(cost / now * 1e6, 2) if cost is not None and now else None,
    )
