"""How accurate records are, by name, and how well suspects were chosen, from bins that people counted: pure functions.

Inventory record accuracy (IRA) goes by many formulas, and a figure without its formula says little: that of bins asks how
many records are right, that of units how much of the stock is, and a site may have 60% by the one and 95% by the other.
So each figure carries its name, tolerance, n and interval. Both sorts stand in Brooks and Wilson, Inventory Record
Accuracy (Wiley, 2007), exact and with tolerance also in Kang and Gershwin, IIE Transactions 2005. IRA is to be measured on
bins that were drawn at random: of suspects it says how suspects are.

Shares have the exact binomial interval of Clopper and Pearson (Biometrika 1934), which takes bins to be independent; where
chains of like bins are named they are resampled as a whole (decision/resample.py). Sums of units or value are resampled
in either case, by bin or by chain. None stands for an interval that so few would not support.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binsight.audit.effort import Curve
from binsight.decision.certify import upper_bounds
from binsight.decision.resample import CONFIDENCE, Interval, ratio_interval, share_interval

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedBin:
    """A record and what people found. `chain` names bins that resemble one another, if that is known."""

    expected: int
    counted: int
    unit_value: float | None = None
    chain: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """A record counts as right where it is off by at most so many units, or so large a share of what it expects.

    Raises `ValueError` where one is below 0 or no number.
    """

    units: int = 0
    share: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("units", self.units), ("share", self.share)):
            if not 0 <= value < float("inf"):
                raise ValueError(f"`0 <= {name}` must hold, but got {name}={value}")

    def allows(self, one: CountedBin) -> bool:
        return abs(one.counted - one.expected) <= max(self.units, self.share * one.expected)

    def __str__(self) -> str:
        if not self.units and not self.share:
            return "exact"
        parts = [f"±{self.units}"] * bool(self.units) + [f"±{self.share:.3g} of expected"] * bool(self.share)
        return " or ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One figure with what it needs to be read: `n` bins of which it is, and a 95% interval or None.

    `value` is None where there is nothing to measure. `tolerance` is empty where none is meant.
    """

    name: str
    value: float | None
    n: int
    interval: Interval | None
    tolerance: str = ""


EXACT = Tolerance()


def record_accuracy(bins: Sequence[CountedBin], tolerance: Tolerance = EXACT) -> list[Measure]:
    """IRA by each of its formulas, those with a tolerance and a value only where there is one.

    `bins` is the share of right records. `units` and `value` are 1 - Σ|counted - expected| / Σ expected, in units and
    weighted by unit value: errors do not cancel, and more errors than stock make them negative.
    """
    found = [_right_bins(bins, EXACT)]
    if tolerance != EXACT:
        found.append(_right_bins(bins, tolerance))
    found.append(_right_share("IRA by units, absolute", bins, [1.0] * len(bins)))
    valued = [one for one in bins if one.unit_value is not None]
    if valued:
        values = [one.unit_value or 0.0 for one in valued]
        found.append(_right_share("IRA by value, absolute", valued, values))
    return found


def _right_bins(bins: Sequence[CountedBin], tolerance: Tolerance) -> Measure:
    name = "IRA by bins, exact" if tolerance == EXACT else "IRA by bins, within tolerance"
    right = np.array([tolerance.allows(one) for one in bins], dtype=np.bool_)
    return share(name, right, _chains(bins), tolerance=str(tolerance))


def _right_share(name: str, bins: Sequence[CountedBin], weights: Sequence[float]) -> Measure:
    weight_B = np.array(weights)
    off_B = weight_B * np.array([abs(one.counted - one.expected) for one in bins])
    expected_B = weight_B * np.array([one.expected for one in bins])
    if not expected_B.sum() > 0:
        return Measure(name=name, value=None, n=len(bins), interval=None, tolerance="exact")
    off = ratio_interval(off_B, expected_B, _chains(bins) or [str(i) for i in range(len(bins))])
    return Measure(
        name=name,
        value=1 - float(off_B.sum() / expected_B.sum()),
        n=len(bins),
        interval=Interval(low=1 - off.high, high=1 - off.low) if off else None,
        tolerance="exact",
    )


def _chains(bins: Sequence[CountedBin]) -> list[str] | None:
    """The chain of each bin; None unless all are known."""
    chains = [one.chain for one in bins if one.chain is not None]
    return chains if len(chains) == len(bins) else None


def share(name: str, hits: Bools, chains: Sequence[str] | None = None, *, tolerance: str = "") -> Measure:
    """The share of hits: its interval by chain where chains are known, else Clopper and Pearson's."""
    num = len(hits)
    interval = None
    if num:
        interval = share_interval(hits, chains) if chains is not None else exact_interval(int(hits.sum()), num)
    return Measure(
        name=name,
        value=float(hits.mean()) if num else None,
        n=num,
        interval=interval,
        tolerance=tolerance,
    )


def exact_interval(num_hits: int, num: int) -> Interval:
    """Clopper and Pearson's 95% interval for a share of which `num_hits` of `num` were seen. Needs SciPy."""
    upper, lower = upper_bounds(np.array([num_hits, num - num_hits]), num, delta=(1 - CONFIDENCE) / 2)
    return Interval(low=1 - float(lower), high=float(upper))


def suspects(suspect: Bools, wrong: Bools, chains: Sequence[str] | None = None) -> tuple[Measure, Measure]:
    """Precision, how many suspects are wrong, and recall, how many of the wrong are suspects, where truths are known.

    Raises `ValueError` where the lengths differ.
    """
    if suspect.shape != wrong.shape:
        raise ValueError(f"suspects and wrong must be as many, but are {suspect.shape} and {wrong.shape}")

    def among(name: str, chosen: Bools, hits: Bools) -> Measure:
        of = None if chains is None else [chains[i] for i in np.flatnonzero(chosen).tolist()]
        return share(name, hits[chosen], of)

    return among("precision of suspects", suspect, wrong), among("recall of suspects", wrong, suspect)


def units_per_100_counts(bins: Sequence[CountedBin]) -> Measure:
    """The units of error that people found in these bins for every 100 that they counted."""
    name = "units of error per 100 counts"
    if not bins:
        return Measure(name=name, value=None, n=0, interval=None)
    off_B = np.array([abs(one.counted - one.expected) for one in bins], dtype=np.float64)
    ratio = ratio_interval(off_B, np.ones(len(bins)), _chains(bins) or [str(i) for i in range(len(bins))])
    return Measure(
        name=name,
        value=100 * float(off_B.mean()),
        n=len(bins),
        interval=Interval(low=100 * ratio.low, high=100 * ratio.high) if ratio else None,
    )


def lift(ours: Curve, other: Curve, seconds: float) -> float | None:
    """How many times as much ours gains in so many seconds; None where the other gains nothing."""
    against = other.at(seconds)
    return ours.at(seconds) / against if against > 0 else None
