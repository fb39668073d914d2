"""How good distributions over counts are, measured against the counts: pure functions of NumPy arrays.

Axes: B photos, K counts 0 … K-1, where the last one stands for "K-1 or more". A count above K-1 is scored as
K-1. The answer to a photo is its most likely count, the smaller one where two are equally likely, as
`records.CountEstimate.count` has it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

NUM_ECE_BINS = 15
"""Equal-width bins of the top probability, as in Guo et al., On Calibration of Modern Neural Networks, 2017."""

MIN_PROB = 1e-12
"""Floor under the probability whose logarithm is scored: a sure and wrong answer costs 27.6 nats, not infinity."""

SUM_TOLERANCE = 1e-3
"""How far a row of probabilities may be from 1: single precision over some twenty counts stays well within."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Means over photos. Higher is better for `exact` and `within_one`, lower for all others.

    `mae` and `rmse` are in items and judge the most likely count, which is the answer. The count that errs least on average
    is another: for the absolute error the median of the distribution, for the squared one its mean (Gneiting 2011, Making
    and Evaluating Point Forecasts), which `mae_of_median` and `rmse_of_mean` judge. `rps` is the ranked probability score
    (Epstein 1969) summed over counts and not divided by K-1, so that it too is in items: it equals the absolute
    error where the answer is sure, and stays what it was when counts that nobody uses are added. `nll` is the
    log score in nats. `ece` is the expected calibration error (Guo et al. 2017), a share from 0 to 1.
    """

    num_photos: int
    exact: float
    within_one: float
    mae: float
    rmse: float
    mae_of_median: float
    rmse_of_mean: float
    rps: float
    nll: float
    ece: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoScores:
    """The same measures photo by photo, each of shape (B,); means and intervals are taken over these.

    `answer` is the most likely count and `confidence` its probability. `median_error` is the absolute error of the median,
    `mean_squared_error` the squared error of the mean, in which the last count stands for itself.
    """

    answer: Ints
    confidence: Floats
    exact: Floats
    within_one: Floats
    absolute_error: Floats
    squared_error: Floats
    median_error: Floats
    mean_squared_error: Floats
    rps: Floats
    nll: Floats

    def __len__(self) -> int:
        return len(self.answer)


def score(probs_BK: npt.ArrayLike, counts_B: npt.ArrayLike) -> Scores:
    """Mean scores of at least one photo. Raises `ValueError` as `photo_scores` does."""
    photos = photo_scores(probs_BK, counts_B)
    return Scores(
        num_photos=len(photos),
        exact=float(photos.exact.mean()),
        within_one=float(photos.within_one.mean()),
        mae=float(photos.absolute_error.mean()),
        rmse=float(np.sqrt(photos.squared_error.mean())),
        mae_of_median=float(photos.median_error.mean()),
        rmse_of_mean=float(np.sqrt(photos.mean_squared_error.mean())),
        rps=float(photos.rps.mean()),
        nll=float(photos.nll.mean()),
        ece=calibration_error(photos.confidence, photos.exact),
    )


def photo_scores(probs_BK: npt.ArrayLike, counts_B: npt.ArrayLike) -> PhotoScores:
    """Scores of every photo.

    Raises `ValueError` where the probabilities are not (B, K) with B ≥ 1 and K ≥ 2, do not sum to 1 by row, or
    where the counts are not B whole numbers of 0 or more.
    """
    probs = checked_probs(probs_BK)
    counts = np.minimum(checked_counts(counts_B, num_photos=len(probs)), probs.shape[1] - 1)
    answer = probs.argmax(axis=1)  # the first of equals: the smaller count
    error = np.abs(answer - counts)
    median = (probs.cumsum(axis=1) >= 0.5 * probs.sum(axis=1, keepdims=True)).argmax(axis=1)
    mean = probs @ np.arange(probs.shape[1])
    return PhotoScores(
        answer=answer,
        confidence=probs.max(axis=1),
        exact=(error == 0).astype(np.float64),
        within_one=(error <= 1).astype(np.float64),
        absolute_error=error.astype(np.float64),
        squared_error=np.square(error).astype(np.float64),
        median_error=np.abs(median - counts).astype(np.float64),
        mean_squared_error=np.square(mean - counts),
        rps=_ranked_probability(probs, counts),
        nll=-np.log(np.maximum(probs[np.arange(len(counts)), counts], MIN_PROB)),
    )


def _ranked_probability(probs_BK: Floats, counts_B: Ints) -> Floats:
    """Sum over k of (P(count ≤ k) - [count ≤ k])²; the last k adds nothing, both being 1."""
    cumulative_BK = probs_BK.cumsum(axis=1)[:, :-1]
    reached_BK = counts_B[:, None] <= np.arange(cumulative_BK.shape[1])
    ranked: Floats = np.square(cumulative_BK - reached_BK).sum(axis=1)
    return ranked


def confidence_bins(confidence_B: Floats) -> Ints:
    """The equal-width bin (0 … 14) of each top probability; a bin includes its upper end, as in Guo et al."""
    return np.clip(np.ceil(confidence_B * NUM_ECE_BINS).astype(np.int64) - 1, 0, NUM_ECE_BINS - 1)


def calibration_error(confidence_B: Floats, exact_B: Floats) -> float:
    """Expected calibration error: by bin of confidence, |mean confidence - share exact|, weighted by photos."""
    gap_by_bin = np.bincount(confidence_bins(confidence_B), weights=confidence_B - exact_B, minlength=NUM_ECE_BINS)
    return float(np.abs(gap_by_bin).sum() / len(confidence_B))


def chance_calibration_error(confidence_B: Floats, *, num_draws: int = 200, seed: int = 0) -> float:
    """The mean calibration error that such answers would have if each were right as often as it says, by chance alone.

    Few photos in a bin are right more or less often than they ought to be, and the error takes that for a fault: 3.4% for
    935 photos of ABID. Bröcker & Smith 2007 draw the same for reliability diagrams ("consistency resampling").
    """
    rng = np.random.default_rng(seed)
    drawn = [
        calibration_error(confidence_B, (rng.random(len(confidence_B)) < confidence_B).astype(np.float64))
        for _ in range(num_draws)
    ]
    return float(np.mean(drawn))


def checked_probs(probs_BK: npt.ArrayLike) -> Floats:
    """The probabilities as float64. Raises `ValueError` as `photo_scores` says."""
    probs = np.asarray(probs_BK, dtype=np.float64)
    if probs.ndim != 2 or probs.shape[0] < 1 or probs.shape[1] < 2:
        raise ValueError(f"probabilities must have shape (B ≥ 1, K ≥ 2), but got {probs.shape}")
    if not np.isfinite(probs).all() or probs.min() < 0:
        worst = int((~np.isfinite(probs) | (probs < 0)).any(axis=1).argmax())
        raise ValueError(f"probabilities must be finite and at least 0, but row {worst} is {probs[worst]}")
    off = np.abs(probs.sum(axis=1) - 1)
    if off.max() > SUM_TOLERANCE:
        worst = int(off.argmax())
        raise ValueError(f"probabilities must sum to 1 by row, but row {worst} sums to {probs[worst].sum():g}")
    return probs


def checked_counts(counts_B: npt.ArrayLike, *, num_photos: int) -> Ints:
    """The counts as int64. Raises `ValueError` as `photo_scores` says."""
    counts = np.asarray(counts_B)
    if counts.shape != (num_photos,):
        raise ValueError(f"counts must have shape ({num_photos},), one per photo, but got {counts.shape}")
    if not np.issubdtype(counts.dtype, np.integer) or counts.min() < 0:
        raise ValueError(f"counts must be whole numbers of 0 or more, but got {counts.dtype} {counts[:5]}")
    return counts.astype(np.int64)
