"""How many records are right, from bins that were counted with different probabilities: pure functions.

Suspects are counted because they are suspects, and verified bins by lot: of the bins counted, far more are wrong than of
all. A bin that had the probability π to be counted stands for 1/π bins (Horvitz and Thompson, JASA 1952), and the share of
right records is the ratio of two such sums (Hájek, in Foundations of Statistical Inference, 1971):

    IRA = Σ right / π  ÷  Σ 1 / π

which is unbiased up to the ratio's own small bias, as long as every bin had some probability. A bin that had none, such as
one beyond the budget of which nothing is drawn, is not spoken for: the figure is then of the other bins, and must say so.

*Interval.* Bins that were counted in any case (π = 1) are known and vary with no draw. The others are resampled within
those that share a π (bootstrap by strata; Davison and Hinkley, Bootstrap Methods and their Application, 1997, section
3.7). Where a stratum shows no wrong record, or no right one, every resample is alike and says nothing: there Clopper and
Pearson's bound for it stands at that end.

Axes: B bins counted, D draws, S strata.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binsight.decision.certify import upper_bounds
from binsight.decision.resample import CONFIDENCE, NUM_DRAWS, SEED, Interval

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

TAIL = (1 - CONFIDENCE) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighted:
    """A share with its 95% interval, from `num` bins that stand for `num_for` bins."""

    share: float
    interval: Interval
    num: int
    num_for: float


def weighted_share(
    right_B: Bools, probability_B: Floats, *, num_draws: int = NUM_DRAWS, seed: int = SEED
) -> Weighted:
    """The share of right records among all bins, each of those counted with its probability to be. Needs SciPy.

    Raises `ValueError` without bins, and for a probability outside of 0 < π ≤ 1.
    """
    if not len(right_B) or len(right_B) != len(probability_B):
        raise ValueError(
            f"one probability for each bin, and at least one, but got {len(right_B)}, {len(probability_B)}"
        )
    if not ((probability_B > 0) & (probability_B <= 1)).all():
        raise ValueError("`0 < probability <= 1` must hold for every bin that was counted")
    total = float((1 / probability_B).sum())
    low_D, high_D = np.zeros(num_draws), np.zeros(num_draws)
    rng = np.random.default_rng(seed)
    for probability in np.unique(probability_B):
        right = right_B[probability_B == probability]
        low, high = _drawn(right, float(probability), num_draws, rng)
        low_D, high_D = low_D + low * len(right) / probability, high_D + high * len(right) / probability
    return Weighted(
        share=float((right_B / probability_B).sum()) / total,
        interval=Interval(
            low=float(np.quantile(low_D, TAIL)) / total, high=float(np.quantile(high_D, 1 - TAIL)) / total
        ),
        num=len(right_B),
        num_for=total,
    )


def _drawn(right: Bools, probability: float, num_draws: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """The stratum's share of right ones in each draw, once for the interval's lower and once for its upper end."""
    share = float(right.mean())
    if probability == 1:
        fixed = np.full(num_draws, share)
        return fixed, fixed
    if right.all() or not right.any():
        (bound,) = upper_bounds(np.array([0]), len(right), delta=TAIL)
        ends = (1 - bound, 1.0) if right.all() else (0.0, bound)
        return np.full(num_draws, ends[0]), np.full(num_draws, ends[1])
    drawn = rng.binomial(len(right), share, size=num_draws) / len(right)
    return drawn, drawn
