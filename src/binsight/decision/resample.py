"""Intervals for scores by resampling whole bins, not photos.

Photos of one bin chain resemble one another, so a chain is drawn or left out as a whole: the cluster bootstrap
(Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8; Field and Welsh, Bootstrapping
Clustered Data, JRSS B 2007). Every score is a function of sums over photos, so a draw is a weighted sum of the
chains' sums, and no photo is touched twice.

Axes: B photos, G groups (chains), S sums, D draws.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binsight.decision.scores import NUM_ECE_BINS, Floats, PhotoScores, confidence_bins

NUM_DRAWS = 2000
SEED = 20070401
CONFIDENCE = 0.95

MIN_GROUPS = 10
"""Fewer groups than this give no interval: the bootstrap of a handful of clusters is far too narrow
(Cameron, Gelbach and Miller, Bootstrap-Based Improvements for Inference with Clustered Errors, 2008)."""

_BLOCK_CELLS = 8_000_000
"""Weights held in memory at a time (64 MB), however many groups there are."""

MEANS = ("exact", "within_one", "mae", "mae_of_median", "rps", "nll")
ROOTS = ("rmse", "rmse_of_mean")
SCORE_NAMES = ("exact", "within_one", "mae", "rmse", "mae_of_median", "rmse_of_mean", "rps", "nll", "ece")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A 95% interval, both ends included."""

    low: float
    high: float


def score_intervals(
    photos: PhotoScores, groups: Sequence[str], *, num_draws: int = NUM_DRAWS, seed: int = SEED
) -> dict[str, Interval] | None:
    """A 95% interval for each of `SCORE_NAMES`, or None where there are fewer than `MIN_GROUPS` groups.

    Percentile intervals, but for `ece`: resampling adds noise that only ever raises it, so its interval is the
    basic one (twice the figure less the percentiles), which takes that off, and ends at 0.
    Raises `ValueError` where photos and groups differ in number.
    """
    sums_GS = _group_sums(photos, groups)
    if len(sums_GS) < MIN_GROUPS:
        return None
    drawn = _figures(_drawn_totals(sums_GS, num_draws, seed))
    found = _figures(sums_GS.sum(axis=0, keepdims=True))
    intervals = _percentiles(drawn)
    intervals["ece"] = _basic(intervals["ece"], float(found["ece"][0]), least=0.0)
    return intervals


def difference_intervals(
    ours: PhotoScores,
    theirs: PhotoScores,
    groups: Sequence[str],
    *,
    num_draws: int = NUM_DRAWS,
    seed: int = SEED,
) -> dict[str, Interval] | None:
    """A 95% interval for ours minus theirs in each score, on the same photos, or None as `score_intervals`.

    Paired: each draw takes the same chains for both, so what is hard for both cancels. An interval that does
    not hold 0 is a difference that chance does not explain.
    """
    if len(ours) != len(theirs):
        raise ValueError(f"a paired difference needs the same photos, but got {len(ours)} and {len(theirs)}")
    our_sums_GS, their_sums_GS = _group_sums(ours, groups), _group_sums(theirs, groups)
    if len(our_sums_GS) < MIN_GROUPS:
        return None
    width = our_sums_GS.shape[1]
    totals_DS = _drawn_totals(np.hstack([our_sums_GS, their_sums_GS]), num_draws, seed)
    our_drawn, their_drawn = _figures(totals_DS[:, :width]), _figures(totals_DS[:, width:])
    return _percentiles({name: our_drawn[name] - their_drawn[name] for name in SCORE_NAMES})


def kept_difference_intervals(
    photos: PhotoScores,
    kept_B: npt.NDArray[np.bool_],
    others_B: npt.NDArray[np.bool_],
    groups: Sequence[str],
    *,
    num_draws: int = NUM_DRAWS,
    seed: int = SEED,
) -> dict[str, Interval] | None:
    """A 95% interval for the `MEANS` of one part of the photos (`kept_B`) minus those of another (`others_B`).

    The parts may overlap; each draw takes the same chains for both. None where either has photos of fewer than
    `MIN_GROUPS` groups. Raises `ValueError` where photos, parts and groups differ in number.
    """
    if not len(photos) == len(kept_B) == len(others_B):
        raise ValueError(
            f"parts must say yes or no to {len(photos)} photos, but have {len(kept_B)}, {len(others_B)}"
        )
    kept_GS, others_GS = (
        _group_sums(photos, groups, chosen_B=kept_B),
        _group_sums(photos, groups, chosen_B=others_B),
    )
    if min((kept_GS[:, 0] > 0).sum(), (others_GS[:, 0] > 0).sum()) < MIN_GROUPS:
        return None
    width = kept_GS.shape[1]
    totals_DS = _drawn_totals(np.hstack([kept_GS, others_GS]), num_draws, seed)
    # A draw without any photo of a part has no mean of it.
    totals_DS = totals_DS[(totals_DS[:, 0] > 0) & (totals_DS[:, width] > 0)]
    kept, others = _figures(totals_DS[:, :width]), _figures(totals_DS[:, width:])
    return _percentiles({name: kept[name] - others[name] for name in MEANS})


def share_interval(
    hits_B: npt.NDArray[np.bool_], groups: Sequence[str], *, num_draws: int = NUM_DRAWS, seed: int = SEED
) -> Interval | None:
    """A 95% interval for the share of photos that are hits, or None as `score_intervals`.

    Where all photos are hits, or none is, every resample is the same and says nothing: the interval is then the
    exact binomial one with chains, not photos, as trials.
    """
    _check_groups(groups, len(hits_B))
    _, group_B = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    sums_GS = np.stack([np.bincount(group_B, hits_B), np.bincount(group_B)], axis=1).astype(np.float64)
    if len(sums_GS) < MIN_GROUPS:
        return None
    if hits_B.all() or not hits_B.any():
        far = ((1 - CONFIDENCE) / 2) ** (1 / len(sums_GS))
        return Interval(low=far, high=1.0) if hits_B.all() else Interval(low=0.0, high=1 - far)
    totals_DS = _drawn_totals(sums_GS, num_draws, seed)
    return _percentiles({"share": totals_DS[:, 0] / totals_DS[:, 1]})["share"]


