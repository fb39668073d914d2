"""From the answers of two bundles to figures: pure functions of arrays.

Axes: B photos, K counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from binsight.decision.certificate import Certificate
from binsight.decision.confirm import broken_bands
from binsight.decision.decide import band_for
from binsight.decision.measures import fold
from binsight.decision.paired import paired
from binsight.decision.resample import SCORE_NAMES, difference_intervals
from binsight.decision.scores import Floats, Ints, Scores, photo_scores, score
from binsight.lifecycle.comparison import Difference, Figures, Measured
from binsight.lifecycle.slices import slices_of

BROKEN_LEVEL = 0.005
"""A certificate that holds is found broken by chance so often: it has a handful of bands, each of which is tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A bundle's answers, its certificate if it has one, and the time that it took for a photo."""

    probs_BK: Floats
    certificate: Certificate | None
    ms_per_photo: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Photos:
    """What is known of the photos apart from the answers, in one order."""

    counts_B: Ints
    groups: Sequence[str]
    brightness_B: Floats
    side_B: Ints


def figures_of(champion: Asked, challenger: Asked, photos: Photos, *, alpha: float, times_slower: float) -> Figures:
    """Both on the same photos. Where one tells fewer counts apart, both are scored on those."""
    num_counts = min(champion.probs_BK.shape[1], challenger.probs_BK.shape[1])
    theirs_BK, ours_BK = (_folded(one.probs_BK, num_counts) for one in (champion, challenger))
    theirs, ours = photo_scores(theirs_BK, photos.counts_B), photo_scores(ours_BK, photos.counts_B)
    before, after = score(theirs_BK, photos.counts_B), score(ours_BK, photos.counts_B)
    intervals = difference_intervals(ours, theirs, photos.groups)
    return Figures(
        champion=_measured(champion, before, photos, alpha),
        challenger=_measured(challenger, after, photos, alpha),
        exact=paired(ours.exact > 0, theirs.exact > 0, photos.groups),
        differences={
            name: Difference(
                value=getattr(after, name) - getattr(before, name),
                interval=None if intervals is None else intervals[name],
            )
            for name in SCORE_NAMES
        },
        slices=slices_of(
            ours.exact - theirs.exact, photos.counts_B, photos.brightness_B, photos.side_B, photos.groups
        ),
        alpha=alpha,
        times_slower=times_slower,
    )


def _folded(probs_BK: Floats, num_counts: int) -> Floats:
    return fold(probs_BK, num_counts - 1) if probs_BK.shape[1] > num_counts else probs_BK


def _measured(asked: Asked, scores: Scores, photos: Photos, alpha: float) -> Measured:
    certificate = asked.certificate
    broken: tuple[str, ...] = ()
    if certificate is not None:
        found = broken_bands(
            certificate, asked.probs_BK, photos.counts_B, photos.groups, alpha=alpha, level=BROKEN_LEVEL
        )
        broken = tuple(band.name for band in found)
    return Measured(
        scores=scores,
        coverage=None if certificate is None else coverage(certificate, asked.probs_BK, photos.counts_B, alpha),
        broken_bands=broken,
        ms_per_photo=asked.ms_per_photo,
    )


def coverage(certificate: Certificate, probs_BK: Floats, counts_B: Ints, alpha: float) -> float:
    """The share of right records that are verified at the bound `alpha`, each by the band that an audit would use."""
    thresholds_B = np.full(len(counts_B), np.inf)
    for count in np.unique(counts_B).tolist():
        band = band_for(certificate, count, alpha)
        if band is not None and band.threshold is not None:
            thresholds_B[counts_B == count] = band.threshold
    capped_B = np.minimum(counts_B, probs_BK.shape[1] - 1)
    return float((probs_BK[np.arange(len(capped_B)), capped_B] >= thresholds_B).mean())
