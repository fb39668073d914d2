"""How probably a record is right once its photo was seen, and how many units it is off: pure functions.

A stock record errs before anybody looks: a share `rate` of the records is wrong, most of them by a unit or two, and the
share `far` of the wrong ones by any number. Bayes' rule joins that with the estimate:

    p(n | photo, record q) ∝ p(n | photo) · P(q | n)
    P(q | n) = 1 - rate for q = n, else rate · ((1 - far) · ratio^|q-n| / Z(n) + far / |q-n| / Y(n))

The estimate's last count stands for that many or more: its probability is spread over them, each further item making a
count 0.8 times as probable.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from operator import mul

TAIL_RATIO = 0.8
"""How counts beyond the estimate's last are thought to fall: four more than that on average."""

FAR = 64
"""Counts so far from a record are looked at, and a record of which no photo says anything errs alike from there on."""

_MOST = 1000
"""A record of more is taken for one of so many: no photo tells them apart, and the powers above would be nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordErrors:
    """How records err: the share of them that is wrong, how much rarer each further unit makes an error, and the share of
    wrong ones that may be off by any number.

    By default one in twenty is wrong; docs/experiments.md says how the others were chosen. Raises `ValueError` outside of
    0 < rate < 1, 0 < ratio < 1 and 0 ≤ far < 1.
    """

    rate: float = 0.05
    ratio: float = 0.1
    far: float = 0.02

    def __post_init__(self) -> None:
        for name, value in (("rate", self.rate), ("ratio", self.ratio)):
            if not 0 < value < 1:
                raise ValueError(f"`0 < {name} < 1` must hold, but got {name}={value}")
        if not 0 <= self.far < 1:
            raise ValueError(f"`0 <= far < 1` must hold, but got far={self.far}")

    def likelihood(self, recorded: int, count: int) -> float:
        """P(the record says `recorded` | the bin holds `count`)."""
        if recorded == count:
            return 1 - self.rate
        off = abs(recorded - count)
        above = self.ratio / (1 - self.ratio)
        near = self.ratio**off / (above + above * (1 - self.ratio**count))  # no record is below 0
        far = 1 / off / (_harmonic(_MOST) + _harmonic(min(count, _MOST))) if off <= _MOST else 0.0
        return float(self.rate * ((1 - self.far) * near + self.far * far))


@cache
def _harmonic(last: int) -> float:
    """1 + 1/2 + 1/3 + … up to 1/last."""
    return sum(1 / number for number in range(1, last + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """What is believed of a record after its photo: the probability that it is right, and its expected error in units.

    `units_off` is E|recorded - count|: what a person who counts the bin corrects on average.
    """

    p_right: float
    units_off: float


def believe(probs: Sequence[float], expected: int, errors: RecordErrors) -> Belief:
    """The belief about a record of `expected` items whose photo gave p(n) = `probs[n]`.

    Raises `ValueError` for a negative `expected`, and for probabilities that leave nothing possible.
    """
    if expected < 0:
        raise ValueError(f"`expected >= 0` must hold, but got expected={expected}")
    recorded = min(expected, _MOST)
    counts = spread(probs, max(len(probs), recorded + FAR))
    weights = list(map(mul, counts, _likelihoods(errors, recorded, len(counts))))
    total = sum(weights)
    if not total > 0:
        raise ValueError("at least one count must have a probability above 0")
    off = sum(map(mul, weights, _distances(recorded, len(counts))))
    return Belief(p_right=weights[recorded] / total, units_off=off / total)


@lru_cache(maxsize=1024)
def _likelihoods(errors: RecordErrors, recorded: int, num_counts: int) -> tuple[float, ...]:
    """Of one record, given each count; many records of an audit say the same."""
    return tuple(errors.likelihood(recorded, count) for count in range(num_counts))


@lru_cache(maxsize=1024)
def _distances(recorded: int, num_counts: int) -> tuple[int, ...]:
    """How far each count is from the record."""
    return tuple(abs(recorded - count) for count in range(num_counts))


@lru_cache(maxsize=1024)
def _tail(num_counts: int) -> tuple[float, ...]:
    """What of the last count's probability goes to it and to each beyond."""
    return tuple((1 - TAIL_RATIO) * TAIL_RATIO**further for further in range(num_counts))


def spread(probs: Sequence[float], num_counts: int) -> list[float]:
    """p(n) for n below `num_counts`: that of the last count is spread over it and those beyond."""
    *counts, last = probs
    return [*counts, *(last * share for share in _tail(num_counts - len(counts)))]


def believe_unseen(expected: int, errors: RecordErrors) -> Belief:
    """The belief about a record of which no photo says anything: every count is as likely before it."""
    recorded = min(expected, FAR)  # so far from 0, one record errs as another does
    return believe([1.0] * (2 * FAR), recorded, errors)
