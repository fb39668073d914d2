"""Shards of batch counting as tasks of Ray."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from binsight.batch import Done, Places, Task, count_shard
from binsight.batch.execute import Engine
from binsight.counting import Bundle, Counter
from binsight.engines.ray.bundles import packed, unpacked
from binsight.engines.ray.cluster import carried_settings, cluster, num_cores, result, take_over, task

_AHEAD = 4  # tasks for each core that wait: enough for every worker to find one, and for an autoscaler to see them


def engine_on_ray(bundle: Bundle, places: Places, *, address: str | None, workers: int | None = None) -> Engine:
    """A Ray cluster: the one at `address`, else a new one on this machine with so many workers, by default its cores.

    It raises `EngineFailed` where there is no such cluster or a shard loses its worker again and again, and what
    `count_shard` raises.
    """
    return partial(_count_all, bundle, places, address, workers)


def _count_all(
    bundle: Bundle, places: Places, address: str | None, workers: int | None, tasks: Iterable[Task]
) -> Iterator[Done]:
    with cluster(address, workers=workers) as ray:
        files = ray.put(packed(bundle))
        remote = task(ray, _count_on_worker)
        waiting, pending = iter(tasks), dict[Any, Task]()
        while True:
            room = _AHEAD * num_cores(ray) - len(pending)
            for shard in islice(waiting, max(0, room)):
                pending[remote.remote([files], bundle.version, carried_settings(), places, shard)] = shard
            if not pending:
                return
            ready, _ = ray.wait(list(pending), num_returns=1)
            for one in ready:
                yield _result(ray, one, pending.pop(one))


def _result(ray: Any, one: Any, shard: Task) -> Done:
    done: Done = result(ray, one, named=f"shard {shard.number}", look_for="a photo that its worker dies of")
    return done


def _count_on_worker(
    files: Sequence[Any], version: str, carried: Mapping[str, str], places: Places, shard: Task
) -> Done:
    import ray

    take_over(carried)
    return count_shard(places, shard, counter_of(version, lambda: unpacked(ray.get(files[0]), version)))


_held: dict[str, Counter] = {}


def counter_of(version: str, unpack: Callable[[], Path]) -> Counter:
    """A worker's counter, opened with its first shard and kept for all of the same bundle, whichever run they are of.

    One core: there are as many workers as cores.
    """
    if version not in _held:
        _held.clear()  # one at a time, or a worker would grow with the runs that it serves
        _held[version] = Counter.load(unpack(), threads=1)
    return _held[version]
