"""What is gained by so many seconds of labour: by a given order, by chance, and by classes. Pure functions.

Bins are walked in batches: entering an aisle costs once, however many of its bins are counted and in whatever order they
were chosen.
"""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

NUM_POINTS = 200
"""Points of a curve: enough for a plot."""


@dataclass(frozen=True, slots=True)
class Curve:
    """The gain after so many seconds, at points between which it is taken for straight; it begins at nothing for none."""

    seconds: tuple[float, ...]
    gain: tuple[float, ...]

    def at(self, seconds: float) -> float:
        """The gain after so many seconds; that of the whole curve after its end."""
        before = 0
        for i, end in enumerate(self.seconds):
            if end > seconds:
                share = (seconds - self.seconds[before]) / (end - self.seconds[before])
                return self.gain[before] + share * (self.gain[i] - self.gain[before])
            before = i
        return self.gain[-1]

    def when(self, gain: float) -> float | None:
        """After how many seconds so much is gained for the first time; None where it never is."""
        for i, reached in enumerate(self.gain):
            if reached >= gain:
                if i == 0:
                    return 0.0
                share = (gain - self.gain[i - 1]) / (reached - self.gain[i - 1])
                return self.seconds[i - 1] + share * (self.seconds[i] - self.seconds[i - 1])
        return None


def in_order(
    order: Sequence[int],
    gains: Sequence[float],
    seconds: Sequence[float],
    aisles: Sequence[Hashable],
    enter: float,
    *,
    num_points: int = NUM_POINTS,
) -> Curve:
    """The curve of bins, by their places, that are counted in this order."""
    entered: set[Hashable] = set()
    points, spent, gained = [(0.0, 0.0)], 0.0, 0.0
    kept = set(_spread(len(order), num_points))
    for k, i in enumerate(order, 1):
        spent += seconds[i] + (0.0 if aisles[i] in entered else enter)
        gained += gains[i]
        entered.add(aisles[i])
        if k in kept:
            points.append((spent, gained))
    return Curve(*zip(*points, strict=True))


def by_chance(
    gains: Sequence[float],
    seconds: Sequence[float],
    aisles: Sequence[Hashable],
    enter: float,
    *,
    num_points: int = NUM_POINTS,
) -> Curve:
    """The expectation over all orders of N bins: after k of them k/N of all gain and of all counting, and the walk to an
    aisle of n bins with probability 1 - C(N-n, k) / C(N, k), in which one of its bins is among the k.

    Expected gain is set against expected seconds: of one drawn order both vary.
    """
    num_bins, sizes = len(gains), Counter(Counter(aisles).values())
    all_gain, all_seconds = math.fsum(gains), math.fsum(seconds)
    kept = _spread(num_bins, num_points)
    entered = [
        math.fsum(num * (1 - _untouched(size, k, num_bins)) for size, num in sorted(sizes.items())) for k in kept
    ]
    return Curve(
        tuple(
            all_seconds * k / max(num_bins, 1) + enter * num_entered
            for k, num_entered in zip(kept, entered, strict=True)
        ),
        tuple(all_gain * k / max(num_bins, 1) for k in kept),
    )


def _untouched(size: int, num_drawn: int, num_bins: int) -> float:
    """P(none of `size` bins is among `num_drawn` of `num_bins`), in logarithms."""
    if size + num_drawn > num_bins:
        return 0.0
    log = math.lgamma
    rest = num_bins - size
    return math.exp(log(rest + 1) + log(num_bins - num_drawn + 1) - log(rest - num_drawn + 1) - log(num_bins + 1))


def _spread(num: int, num_points: int) -> list[int]:
    """0, `num` and at most `num_points` evenly spread between."""
    return sorted({round(num * step / num_points) for step in range(num_points + 1)})


def by_class(
    classes: Sequence[str | None], unit_values: Sequence[float | None], expected: Sequence[int]
) -> Sequence[int]:
    """The order of an ABC count, by places: class A first, then B, C and what has none; within a class, and where there
    are no classes, what is worth most first (unit value × expected), and then what holds most. A unit value of None or
    no number is worth nothing.
    """

    def worth(i: int) -> float:
        value = unit_values[i]
        return 0.0 if value is None or math.isnan(value) else value * expected[i]

    def class_of(i: int) -> tuple[bool, str]:
        item_class = (classes[i] or "").strip().upper()
        return not item_class, item_class

    order = list(range(len(classes)))
    order.sort(key=lambda i: -expected[i])  # one after another, the last first: a key of all would take more memory
    order.sort(key=lambda i: -worth(i))
    order.sort(key=class_of)
    return order
