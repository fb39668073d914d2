"""What the same labour finds in our order, at random and by ABC classes, where it is known what there is to find.

Orders are fixed by what was known before anybody counted; what they find is what people counted. The interval of a figure
is from resampling the bins (or chains) that an order takes, and all bins for those it is compared with; the walks, which
they share, are left as they are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from binsight.audit.batches import chosen
from binsight.audit.effort import Curve, by_chance, by_class, in_order
from binsight.audit.lines import VERIFIED
from binsight.audit.plan import ABC, OURS, RANDOM, Labour
from binsight.decision.resample import Interval, figure_interval, ratio_interval
from binsight.decision.scores import Floats

if TYPE_CHECKING:
    from binsight.audit.backtest import KnownBin

SHARE = 0.1
"""Of the labour that counting all takes, where no budget is given."""

ALL, NOT_VERIFIED = "all bins", "all but the verified"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What one way to choose bins finds: units of error, the counts and seconds it takes, and how it compares.

    `saved` is the seconds that it saves against this way: those that it takes to find as many units as our order, less
    ours; of counting all but the verified, what those would have taken; of counting all, all that ours leaves uncounted.
    `lift` is how many times as many units our order finds in the same time.
    """

    order: str
    num_counts: float
    seconds: float
    units: float
    share_of_units: float | None
    per_100: float | None
    per_100_interval: Interval | None
    lift: float | None = None
    lift_interval: Interval | None = None
    saved: float | None = None
    saved_interval: Interval | None = None
    curve: Curve | None = None


def labour_of(bins: "Sequence[KnownBin]", labour: Labour, budget: float | None) -> Iterator[Effort]:
    """Our order, chance and ABC within the budget, and counting everything or all but the verified."""
    if not bins:
        return
    world = _World(bins, labour)
    limit = SHARE * world.all_seconds if budget is None else budget
    choice = chosen(world.gains, world.seconds, world.places, labour.aisle, limit)
    taken = sorted(choice.bins)
    ours = world.effort(OURS, taken, choice.seconds, curve=world.ours)
    yield ours
    spent = choice.seconds
    yield world.chance(ours, taken, spent)
    yield world.classes(ours, spent)
    rest = [i for i, one in enumerate(bins) if one.verdict != VERIFIED]
    seconds = world.needed(rest)
    yield world.effort(NOT_VERIFIED, rest, seconds, saved=world.all_seconds - seconds)
    yield world.effort(ALL, list(range(len(bins))), world.all_seconds, saved=world.all_seconds - spent)


