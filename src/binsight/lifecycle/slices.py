"""The parts of a promotion set on which a challenger is looked at apart: by count, brightness and size of the photo."""

from collections.abc import Iterator, Sequence
from itertools import compress

import numpy as np
import numpy.typing as npt

from binsight.decision.paired import mean_difference
from binsight.decision.scores import Floats, Ints
from binsight.lifecycle.comparison import Slice

COUNT_BANDS = ((0, 0), (1, 2), (3, 5), (6, 9), (10, None))
SMALL_SIDE = 224
"""Most photos of ABID that were kept at 224×224 are of other counts than those that were kept whole."""

Chosen = npt.NDArray[np.bool_]


def slices_of(
    difference_B: Floats, counts_B: Ints, brightness_B: Floats, side_B: Ints, groups: Sequence[str]
) -> tuple[Slice, ...]:
    """The difference in exact answers on each part that has photos; `side_B` is each photo's shorter side in pixels."""
    found = []
    for by, name, chosen_B in _parts(counts_B, brightness_B, side_B):
        if chosen_B.any():
            exact = mean_difference(difference_B[chosen_B], list(compress(groups, chosen_B)))
            found.append(Slice(by=by, name=name, exact=exact))
    return tuple(found)


def _parts(counts_B: Ints, brightness_B: Floats, side_B: Ints) -> Iterator[tuple[str, str, Chosen]]:
    for low, high in COUNT_BANDS:
        name = f"{low}+" if high is None else str(low) if low == high else f"{low}-{high}"
        yield "count", name, (counts_B >= low) & (high is None or counts_B <= high)
    # Thirds of the set itself: what is dark to one site's cameras is bright to another's.
    first, second = np.quantile(brightness_B, [1 / 3, 2 / 3])
    yield "brightness", "darkest third", brightness_B < first
    yield "brightness", "middle third", (brightness_B >= first) & (brightness_B < second)
    yield "brightness", "brightest third", brightness_B >= second
    yield "size", f"up to {SMALL_SIDE} pixels", side_B <= SMALL_SIDE
    yield "size", f"over {SMALL_SIDE} pixels", side_B > SMALL_SIDE
