"""Neighbours of which one holds too few and the other as many too much: probably units in the wrong bin."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from binsight.audit.lines import SUSPECT, AuditLine
from binsight.audit.places import Place
from binsight.decision.belief import RecordErrors


class Shift(NamedTuple):
    """A suspect's most likely error: `units` more in the bin than recorded, fewer where negative."""

    units: int
    skus: Collection[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Misplaced:
    """One finding about two bins beside each other: `units` are probably missing in one and too many in the other."""

    site: str
    aisle: str
    short: str
    over: str
    units: int


def shift_of(line: AuditLine, errors: RecordErrors) -> Shift | None:
    """How a suspect is most likely wrong, if it is; None for what is no suspect and where that cannot be said.

    It is the likeliest count other than the record's, by the photo and by how records err, and it must lie where the
    estimate's mean does: a photo of which one half says more and the other less says neither. The estimate's last count
    stands for many, so that nothing can be said of it.
    """
    if line.word != SUSPECT or line.estimate is None:
        return None
    probs, expected = line.estimate.probs, line.record.expected
    many = len(probs) - 1
    if expected >= many:
        return None
    others = [count for count in range(len(probs)) if count != expected]
    likeliest = max(others, key=lambda count: probs[count] * errors.likelihood(expected, count))
    mean = sum(count * p for count, p in enumerate(probs))
    if likeliest == many or (mean - expected) * (likeliest - expected) <= 0:
        return None
    return Shift(likeliest - expected, line.record.skus)


def pair_neighbours(place: Place, bins: Sequence[tuple[str, Shift | None]]) -> list[Misplaced]:
    """The findings in one aisle, whose bins stand in walking order. A bin is in one finding at most, the first.

    Two bins pair where their shifts cancel and they hold one item in common, or where of one of them no items are known.
    """
    found = []
    paired_at = -1
    for i in range(len(bins) - 1):
        (first, one), (second, other) = bins[i], bins[i + 1]
        if paired_at == i or one is None or other is None or one.units != -other.units:
            continue
        if one.skus and other.skus and not set(one.skus) & set(other.skus):
            continue
        short, over = (first, second) if one.units < 0 else (second, first)
        found.append(Misplaced(site=place[0], aisle=place[1], short=short, over=over, units=abs(one.units)))
        paired_at = i + 1
    return found
