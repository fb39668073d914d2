"""Bins that Binsight draws, as photos to learn from beside real ones: their counts are true, and every item is in sight.

Records say what is in a bin, also of what cannot be seen; drawn bins say what an item is. They are the same for every run.
"""

from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import numpy.typing as npt

from binsight.errors import StorageFailure
from binsight.imaging import Preprocessing, pixels_HWC
from binsight.imaging.drawn import drawn_photo
from binsight.processes import ctrl_c_blocked, worker_processes

Pixels = npt.NDArray[np.uint8]

MOST_ITEMS = 12
"""Beyond this many, items become too small to be told apart at the sizes that networks are asked at."""
_SIZE = (320, 240)  # as large as the photos of ABID that are shared
_BATCH = 16  # bins a task; drawing one takes a tenth of a second


def drawn_counts(num_drawn: int) -> npt.NDArray[np.int64]:
    """The counts of the first so many drawn bins (D,): 0, 1, … `MOST_ITEMS`, and again."""
    return np.arange(num_drawn) % (MOST_ITEMS + 1)


def drawn_pixels(num_drawn: int, preprocessing: Preprocessing, *, num_jobs: int) -> Iterator[Pixels]:
    """The first so many drawn bins, each (size, size, 3), drawn by `num_jobs` processes."""
    numbers = [list(range(first, min(first + _BATCH, num_drawn))) for first in range(0, num_drawn, _BATCH)]
    with worker_processes(num_jobs) as pool:
        with ctrl_c_blocked():
            drawn: list[Future[list[Pixels]]] = [pool.submit(_draw, some, preprocessing) for some in numbers]
        try:
            for future in drawn:
                yield from future.result()
        except BrokenProcessPool:
            raise StorageFailure(
                "a process that draws bins was killed, probably because memory ran out; free memory and run again"
            ) from None


def _draw(numbers: list[int], preprocessing: Preprocessing) -> list[Pixels]:
    counts = drawn_counts(max(numbers) + 1)
    return [
        pixels_HWC(drawn_photo(int(counts[number]), seed=number, size=_SIZE), preprocessing, name=f"drawn {number}")
        for number in numbers
    ]
