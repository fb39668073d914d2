"""Photos of a dataset that is prepared, checked by workers of a Ray cluster."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from binsight.dataset.check import Check, CheckedPhoto, PhotoFile, batches, check_batch
from binsight.engines.ray.cluster import cluster, num_cores, result, task
from binsight.imaging.decode import Limits

_AHEAD = 4  # tasks for each core that wait


def check_on_ray(*, address: str | None, workers: int | None = None) -> Check:
    """A Ray cluster: the one at `address`, else a new one on this machine with so many workers, by default its cores.

    All its machines must reach the photos and the dataset that is made under the same names. It raises `EngineFailed`
    where there is no such cluster or a batch loses its worker again and again, and what checking raises.
    """
    return partial(_check_all, address, workers)


def _check_all(
    address: str | None, workers: int | None, files: Iterable[PhotoFile], limits: Limits
) -> Iterator[CheckedPhoto]:
    with cluster(address, workers=workers) as ray:
        remote = task(ray, check_batch)
        waiting = deque[Any]()
        for batch in batches(files):
            absolute = [replace(file, path=file.path.absolute(), staged=file.staged.absolute()) for file in batch]
            waiting.append(remote.remote(absolute, limits))
            if len(waiting) > _AHEAD * num_cores(ray):
                yield from _result(ray, waiting.popleft())
        while waiting:
            yield from _result(ray, waiting.popleft())


def _result(ray: Any, one: Any) -> list[CheckedPhoto]:
    checked: list[CheckedPhoto] = result(
        ray, one, named="a batch of photos", look_for="a photo that its worker dies of"
    )
    return checked
