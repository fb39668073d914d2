"""Whether two samples differ, one figure at a time and all figures at once.

- `psi`, the population stability index: how large a difference is, by shares of ten bins.
- `kolmogorov_smirnov`: how far two distribution functions are apart at most, and how likely chance does that.
- `classifier_two_sample`: how well a classifier tells one sample from the other (Lopez-Paz and Oquab, Revisiting
  Classifier Two-Sample Tests, ICLR 2017). An AUC of 0.5 is "not at all".

Written in NumPy, since SciPy is not among what serving needs. Axes: M and N photos of two samples, D inputs.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

NUM_FOLDS = 5
RIDGE = 1.0
"""Penalty on squared weights, as if a few photos more spoke for "no difference": keeps separable samples finite."""
MAX_STEPS = 25
_CONVERGED = 1e-6


def psi(expected_shares: npt.ArrayLike, counts: npt.ArrayLike, *, num_reference: int) -> float:
    """The index of `counts` (photos by bin) against a reference's shares (sum 1), less what chance alone adds.

    Σ (a - e) ln(a / e) (Siddiqi, Credit Risk Scorecards, 2006). Without any difference it is still about
    (bins - 1)(1/n + 1/m) (Yurdakul, Statistical Properties of Population Stability Index, 2018), with a hundred photos
    0.1: that is taken off, so that it may end up below 0. Half a photo is added to each bin, so that an empty one
    counts as rare and not as impossible.
    """
    expected, counted = np.asarray(expected_shares, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    num_bins, num_photos = len(expected), float(counted.sum())
    actual = (counted + 0.5) / (num_photos + 0.5 * num_bins)
    expected = (expected * num_reference + 0.5) / (num_reference + 0.5 * num_bins)
    by_chance = (num_bins - 1) * (1 / num_photos + 1 / num_reference)
    return float(((actual - expected) * np.log(actual / expected)).sum()) - by_chance


def kolmogorov_smirnov(distance: float, num_photos: int, num_reference: int) -> float:
    """How likely chance puts two distribution functions `distance` apart, for samples of these sizes.

    Kolmogorov's limit with Stephens' correction (Use of the Kolmogorov-Smirnov ... Statistics Without Extensive
    Tables, JRSS B 1970); too large where values repeat, which errs on the side of no alarm.
    """
    root = math.sqrt(num_photos * num_reference / (num_photos + num_reference))
    scaled = (root + 0.12 + 0.11 / root) * distance
    if scaled < 0.2:  # the series does not converge there, and its sum is 1 to twelve digits
        return 1.0
    terms = (2 * (-1) ** (k - 1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, 101))
    return min(1.0, max(0.0, math.fsum(terms)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Separation:
    """How well one sample is told from the other: the AUC on photos that the classifier did not see, with the lower end
    of its one-sided interval."""

    auc: float
    low: float


def classifier_two_sample(ours_ND: Floats, theirs_MD: Floats, *, z: float) -> Separation:
    """Cross-fitted AUC of a logistic regression between two samples of at least `NUM_FOLDS` rows each.

    `z` is how many standard errors the lower end lies below it. Each fifth is judged by a classifier of the other four,
    with the variance of DeLong et al. (Biometrics 1988). The classifiers share most of their photos, so that the mean of
    five AUCs is less certain than that of independent ones: Nadeau and Bengio's correction (Inference for the
    Generalization Error, Machine Learning 2003), without which one comparison in seven was "95% sure" of a difference
    that was none. Folds are runs of neighbours: photos of one bin come one after another, and would otherwise be
    recognised by each other.
    """
    aucs, variances = [], []
    for (ours_in, ours_out), (theirs_in, theirs_out) in zip(_folds(ours_ND), _folds(theirs_MD), strict=True):
        weights_D = fit_logistic(
            np.concatenate([ours_in, theirs_in]), np.repeat([1.0, 0.0], [len(ours_in), len(theirs_in)])
        )
        auc, variance = auc_of(_with_constant(ours_out) @ weights_D, _with_constant(theirs_out) @ weights_D)
        aucs.append(auc)
        variances.append(variance)
    mean = float(np.mean(aucs))
    error = math.sqrt(float(np.mean(variances)) * (1 / NUM_FOLDS + 1 / (NUM_FOLDS - 1)))
    return Separation(auc=mean, low=mean - z * error)


def fit_logistic(inputs_ND: Floats, is_ours_N: Floats) -> Floats:
    """Weights (1 + D,), the constant first, by Newton's method (iteratively reweighted least squares)."""
    inputs = _with_constant(inputs_ND)
    penalty = np.full(inputs.shape[1], RIDGE)
    penalty[0] = 1e-9  # how many photos each sample has is no difference between them
    weights = np.zeros(inputs.shape[1])
    for _ in range(MAX_STEPS):
        probs = 1 / (1 + np.exp(-np.clip(inputs @ weights, -30, 30)))
        slope = inputs.T @ (is_ours_N - probs) - penalty * weights
        curvature = (inputs.T * (probs * (1 - probs))) @ inputs + np.diag(penalty)
        step = np.linalg.solve(curvature, slope)
        weights = weights + step
        if np.abs(step).max() < _CONVERGED:
            break
    return weights


def auc_of(ours_N: Floats, theirs_M: Floats) -> tuple[float, float]:
    """The share of pairs in which ours scores higher, ties half, and DeLong's variance of it."""
    wins_NM = (ours_N[:, None] > theirs_M) + 0.5 * (ours_N[:, None] == theirs_M)
    variance = wins_NM.mean(axis=1).var(ddof=1) / len(ours_N) + wins_NM.mean(axis=0).var(ddof=1) / len(theirs_M)
    return float(wins_NM.mean()), float(variance)


def _folds(rows_ND: Floats) -> Iterator[tuple[Floats, Floats]]:
    """(all but one fifth, that fifth), five times."""
    fold_N = np.arange(len(rows_ND)) * NUM_FOLDS // len(rows_ND)
    for fold in range(NUM_FOLDS):
        yield rows_ND[fold_N != fold], rows_ND[fold_N == fold]


def _with_constant(rows_ND: Floats) -> Floats:
    return np.concatenate([np.ones((len(rows_ND), 1)), rows_ND], axis=1)
