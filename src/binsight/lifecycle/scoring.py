"""Both bundles asked about the same photos in one run, in turns, so that a busy machine slows both.

Axes: B photos, K counts.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import numpy as np

from binsight.counting.counter import Counter
from binsight.decision.scores import Floats, checked_probs
from binsight.errors import BadBundle, BadDataset, BadPhoto
from binsight.lifecycle.promotion_set import PromotionSet
from binsight.progress import progress_bar

CHUNK = 32
"""Photos asked of one bundle before it is the other's turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What one bundle said of the photos, in their order, and the median time that it took for one."""

    probs_BK: Floats
    ms_per_photo: float


def ask_both(
    champion: Counter, challenger: Counter, promotion_set: PromotionSet
) -> tuple[Answered, Answered, float]:
    """Ask the champion and the challenger about every photo of the set; and how many times the time the latter takes.

    That is the median over chunks of photos, each of which both were asked about one right after the other.

    Raises `BadDataset` for a photo that cannot be read, `BadBundle` for answers that are no distributions.
    """
    counters = (champion, challenger)
    rows: tuple[list[Floats], list[Floats]] = ([], [])
    seconds: tuple[list[float], list[float]] = ([], [])
    photos = promotion_set.photos
    edges = [*range(0, len(photos), CHUNK), len(photos)]
    with progress_bar("photos") as bar:
        task = bar.add_task("comparing", total=len(photos))
        for number, (start, end) in enumerate(pairwise(edges)):
            data = [promotion_set.dataset.read_bytes(photo) for photo in photos[start:end]]
            for which in (0, 1) if number % 2 else (1, 0):  # neither always finds the caches warm
                began = time.perf_counter()
                rows[which].append(_asked(counters[which], data, promotion_set, start))
                seconds[which].append((time.perf_counter() - began) / len(data))
            bar.advance(task, len(data))
    first, second = (
        Answered(probs_BK=_checked(counters[which], rows[which]), ms_per_photo=1000 * median(seconds[which]))
        for which in (0, 1)
    )
    return first, second, median(after / before for before, after in zip(*seconds, strict=True))


def _asked(counter: Counter, data: Sequence[bytes], promotion_set: PromotionSet, start: int) -> Floats:
    try:
        return counter.probs(data)
    except BadPhoto as error:
        first = promotion_set.photos[start].photo
        raise BadDataset(
            f"{promotion_set.name}: one of the {len(data)} photos from {first} on cannot be counted: {error}"
        ) from None


def _checked(counter: Counter, rows: Sequence[Floats]) -> Floats:
    try:
        return checked_probs(np.concatenate(rows))
    except ValueError as error:
        raise BadBundle(
            f"{counter.bundle.folder} does not give distributions over counts: {error}; export it again"
        ) from None
