"""Photos of a dataset that is prepared, checked by workers of a Ray cluster."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from binsight.dataset.check import Check, CheckedPhoto, PhotoFile, batches, check_batch
from binsight.engines.ray.cluster import cluster
from binsight.errors import EngineFailed
from binsight.imaging.decode import Limits

RETRIES = 20
"""How often a batch of photos may lose its worker. Not for ever: a photo that kills whatever decodes it would."""
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
        remote = ray.remote(num_cpus=1, max_retries=RETRIES, scheduling_strategy="SPREAD")(check_batch)
        waiting = deque[Any]()
        for batch in batches(files):
            absolute = [replace(file, path=file.path.absolute(), staged=file.staged.absolute()) for file in batch]
            waiting.append(remote.remote(absolute, limits))
            if len(waiting) > _AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1))):
                yield from _result(ray, waiting.popleft())
        while waiting:
            yield from _result(ray, waiting.popleft())


def _result(ray: Any, one: Any) -> list[CheckedPhoto]:
    try:
        checked: list[CheckedPhoto] = ray.get(one)
    except ray.exceptions.RayTaskError as error:  # the task itself raised
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise EngineFailed(
            f"a batch of photos lost its worker {RETRIES + 1} times ({type(error).__name__}); run the same command "
            "again, and if it happens again look for a photo that its worker dies of"
        ) from None
    return checked
