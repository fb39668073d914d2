"""Which bins people should count, and on which way: pure functions.

```
lines ─▶ candidates ─▶ order by expected gain per second, walks in it ─▶ as far as the budget goes ─▶ aisle by aisle
```
A count gains what it is expected to correct: `units_off` of the line, or that times the value of a unit. It takes
seconds by how many items the record expects, and whoever enters an aisle walks there once for all of its bins
(batches.py says what is guaranteed of the order, effort.py what others gain in the same time).

Verified bins are left out, which is what verifying is for; they are neighbours like any other, and the random order and
the ABC order, which know no photos, count them too. Of each line a few numbers are kept (bins.py).
"""

from array import array
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from math import isnan
from typing import overload

from binsight.audit.batches import chosen
from binsight.audit.bins import Bins
from binsight.audit.effort import Curve, by_chance, by_class, in_order
from binsight.audit.lines import AuditLine
from binsight.audit.misplaced import Misplaced, pair_neighbours, shift_of
from binsight.decision.belief import RecordErrors
from binsight.decision.decide import USUAL_ERRORS

BinName = tuple[str, str]
"""A bin's site, or "", and its id."""

OURS, RANDOM, ABC = "ours", "random", "abc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Labour:
    """Seconds of a person's work: `count` for any bin, `item` more for each that the record expects, `aisle` to enter one.

    By default a bin of five takes the 45 seconds that a count costs in `Costs`. Raises `ValueError` where `count` is not
    above 0 or another is below.
    """

    count: float = 30
    item: float = 3
    aisle: float = 60

    def __post_init__(self) -> None:
        if not 0 < self.count < float("inf"):
            raise ValueError(f"`0 < count` must hold, but got count={self.count}")
        for name, value in (("item", self.item), ("aisle", self.aisle)):
            if not 0 <= value < float("inf"):
                raise ValueError(f"`0 <= {name}` must hold, but got {name}={value}")

    def of(self, expected: int) -> float:
        """Seconds to count a bin of which the record expects so many items, once one is there."""
        return self.count + self.item * expected


USUAL_LABOUR = Labour()


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One bin to count. `line` is its place in the audit, from 1; `seconds` are the count's; `walk` is the aisle's, at its
    first task, else 0."""

    line: int
    site: str
    aisle: str
    bin_id: str
    gain: float
    seconds: float
    walk: float


class Tasks(Sequence[Task]):
    """The bins of a plan as tasks in walking order; each is made when it is asked for."""

    def __init__(self, bins: Bins, taken: Collection[int], labour: Labour) -> None:
        self._bins, self._taken, self._aisle = bins, array("q", sorted(taken)), labour.aisle

    def __len__(self) -> int:
        return len(self._taken)

    @overload
    def __getitem__(self, k: int) -> Task: ...
    @overload
    def __getitem__(self, k: slice) -> Sequence[Task]: ...
    def __getitem__(self, k: int | slice) -> Task | Sequence[Task]:
        if isinstance(k, slice):
            return [self[one] for one in range(len(self))[k]]
        bins, i = self._bins, self._taken[k]
        site, aisle = place = bins.places[i]
        is_first = k in (0, -len(self)) or bins.places[self._taken[k - 1]] != place
        return Task(
            line=bins.lines[i],
            site=site,
            aisle=aisle,
            bin_id=bins.names[i],
            gain=bins.gains[i],
            seconds=bins.seconds[i],
            walk=self._aisle if is_first else 0.0,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Tasks in walking order, and what they are expected to correct, in units or, where asked, in value.

    No plan within the budget corrects more than `at_most`. The curves are of all bins, whatever the budget; `all_seconds`
    is what it takes to count every bin. `num_without_value` bins have no unit value, and gain nothing by value.
    `num_drawn` of the tasks were drawn by lot: their labour is in `seconds` and comes off the budget first, and their
    gain is not in `gain`.
    """

    tasks: Sequence[Task]
    gain: float
    seconds: float
    at_most: float
    all_seconds: float
    curves: Mapping[str, Curve]
    misplaced: tuple[Misplaced, ...]
    num_without_value: int = field(default=0)
    num_drawn: int = field(default=0)


def plan_counts(
    lines: Iterable[AuditLine],
    *,
    labour: Labour = USUAL_LABOUR,
    budget: float = float("inf"),
    by_value: bool = False,
    errors: RecordErrors = USUAL_ERRORS,
    drawn: Callable[[], Collection[BinName]] = tuple,
) -> Plan:
    """The bins that people should count within `budget` seconds of labour, walks included.

    `drawn` is asked once all lines have passed: these bins are counted whatever they gain and cost, because a draw of which
    the budget leaves something out is none; what they cost is not there for others.
    Raises `ValueError` for a budget that is below 0 or no number.
    """
    if not budget >= 0:
        raise ValueError(f"`budget >= 0` must hold, but got budget={budget}")
    bins = _columns(lines, labour, by_value=by_value, errors=errors).in_walking_order()
    names = set(drawn())
    lots = {i for i, name in enumerate(bins.names) if names and (bins.places[i][0], name) in names}
    places = bins.places.codes
    entered = {places[i] for i in lots}
    spent = sum(bins.seconds[i] for i in lots) + labour.aisle * len(entered)
    gains = array(
        "d", (0.0 if verified else gain for gain, verified in zip(bins.gains, bins.verified, strict=True))
    )
    wanted = array("d", (0.0 if i in lots else gain for i, gain in enumerate(gains)))
    choice = chosen(wanted, bins.seconds, places, labour.aisle, max(0.0, budget - spent), entered_anyhow=entered)
    return Plan(
        tasks=Tasks(bins, lots.union(choice.bins), labour),
        gain=choice.gain,
        seconds=spent + choice.seconds,
        at_most=choice.at_most,
        all_seconds=sum(bins.seconds) + labour.aisle * len(set(places)),
        curves=_curves(bins, gains, labour),
        misplaced=tuple(_misplaced(bins)),
        num_without_value=sum(map(isnan, bins.values)) if by_value else 0,
        num_drawn=len(lots),
    )


def _columns(lines: Iterable[AuditLine], labour: Labour, *, by_value: bool, errors: RecordErrors) -> Bins:
    bins = Bins()
    for number, line in enumerate(lines, 1):
        worth = (line.record.unit_value or 0.0) if by_value else 1.0
        bins.add(
            line,
            number,
            gain=line.units_off * worth,
            seconds=labour.of(line.record.expected),
            shift=shift_of(line, errors),
        )
    return bins


def _curves(bins: Bins, gains: Sequence[float], labour: Labour) -> dict[str, Curve]:
    """Ours as long as there is anything to gain; the others through all bins, verified ones with what they hide."""
    seconds, places = bins.seconds, bins.places.codes
    ranked = chosen(gains, seconds, places, labour.aisle).bins
    classes = by_class(bins.classes, bins.values, bins.expected)
    return {
        OURS: in_order(ranked, bins.gains, seconds, places, labour.aisle),
        RANDOM: by_chance(bins.gains, seconds, places, labour.aisle),
        ABC: in_order(classes, bins.gains, seconds, places, labour.aisle),
    }


def _misplaced(bins: Bins) -> Iterable[Misplaced]:
    for _, together in groupby(range(len(bins)), key=bins.places.codes.__getitem__):
        aisle = list(together)
        if not bins.shifts.keys().isdisjoint(aisle):
            yield from pair_neighbours(bins.places[aisle[0]], [(bins.names[i], bins.shifts.get(i)) for i in aisle])
