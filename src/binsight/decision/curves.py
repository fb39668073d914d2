"""What the plots of an evaluation show: reliability, risk against coverage, confusion. Pure functions.

Axes: B photos, K counts.
"""

from dataclasses import dataclass

import numpy as np

from binsight.decision.scores import NUM_ECE_BINS, Floats, Ints, PhotoScores, confidence_bins


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """Photos whose top probability lies above `low` and up to `high`, and how many of them were right."""

    low: float
    high: float
    num_photos: int
    confidence: float
    exact: float


def reliability(photos: PhotoScores) -> tuple[ReliabilityBin, ...]:
    """The bins that hold any photo, in order; their weighted gaps add up to the calibration error."""
    bin_B = confidence_bins(photos.confidence)
    return tuple(
        ReliabilityBin(
            low=int(b) / NUM_ECE_BINS,
            high=(int(b) + 1) / NUM_ECE_BINS,
            num_photos=int((bin_B == b).sum()),
            confidence=float(photos.confidence[bin_B == b].mean()),
            exact=float(photos.exact[bin_B == b].mean()),
        )
        for b in np.unique(bin_B)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CoveragePoint:
    """The share `coverage` of photos that the model is surest of, all with at least `confidence`."""

    coverage: float
    confidence: float
    exact: float
    within_one: float
    mae: float


def risk_coverage(photos: PhotoScores, *, num_points: int = 50) -> tuple[CoveragePoint, ...]:
    """How good the answers are if only the surest are used (El-Yaniv and Wiener, JMLR 2010)."""
    order_B = np.argsort(-photos.confidence, kind="stable")
    num_photos = len(photos)
    kept = np.unique(np.ceil(np.linspace(0, 1, num_points + 1)[1:] * num_photos).astype(np.int64))
    means = {
        name: np.cumsum(getattr(photos, name)[order_B])[kept - 1] / kept
        for name in ("exact", "within_one", "absolute_error")
    }
    return tuple(
        CoveragePoint(
            coverage=float(num / num_photos),
            confidence=float(photos.confidence[order_B[num - 1]]),
            exact=float(means["exact"][i]),
            within_one=float(means["within_one"][i]),
            mae=float(means["absolute_error"][i]),
        )
        for i, num in enumerate(kept)
    )


def confusion(answers_B: Ints, counts_B: Ints, num_counts: int) -> Ints:
    """How often each count (rows) got each answer (columns), shape (K, K); counts above K-1 are K-1."""
    cells_B = np.minimum(counts_B, num_counts - 1) * num_counts + answers_B
    return np.bincount(cells_B, minlength=num_counts**2).reshape(num_counts, num_counts)


def entropy(probs_BK: Floats) -> Floats:
    """How undecided each distribution is, in nats: 0 where it is sure, log K where it is even."""
    logs = np.log(np.where(probs_BK > 0, probs_BK, 1.0))
    undecided: Floats = -(probs_BK * logs).sum(axis=1)
    return undecided
