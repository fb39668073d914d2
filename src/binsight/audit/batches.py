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

from collections import defaultdict
from collections.abc import Collection, Hashable, Sequence
from typing import NamedTuple


class Piece(NamedTuple):
    """Bins that are taken together, by their places; the walk is in the seconds of an aisle's first piece."""

    density: float
    gain: float
    seconds: float
    bins: tuple[int, ...]


class Choice(NamedTuple):
    """Bins by their places in the order taken, what they give and cost, and what no choice can give more than."""

    bins: tuple[int, ...]
    gain: float
    seconds: float
    at_most: float


def pieces(
    gains: Sequence[float],
    seconds: Sequence[float],
    aisles: Sequence[Hashable],
    enter: float,
    entered: Collection[Hashable] = (),
) -> list[Piece]:
    """All bins with a gain as pieces, by falling gain per second. Bins that are worth the same stay in their order.

    Aisles that are `entered` anyhow cost no walk."""
    by_aisle = defaultdict(list)
    for i, aisle in enumerate(aisles):
        if gains[i] > 0:
            by_aisle[aisle].append(i)
    found = [
        piece
        for aisle, bins in by_aisle.items()
        for piece in _of_aisle(bins, gains, seconds, 0.0 if aisle in entered else enter)
    ]
    return sorted(found, key=lambda piece: -piece.density)


def _of_aisle(bins: list[int], gains: Sequence[float], seconds: Sequence[float], enter: float) -> list[Piece]:
    bins.sort(key=lambda i: -gains[i] / seconds[i])
    gain, cost, size = 0.0, enter, 0
    for i in bins:
        if size and gains[i] * cost <= gain * seconds[i]:  # less per second than the opening gives without it
            break
        gain, cost, size = gain + gains[i], cost + seconds[i], size + 1
    found = [Piece(gain / cost, gain, cost, tuple(bins[:size]))]
    for i in bins[size:]:
        density = min(found[-1].density, gains[i] / seconds[i])  # never ahead of its aisle's opening by rounding
        found.append(Piece(density, gains[i], seconds[i], (i,)))
    return found


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
    taken: list[int] = []
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
    alone = [
        cost + (0.0 if aisle in entered_anyhow else enter) for cost, aisle in zip(seconds, aisles, strict=True)
    ]
    single = max((i for i in range(len(gains)) if alone[i] <= budget), key=lambda i: gains[i], default=None)
    if single is not None and gains[single] > gain:
        taken, gain, spent = [single], gains[single], alone[single]
    return Choice(tuple(taken), gain, spent, gain if at_most is None else at_most)