class _World:
    """The bins as columns, and the orders through them."""

    def __init__(self, bins: "Sequence[KnownBin]", labour: Labour) -> None:
        self.enter = labour.aisle
        self.units = [float(one.off) for one in bins]
        self.gains = [0.0 if one.verdict == VERIFIED else one.gain for one in bins]
        self.seconds = [labour.of(one.expected) for one in bins]
        self.places = [one.place for one in bins]
        self.groups = [one.chain if one.chain is not None else f"{one.site}\x1f{one.bin_id}" for one in bins]
        self.all_seconds = self.needed(range(len(bins)))
        order = chosen(self.gains, self.seconds, self.places, self.enter).bins
        self.ours = self._curve(order)
        self.random = by_chance(self.units, self.seconds, self.places, self.enter)
        self.abc_order = by_class(
            [one.item_class for one in bins], [one.unit_value for one in bins], [one.expected for one in bins]
        )
        self.abc = self._curve(self.abc_order)

    def needed(self, taken: Sequence[int]) -> float:
        """Seconds to count these, walks included."""
        return sum(self.seconds[i] for i in taken) + self.enter * len({self.places[i] for i in taken})

    def effort(
        self,
        order: str,
        taken: Sequence[int],
        seconds: float,
        *,
        saved: float | None = None,
        curve: Curve | None = None,
    ) -> Effort:
        """What counting these bins finds."""
        units = sum(self.units[i] for i in taken)
        return Effort(
            order=order,
            num_counts=len(taken),
            seconds=seconds,
            units=units,
            share_of_units=units / sum(self.units) if sum(self.units) else None,
            per_100=100 * units / len(taken) if taken else None,
            per_100_interval=self._per_100(taken),
            saved=saved,
            curve=curve,
        )

    def chance(self, ours: Effort, taken: Sequence[int], spent: float) -> Effort:
        """The expectation over all orders in the time that ours takes."""
        counts = by_chance([1.0] * len(self.units), self.seconds, self.places, self.enter).at(spent)
        units, when = self.random.at(spent), self.random.when(ours.units)
        found = self._compared(taken)
        lift = ours.units / units if units else None
        return Effort(
            order=RANDOM,
            num_counts=counts,
            seconds=spent,
            units=units,
            share_of_units=units / sum(self.units) if sum(self.units) else None,
            per_100=100 * sum(self.units) / len(self.units),
            per_100_interval=self._per_100(range(len(self.units))),
            lift=lift,
            lift_interval=_scaled(found, lift),
            saved=None if when is None or not ours.units else when - spent,
            saved_interval=self._saved(taken, when, spent),
            curve=self.random,
        )

    def classes(self, ours: Effort, spent: float) -> Effort:
        """Class A first, or what is worth or holds most, as far as the time goes."""
        taken, entered, used = [], set(), 0.0
        for i in self.abc_order:
            used += self.seconds[i] + (0.0 if self.places[i] in entered else self.enter)
            if used > spent:
                break
            entered.add(self.places[i])
            taken.append(i)
        found, when = self.effort(ABC, taken, self.needed(taken), curve=self.abc), self.abc.when(ours.units)
        return Effort(
            order=ABC,
            num_counts=found.num_counts,
            seconds=found.seconds,
            units=found.units,
            share_of_units=found.share_of_units,
            per_100=found.per_100,
            per_100_interval=found.per_100_interval,
            lift=ours.units / found.units if found.units else None,
            saved=None if when is None or not ours.units else when - spent,
            curve=self.abc,
        )

    def _curve(self, order: Sequence[int]) -> Curve:
        return in_order(order, self.units, self.seconds, self.places, self.enter)

    def _per_100(self, taken: Sequence[int]) -> Interval | None:
        if not taken:
            return None
        units = 100 * np.array([self.units[i] for i in taken])
        return ratio_interval(units, np.ones(len(taken)), [self.groups[i] for i in taken])

    def _columns(self, taken: Sequence[int]) -> Floats:
        """(B, 4): units and seconds of the bins taken, and of all."""
        is_taken = np.zeros(len(self.units))
        is_taken[list(taken)] = 1
        units, seconds = np.array(self.units), np.array(self.seconds)
        return np.stack([units * is_taken, seconds * is_taken, units, seconds], axis=1)

    def _compared(self, taken: Sequence[int]) -> tuple[float, Interval] | None:
        """Units per second of those taken over those of all, walks left out, with an interval."""
        columns = self._columns(taken)

        def times(totals: Floats) -> Floats:
            ratio: Floats = (totals[:, 0] / totals[:, 1]) / (totals[:, 2] / totals[:, 3])
            return ratio

        interval = figure_interval(columns, self.groups, times)
        if interval is None or not columns[:, 0].any():
            return None
        return float(times(columns.sum(axis=0, keepdims=True))[0]), interval

    def _saved(self, taken: Sequence[int], when: float | None, spent: float) -> Interval | None:
        """Chance finds a share of all units in about that share of all labour."""
        columns = self._columns(taken)
        found = ratio_interval(columns[:, 0], columns[:, 2], self.groups)
        if found is None or when is None:
            return None
        scale = when / (columns[:, 0].sum() / columns[:, 2].sum())
        return Interval(low=scale * found.low - spent, high=scale * found.high - spent)


def _scaled(found: tuple[float, Interval] | None, value: float | None) -> Interval | None:
    """The interval of a figure that differs from the one resampled by a factor, the walks' share."""
    if found is None or value is None:
        return None
    factor = value / found[0]
    return Interval(low=factor * found[1].low, high=factor * found[1].high)
