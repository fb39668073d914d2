"""Which bins to count first where entering an aisle costs a walk that all bins counted there share: pure functions.

Each aisle's bins stand by gain per second of counting. Its *opening* is the walk and as many of the first of them as
give the most gain per second with the walk in it; each further bin is a piece by itself, which gives less per second
than the opening did. All pieces of all aisles by gain per second are the order.

*What is guaranteed.* Whoever stops between two pieces has the most gain that so many seconds can give (for any price λ of
a second, the pieces above λ are the best set: each aisle decides by itself). Within a piece, for a budget of B:

    optimum(B) ≤ gain of the whole pieces that fit + gain per second of the next one × seconds left

`chosen` gives that bound beside what it takes, which is those pieces and then whatever else still fits, or the one bin
that is worth more than all that. This is a knapsack with set-up costs, and no fixed share of the optimum is promised
where one aisle's walk takes most of the budget: there the bound says how much may be missing.
"""

from array import array
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterator, Sequence
from heapq import merge
from typing import NamedTuple


class Piece(NamedTuple):
    """Bins that are taken together, by their places; the walk is in the seconds of an aisle's first piece."""

    density: float
    seconds: float
    bins: Sequence[int]


class Choice(NamedTuple):
    """Bins by their places in the order taken, what they give and cost, and what no choice can give more than."""

    bins: Sequence[int]
    gain: float
    seconds: float
    at_most: float


def pieces(
    gains: Sequence[float],
    seconds: Sequence[float],
    aisles: Sequence[Hashable],
    enter: float,
    entered: Collection[Hashable] = (),
) -> Iterator[Piece]:
    """All bins with a gain as pieces, by falling gain per second. Bins that are worth the same stay in their order.

    Aisles that are `entered` anyhow cost no walk. Pieces are made as they are asked for: those of all bins at once would
    take more memory than the bins."""
    by_aisle: defaultdict[Hashable, array[int]] = defaultdict(lambda: array("q"))
    for i, aisle in enumerate(aisles):
        if gains[i] > 0:
            by_aisle[aisle].append(i)
    of_aisles = (
        _of_aisle(bins, gains, seconds, 0.0 if aisle in entered else enter) for aisle, bins in by_aisle.items()
    )
    return merge(*of_aisles, key=lambda piece: -piece.density)


def _of_aisle(
    bins: Sequence[int], gains: Sequence[float], seconds: Sequence[float], enter: float
) -> Iterator[Piece]:
    bins = array("q", sorted(bins, key=lambda i: -gains[i] / seconds[i]))
    gain, cost, size = 0.0, enter, 0
    for i in bins:
        if size and gains[i] * cost <= gain * seconds[i]:  # less per second than the opening gives without it
            break
        gain, cost, size = gain + gains[i], cost + seconds[i], size + 1
    density = gain / cost
    yield Piece(density, cost, bins[:size])
    for i in bins[size:]:
        density = min(density, gains[i] / seconds[i])  # never ahead of its aisle's opening by rounding
        yield Piece(density, seconds[i], (i,))


def chosen(
    gains: Sequence[float],
    seconds: Sequence[float],
    aisles: Sequence[Hashable],
    enter: float,
    budget: float = float("inf"),
    *,
    entered_anyhow: Collection[Hashable] = (),
) -> Choice:
    """What to count within `budget` seconds, walks included: the best bins first.

    Aisles that are entered anyhow cost no walk.
    """
    taken = array("q")
    entered: set[Hashable] = set(entered_anyhow)
    gain, spent, at_most = 0.0, 0.0, None
    for piece in pieces(gains, seconds, aisles, enter, entered):
        if at_most is None and spent + piece.seconds > budget:
            at_most = gain + piece.density * (budget - spent)
        for i in piece.bins:
            cost = seconds[i] + (0.0 if aisles[i] in entered else enter)
            if spent + cost <= budget:
                taken.append(i)
                entered.add(aisles[i])
                gain, spent = gain + gains[i], spent + cost

    def alone(i: int) -> float:
        return seconds[i] + (0.0 if aisles[i] in entered_anyhow else enter)

    single = max((i for i in range(len(gains)) if alone(i) <= budget), key=lambda i: gains[i], default=None)
    if single is not None and gains[single] > gain:
        taken, gain, spent = array("q", [single]), gains[single], alone(single)
    return Choice(taken, gain, spent, gain if at_most is None else at_most)
