"""Which photos the counter itself takes for unreadable: those of whose answer it is least sure, one item off allowed.

The doubt is 1 - p(right or one off). It ranked answers that are two items off or more better than entropy, spread, the
answer's size and the pixels did, and no worse than anything tried (docs/experiments.md); and it says what it means: with
calibrated probabilities it is how often such an answer is so far off.

Axes: B photos, K counts 0 … K-1, where the last one stands for "K-1 or more".
"""

import numpy as np
import numpy.typing as npt

from binsight.decision.scores import Floats, Ints, checked_probs, photo_scores

UNREADABLE_SHARE = 0.2
"""The share of photos to be flagged, by judgement. With a tenth, counts 1–5 gain less than a point. Beyond a fifth, the
shipped counter's own probabilities say that the photos added are more likely right or one off than not."""


def within_one_probs(probs_BK: npt.ArrayLike) -> Floats:
    """p(the answer is right or one off) of each photo, (B,), as `records.CountEstimate.within_one` has it.

    Raises `ValueError` for arrays that are not distributions.
    """
    probs = checked_probs(probs_BK)
    padded_BK = np.pad(probs, ((0, 0), (1, 1)))
    three_BK = padded_BK[:, :-2] + padded_BK[:, 1:-1] + padded_BK[:, 2:]
    around_B: Floats = three_BK[np.arange(len(probs)), probs.argmax(axis=1)]
    return np.minimum(around_B, 1.0)


def fit_readable_from(probs_BK: npt.ArrayLike, share: float = UNREADABLE_SHARE) -> float:
    """The p(right or one off) below which at most `share` of these photos lie; it asks for no counts.

    Raises `ValueError` for arrays that are not distributions, or a share that is not from 0 to below 1.
    """
    if not 0 <= share < 1:
        raise ValueError(f"`0 <= share < 1` must hold, but got share={share}")
    sorted_B = np.sort(within_one_probs(probs_BK))
    return float(sorted_B[int(share * len(sorted_B))])


def is_unreadable(probs_BK: npt.ArrayLike, readable_from: float) -> npt.NDArray[np.bool_]:
    """Which photos are flagged, (B,): those whose p(right or one off) is below the limit."""
    flagged_B: npt.NDArray[np.bool_] = within_one_probs(probs_BK) < readable_from
    return flagged_B


def unreadable_figures(probs_BK: Floats, counts_B: Ints, readable_from: float) -> dict[str, float | None]:
    """The share flagged and, of flagged and other photos, the share right or one off and the mean recorded count.

    A figure of no photos is None. Raises `ValueError` as `photo_scores` does.
    """
    flagged_B = is_unreadable(probs_BK, readable_from)
    within_one_B = photo_scores(probs_BK, counts_B).within_one
    figures: dict[str, float | None] = {"share": float(flagged_B.mean())}
    for name, part_B in (("flagged", flagged_B), ("others", ~flagged_B)):
        figures[f"within_one_{name}"] = float(within_one_B[part_B].mean()) if part_B.any() else None
        figures[f"mean_count_{name}"] = float(counts_B[part_B].mean()) if part_B.any() else None
    return figures