def ratio_interval(
    over_B: Floats, under_B: Floats, groups: Sequence[str], *, num_draws: int = NUM_DRAWS, seed: int = SEED
) -> Interval | None:
    """A 95% interval for the sum of `over_B` divided by that of `under_B`, or None as `score_intervals`.

    None also where all of `over_B` is 0: every resample then is, which says nothing of what was not seen.
    """
    _check_groups(groups, len(over_B))
    _, group_B = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    sums_GS = np.stack([np.bincount(group_B, over_B), np.bincount(group_B, under_B)], axis=1).astype(np.float64)
    if len(sums_GS) < MIN_GROUPS or not np.any(over_B):
        return None
    totals_DS = _drawn_totals(sums_GS, num_draws, seed)
    totals_DS = totals_DS[totals_DS[:, 1] > 0]
    return _percentiles({"ratio": totals_DS[:, 0] / totals_DS[:, 1]})["ratio"]


def figure_interval(
    columns_BS: Floats,
    groups: Sequence[str],
    figure: Callable[[Floats], Floats],
    *,
    num_draws: int = NUM_DRAWS,
    seed: int = SEED,
) -> Interval | None:
    """A 95% interval for any figure of sums over photos, or None as `score_intervals`.

    `figure` is given the sums of each draw, (D, S), and gives the figure of each; draws in which it is none are left out.
    """
    _check_groups(groups, len(columns_BS))
    _, group_B = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    sums_GS = np.stack([np.bincount(group_B, column) for column in columns_BS.T], axis=1).astype(np.float64)
    if len(sums_GS) < MIN_GROUPS:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        figures_D = figure(_drawn_totals(sums_GS, num_draws, seed))
    known_D = figures_D[np.isfinite(figures_D)]
    return _percentiles({"figure": known_D})["figure"] if len(known_D) else None


def _check_groups(groups: Sequence[str], num_photos: int) -> None:
    if len(groups) != num_photos:
        raise ValueError(f"groups must name one group per photo ({num_photos}), but got {len(groups)}")


def _group_sums(
    photos: PhotoScores, groups: Sequence[str], *, chosen_B: npt.NDArray[np.bool_] | None = None
) -> Floats:
    """Sums by group over all or the chosen photos, (G, 1 + 6 means + 2 squared errors + 15 calibration gaps).

    Groups are in sorted order, those without a chosen photo too.
    """
    _check_groups(groups, len(photos))
    _, group_B = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    num_groups = int(group_B.max()) + 1
    weights_B = np.ones(len(photos)) if chosen_B is None else chosen_B.astype(np.float64)
    columns = [
        np.ones(len(photos)),
        photos.exact,
        photos.within_one,
        photos.absolute_error,
        photos.median_error,
        photos.rps,
        photos.nll,
        photos.squared_error,
        photos.mean_squared_error,
    ]
    sums_GS = np.stack([np.bincount(group_B, column * weights_B, num_groups) for column in columns], axis=1)
    cell_B = group_B * NUM_ECE_BINS + confidence_bins(photos.confidence)
    gaps_B = (photos.confidence - photos.exact) * weights_B
    gaps_GS = np.bincount(cell_B, gaps_B, num_groups * NUM_ECE_BINS)
    return np.hstack([sums_GS, gaps_GS.reshape(num_groups, NUM_ECE_BINS)])


def _drawn_totals(sums_GS: Floats, num_draws: int, seed: int) -> Floats:
    """Totals over G groups drawn with replacement, `num_draws` times: (D, S)."""
    rng = np.random.default_rng(seed)
    num_groups = len(sums_GS)
    block = max(1, _BLOCK_CELLS // num_groups)
    totals = []
    for start in range(0, num_draws, block):
        size = min(block, num_draws - start)
        drawn_DG = rng.integers(num_groups, size=(size, num_groups))
        cells = drawn_DG + num_groups * np.arange(size)[:, None]
        weights_DG = np.bincount(cells.ravel(), minlength=size * num_groups).reshape(size, num_groups)
        totals.append(weights_DG.astype(np.float64) @ sums_GS)
    return np.concatenate(totals)


def _figures(totals_DS: Floats) -> dict[str, Floats]:
    """Each score from the totals of each draw."""
    num_photos_D = totals_DS[:, 0]
    figures = {name: totals_DS[:, 1 + i] / num_photos_D for i, name in enumerate(MEANS)}
    first_root, first_gap = 1 + len(MEANS), 1 + len(MEANS) + len(ROOTS)
    figures |= {name: np.sqrt(totals_DS[:, first_root + i] / num_photos_D) for i, name in enumerate(ROOTS)}
    figures["ece"] = np.abs(totals_DS[:, first_gap:]).sum(axis=1) / num_photos_D
    return figures


def _percentiles(drawn: dict[str, Floats]) -> dict[str, Interval]:
    tail = (1 - CONFIDENCE) / 2
    ends = {name: np.quantile(values_D, [tail, 1 - tail]) for name, values_D in drawn.items()}
    return {name: Interval(low=float(low), high=float(high)) for name, (low, high) in ends.items()}


def _basic(percentiles: Interval, found: float, *, least: float) -> Interval:
    low, high = (max(least, 2 * found - end) for end in (percentiles.high, percentiles.low))
    return Interval(low=low, high=high)
