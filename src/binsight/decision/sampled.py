"""How much photos of counted bins count in training, from the probability with which each bin was chosen: pure functions.

Bins are counted because they are suspects, and a few of the others by lot. Learnt from as they come, a network would take
suspects for what bins usually look like. So each counted bin weighs as many bins as it stands for, 1/π (Horvitz and
Thompson, JASA 1952; for learning under such a choice: Cortes, Mohri, Riley and Rostamizadeh, ALT 2008).

*Its size.* The weights of a batch are divided by their mean (Hájek): so many photos count as so many photos, beside those
of the dataset that they join, and share that among themselves as the bins are shared in the warehouse.

*Its price.* A few heavy photos make the gradient noisy. A weight is cut at `MOST` times the mean (Potter, Survey of
sampling weights trimming, 1990): the photos that would weigh more then stand for fewer bins than they do, which biases the
sum towards what was counted because it is suspect, and that is named in the retraining's report.

Axis: B bins counted.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

MOST = 20.0
"""A photo counts as much as so many at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What an audit drew by lot: each bin with this probability, from the verified ones or `of_all`.

    `counts_all_others`: every bin that is not verified is counted in any case.
    """

    probability: float
    of_all: bool
    counts_all_others: bool


def probability_of(drawn: Drawn | None, *, by_lot: bool, is_verified: bool) -> float:
    """With which probability this bin came to be counted, given why it was.

    Whoever was counted because of the plan would have been counted whatever the lots said: he stands for himself alone,
    and so does a bin that somebody asked for. A suspect that was drawn from all bins stands for others only where these
    were not all counted in any case.
    """
    if drawn is None or not by_lot:
        return 1.0
    if not is_verified and drawn.counts_all_others:
        return 1.0
    return drawn.probability


def training_weights(probability_B: Floats, *, most: float = MOST) -> Floats:
    """Weights of mean 1 in proportion to 1/π, none above `most`.

    Raises `ValueError` for a probability outside of 0 < π ≤ 1, and where `most` is below 1.
    """
    if not ((probability_B > 0) & (probability_B <= 1)).all():
        raise ValueError("`0 < probability <= 1` must hold for every bin that was counted")
    if most < 1:
        raise ValueError(f"`1 <= most` must hold, but got most={most}")
    weights: Floats = 1 / probability_B
    if not len(weights):
        return weights
    weights = weights / weights.mean()
    while (
        weights > most * (1 + 1e-9)
    ).any():  # what is cut off is shared by the others, which may reach the bound too
        is_cut = weights >= most
        weights = np.where(is_cut, most, weights)
        rest = len(weights) - most * is_cut.sum()
        weights[~is_cut] *= rest / weights[~is_cut].sum()
    return weights
