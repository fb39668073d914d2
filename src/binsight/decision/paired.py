"""Which of two models answers more photos exactly, the same photos asked of both: pure functions.

*McNemar's test* looks at the photos on which just one of the two is right (Psychometrika 1947), here the exact one: were
they equal, each of these would fall to either by a fair coin.

*The same by chains.* Photos of a chain resemble one another, and so fall to one model together: five copies of a photo are
one piece of evidence that McNemar's test counts five times. Here each chain's coin is tossed once, for all of its photos.
Where no chain has two photos that fall to one model alone, this is McNemar's test itself.

*Standard errors* of a mean difference are of sums by chain (Liang and Zeger, Biometrika 1986), for slices too small to be
resampled well.

Axes: B photos, G chains, W the number of photos won.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binsight.decision.certificate import binomial_tail
from binsight.decision.scores import Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """Of photos asked of two models: on how many both, just `ours` (b), just `theirs` (c) or neither is right.

    `p` is McNemar's exact one-sided p-value of "ours is no better"; `p_by_chain` the same with whole chains.
    """

    num_photos: int
    num_groups: int
    both: int
    only_ours: int
    only_theirs: int
    neither: int
    p: float
    p_by_chain: float

    @property
    def difference(self) -> float:
        """Ours minus theirs in the share of exact answers."""
        return (self.only_ours - self.only_theirs) / self.num_photos


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanDifference:
    """A mean of differences, and its standard error by chains; None of fewer than two chains."""

    num_photos: int
    num_groups: int
    value: float
    standard_error: float | None


def paired(ours_B: npt.NDArray[np.bool_], theirs_B: npt.NDArray[np.bool_], groups: Sequence[str]) -> Paired:
    """Compare right answers, photo by photo. Raises `ValueError` where the arrays differ in length or are empty."""
    if not len(ours_B) == len(theirs_B) == len(groups) or not len(ours_B):
        raise ValueError(
            f"a pair of answers and a group for each photo are needed, but there are {len(ours_B)}, "
            f"{len(theirs_B)} and {len(groups)}"
        )
    only_ours, only_theirs = int((ours_B & ~theirs_B).sum()), int((theirs_B & ~ours_B).sum())
    return Paired(
        num_photos=len(ours_B),
        num_groups=len(set(groups)),
        both=int((ours_B & theirs_B).sum()),
        only_ours=only_ours,
        only_theirs=only_theirs,
        neither=int((~ours_B & ~theirs_B).sum()),
        p=binomial_tail(only_theirs, only_ours + only_theirs, 0.5),
        p_by_chain=_chain_p(_sums(ours_B.astype(np.int64) - theirs_B, groups)),
    )


def mean_difference(difference_B: Floats, groups: Sequence[str]) -> MeanDifference:
    """The mean of differences of photos, with its standard error by chains."""
    mean = float(difference_B.mean())
    off_G = _sums(difference_B - mean, groups)
    num_groups = len(off_G)
    error = None
    if num_groups > 1:
        error = float(np.sqrt(np.square(off_G).sum() * num_groups / (num_groups - 1)) / len(difference_B))
    return MeanDifference(num_photos=len(difference_B), num_groups=num_groups, value=mean, standard_error=error)


def _sums(values_B: npt.NDArray[np.number], groups: Sequence[str]) -> Floats:
    _, group_B = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    sums_G: Floats = np.bincount(group_B, weights=values_B).astype(np.float64)
    return sums_G


def _chain_p(won_G: Floats) -> float:
    """P(as many photos or more are won in all | the sign of each chain's sum is a fair coin), exactly."""
    won = np.rint(won_G).astype(np.int64)
    size_G = np.abs(won)
    pmf_W = np.ones(1)
    for size in np.unique(size_G[size_G > 0]).tolist():
        num = int((size_G == size).sum())
        coins = np.zeros(num * size + 1)
        coins[::size] = _fair_coins(num)
        pmf_W = np.convolve(pmf_W, coins)
    return min(1.0, float(pmf_W[int(won[won > 0].sum()) :].sum()))


def _fair_coins(num: int) -> Floats:
    """P(0 … num heads), in logarithms: binomial coefficients of some thousand are beyond what a float holds."""
    heads: Ints = np.arange(1, num + 1)
    log_ways = np.concatenate([[0.0], np.cumsum(np.log(num - heads + 1) - np.log(heads))])
    shares: Floats = np.exp(log_ways - num * np.log(2))
    return shares
