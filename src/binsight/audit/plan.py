"""Which bins people should count, and on which way: pure functions.

```
lines ─▶ candidates ─▶ order by expected gain per second, walks in it ─▶ as far as the budget goes ─▶ aisle by aisle
```
A count gains what it is expected to correct: `units_off` of the line, or that times the value of a unit. It takes
seconds by how many items the record expects, and whoever enters an aisle walks there once for all of its bins
(batches.py says what is guaranteed of the order, effort.py what others gain in the same time).

Verified bins are left out, which is what verifying is for; they are neighbours like any other, and the random order and
the ABC order, which know no photos, count them too. Of 100,000 lines only a few values each are kept.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from binsight.audit.batches import chosen
from binsight.audit.effort import Curve, by_chance, by_class, in_order
from binsight.audit.lines import VERIFIED, AuditLine
from binsight.audit.misplaced import Misplaced, Shift, pair_neighbours, shift_of
from binsight.audit.places import Place, place_of, walking_key
from binsight.decision.belief import RecordErrors
from binsight.decision.decide import USUAL_ERRORS

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


class Candidate(NamedTuple):
    """What a plan keeps of one line; `line` is its place in the audit, from 1."""

    line: int
    bin_id: str
    place: Place
    expected: int
    gain: float
    seconds: float
    item_class: str | None
    unit_value: float | None
    shift: Shift | None
    verified: bool


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Tasks in walking order, and what they are expected to correct, in units or, where asked, in value.

    No plan within the budget corrects more than `at_most`. The curves are of all bins, whatever the budget; `all_seconds`
    is what it takes to count every bin. `num_without_value` bins have no unit value, and gain nothing by value.
    """

    tasks: tuple[Task, ...]
    gain: float
    seconds: float
    at_most: float
    all_seconds: float
    curves: Mapping[str, Curve]
    misplaced: tuple[Misplaced, ...]
    num_without_value: int = field(default=0)


def candidate(line: AuditLine, number: int, labour: Labour, *, by_value: bool, errors: RecordErrors) -> Candidate:
    """What a plan needs to know of a line; nothing in it holds on to the estimate."""
    record = line.record
    return Candidate(
        line=number,
        bin_id=record.bin_id,
        place=place_of(record),
        expected=record.expected,
        gain=line.units_off * ((record.unit_value or 0.0) if by_value else 1.0),
        seconds=labour.of(record.expected),
        item_class=record.item_class,
        unit_value=record.unit_value,
        shift=shift_of(line, errors),
        verified=line.word == VERIFIED,
    )


def plan_counts(
    lines: Iterable[AuditLine],
    *,
    labour: Labour = USUAL_LABOUR,
    budget: float = float("inf"),
    by_value: bool = False,
    errors: RecordErrors = USUAL_ERRORS,
) -> Plan:
    """The bins that people should count within `budget` seconds of labour, walks included.

    Raises `ValueError` for a budget that is below 0 or no number.
    """
    if not budget >= 0:
        raise ValueError(f"`budget >= 0` must hold, but got budget={budget}")
    bins = _in_walking_order(
        candidate(line, number, labour, by_value=by_value, errors=errors) for number, line in enumerate(lines, 1)
    )
    gains = [0.0 if one.verified else one.gain for one in bins]
    seconds = [one.seconds for one in bins]
    places = [one.place for one in bins]
    choice = chosen(gains, seconds, places, labour.aisle, budget)
    return Plan(
        tasks=tuple(_tasks(bins, sorted(choice.bins), labour)),
        gain=choice.gain,
        seconds=choice.seconds,
        at_most=choice.at_most,
        all_seconds=sum(seconds) + labour.aisle * len(set(places)),
        curves=_curves(bins, gains, labour),
        misplaced=tuple(_misplaced(bins)),
        num_without_value=sum(one.unit_value is None for one in bins) if by_value else 0,
    )


def _in_walking_order(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Sorted aisle by aisle, since the keys of all bins at once would take more memory than the bins."""
    by_place = defaultdict(list)
    for one in candidates:
        by_place[one.place].append(one)
    places = sorted(by_place, key=lambda place: tuple(map(walking_key, place)))
    return [one for place in places for one in sorted(by_place.pop(place), key=lambda one: walking_key(one.bin_id))]


def _tasks(bins: list[Candidate], taken: list[int], labour: Labour) -> Iterable[Task]:
    before = None
    for one in (bins[i] for i in taken):
        site, aisle = one.place
        yield Task(
            line=one.line,
            site=site,
            aisle=aisle,
            bin_id=one.bin_id,
            gain=one.gain,
            seconds=one.seconds,
            walk=0.0 if one.place == before else labour.aisle,
        )
        before = one.place


def _curves(bins: list[Candidate], gains: list[float], labour: Labour) -> dict[str, Curve]:
    """Ours as long as there is anything to gain; the others through all bins, verified ones with what they hide."""
    all_gains = [one.gain for one in bins]
    seconds, places = [one.seconds for one in bins], [one.place for one in bins]
    ranked = chosen(gains, seconds, places, labour.aisle).bins
    classes = by_class(
        [one.item_class for one in bins], [one.unit_value for one in bins], [one.expected for one in bins]
    )
    return {
        OURS: in_order(ranked, all_gains, seconds, places, labour.aisle),
        RANDOM: by_chance(all_gains, seconds, places, labour.aisle),
        ABC: in_order(classes, all_gains, seconds, places, labour.aisle),
    }


def _misplaced(bins: list[Candidate]) -> Iterable[Misplaced]:
    for place, together in groupby(bins, key=lambda one: one.place):
        yield from pair_neighbours(place, [(one.bin_id, one.shift) for one in together])
