"""Scores of a slice of photos beside what an answer that never looks at the photo would score.

Axes: B photos, K counts 0 … K-1, where the last one stands for "K-1 or more".
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt

from binsight.decision.resample import SCORE_NAMES, Interval, difference_intervals, score_intervals
from binsight.decision.scores import (
    Floats,
    Ints,
    Scores,
    chance_calibration_error,
    checked_probs,
    photo_scores,
    score,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Which counts a figure is over, and from which the answer is taken.

    Photos with counts from `low` to `high` (None: no upper end) are scored. With `restricted` the answer is one
    of those counts too, as that of a five-class network is; without, any count may be answered. With `last` all
    counts from there on are one class, "`last` or more".
    """

    name: str
    low: int = 0
    high: int | None = None
    restricted: bool = False
    last: int | None = None

    @property
    def answers(self) -> str:
        """Which answers are admitted: `any` or `restricted`."""
        return "restricted" if self.restricted else "any"

    def holds(self, counts_B: Ints) -> npt.NDArray[np.bool_]:
        """Which photos are scored."""
        return (counts_B >= self.low) & (self.high is None or counts_B <= self.high)

    def of(self, probs_BK: Floats) -> Floats:
        """The probabilities as this range takes them: restricted or folded."""
        probs = probs_BK
        if self.restricted:
            probs = restrict(probs, self.low, probs.shape[1] - 1 if self.high is None else self.high)
        return probs if self.last is None else fold(probs, self.last)


ALL = Range(name="all")
RANGES = (
    Range(name="1-5", low=1, high=5),
    Range(name="1-5", low=1, high=5, restricted=True),
    Range(name="0-5", low=0, high=5),
    Range(name="0-5", low=0, high=5, restricted=True),
    ALL,
    Range(name="0-10+", last=10),
)
"""The ranges that published figures are over, and all counts with and without the sparse upper end."""


def restrict(probs_BK: Floats, low: int, high: int) -> Floats:
    """The distribution given that the count is from `low` to `high`; even where that had no probability."""
    inside_BK = np.zeros_like(probs_BK)
    inside_BK[:, low : high + 1] = probs_BK[:, low : high + 1]
    inside_BK[inside_BK.sum(axis=1) == 0, low : high + 1] = 1.0
    restricted: Floats = inside_BK / inside_BK.sum(axis=1, keepdims=True)
    return restricted


def fold(probs_BK: Floats, last: int) -> Floats:
    """The distribution with all counts from `last` on as one; as it is where it has no more than that."""
    return np.hstack([probs_BK[:, :last], probs_BK[:, last:].sum(axis=1, keepdims=True)])


def count_prior(counts_B: npt.ArrayLike, num_counts: int) -> Floats:
    """Shares of the counts 0 … `num_counts` - 1 (the last: or more), shape (K,).

    One photo's worth of probability is spread evenly, so that a count that never occurred is unlikely and not
    impossible.
    """
    seen_K = np.bincount(np.minimum(counts_B, num_counts - 1), minlength=num_counts).astype(np.float64)
    prior: Floats = (seen_K + 1 / num_counts) / (seen_K.sum() + 1)
    return prior


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A model's scores over a slice, and the blind answers' over the same photos.

    `majority` always answers `majority_count`, the most frequent count of the prior, and is sure of it; `prior`
    gives every photo the prior's distribution. `ahead` is the interval of the model's scores minus the
    prior's. `best_constant` is the count that would have been right most often on these very photos, found by
    looking at their answers. `ece_by_chance` is `chance_calibration_error` of the model's answers. Intervals are None
    where there are too few groups.
    """

    num_photos: int
    num_groups: int
    scores: Scores
    intervals: dict[str, Interval] | None
    majority_count: int
    majority: Scores
    prior: Scores
    ahead: dict[str, Interval] | None
    best_constant: int
    best_constant_exact: float
    ece_by_chance: float

    def gain(self, name: str) -> float:
        """The model's score minus the prior's."""
        return float(getattr(self.scores, name) - getattr(self.prior, name))

    def as_json(self) -> dict[str, Any]:
        """Everything, with one object for each score."""
        return {
            "num_photos": self.num_photos,
            "num_groups": self.num_groups,
            "majority_count": self.majority_count,
            "ece_by_chance": self.ece_by_chance,
            "best_constant": {"count": self.best_constant, "exact": self.best_constant_exact},
            "scores": {name: self._score_json(name) for name in SCORE_NAMES},
        }

    def _score_json(self, name: str) -> dict[str, Any]:
        return {
            "value": getattr(self.scores, name),
            "interval": asdict(self.intervals[name]) if self.intervals else None,
            "majority": getattr(self.majority, name),
            "prior": getattr(self.prior, name),
            "ahead": self.gain(name),
            "ahead_interval": asdict(self.ahead[name]) if self.ahead else None,
        }


def measure(
    probs_BK: npt.ArrayLike,
    counts_B: Ints,
    groups: Sequence[str],
    prior_K: Floats,
    *,
    within: Range = ALL,
) -> Measured | None:
    """Measure the photos whose counts lie in a range, or None where there are none.

    Raises `ValueError` where the arrays do not fit together.
    """
    probs = checked_probs(probs_BK)
    if prior_K.shape != probs.shape[1:]:
        raise ValueError(f"the prior must have shape {probs.shape[1:]}, but got {prior_K.shape}")
    chosen_B = within.holds(counts_B)
    if not chosen_B.any():
        return None
    counts, chosen_groups = counts_B[chosen_B], list(compress(groups, chosen_B))
    probs, prior = within.of(probs[chosen_B]), within.of(prior_K[None])
    prior_BK = np.repeat(prior, len(counts), axis=0)
    majority_count = int(prior.argmax())
    majority_BK = np.repeat(np.eye(prior.shape[1])[[majority_count]], len(counts), axis=0)
    found, blind = photo_scores(probs, counts), photo_scores(prior_BK, counts)
    shares = np.bincount(np.minimum(counts, probs.shape[1] - 1)) / len(counts)
    return Measured(
        num_photos=len(counts),
        num_groups=len(set(chosen_groups)),
        scores=score(probs, counts),
        intervals=score_intervals(found, chosen_groups),
        majority_count=majority_count,
        majority=score(majority_BK, counts),
        prior=score(prior_BK, counts),
        ahead=difference_intervals(found, blind, chosen_groups),
        best_constant=int(shares.argmax()),
        best_constant_exact=float(shares.max()),
        ece_by_chance=chance_calibration_error(found.confidence),
    )


def measure_ranges(
    probs_BK: npt.ArrayLike, counts_B: Ints, groups: Sequence[str], prior_K: Floats
) -> dict[Range, Measured]:
    """Measure every range of `RANGES` that these photos and this many counts allow."""
    num_counts = len(prior_K)
    measured = {}
    for within in RANGES:
        if max(within.high or 0, within.last or 0) < num_counts:
            found = measure(probs_BK, counts_B, groups, prior_K, within=within)
            if found is not None:
                measured[within] = found
    return measured
