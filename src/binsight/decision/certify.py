"""Which records could be verified from their photos, at a bound on how often a wrong one is: pure functions.

```
counts ─▶ wrong records ─▶ one a chain ─▶ lowest threshold that the bound allows ─▶ share of right records above it
```
*Score.* A record q is judged by p(q | photo), from the photo alone; it is verified where that reaches a threshold.

*Error model.* The record is off by exactly one, either way equally likely, and never below 0: every photo of count c
makes the wrong records c-1 and c+1, each of the same weight, and one of count 0 only the record 1. A band's wrong
records are those whose recorded number lies in it, whatever the count is, because that number is all that is known
when a record is to be verified. Records of the last count ("K-1 or more") are left out: the estimate does not tell
them apart. Greater errors are easier to see as a rule, but nothing is certified about them.

*Threshold.* Learn-then-Test (Angelopoulos et al., arXiv:2110.01052) by fixed-sequence testing: the thresholds of a
grid that was fixed beforehand are tested from strict to lenient, "more than alpha of the wrong records are accepted"
is rejected by the exact binomial p-value, and the first that is not rejected ends it. The last rejected one is taken.
With probability 1 - delta or more its true rate is at most alpha, without any correction for the number of thresholds.
The p-value is at most delta exactly where the bound of Clopper and Pearson (Biometrika 1934) is at most alpha.

*Independence.* Photos of a chain resemble one another, so that their wrong records pass or fail together, and a
binomial over all of them would take a few chains for many trials. So one wrong record a chain and band is drawn, by a
seed and never by its score. What is bounded is thus the rate for a chain, and then one of its records, drawn at
random: as in an audit, where a bin is photographed once.

*Assumption.* Later photos are exchangeable with these: the same sort of bins, cameras and shares of counts, counts as
true as these, and records that err without regard to how the bin looks. Where that ceases, the certificate does.
A count that is itself off by one makes the figures worse than they are. P(verified | wrong) is bounded, which is not
P(wrong | verified): that depends on how many records are wrong.

Axes: B photos, K counts, W wrong records, G chains, T thresholds.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binsight.decision.certificate import Band, BandCertificate, Certificate, binomial_tail
from binsight.decision.resample import SEED, Interval, share_interval
from binsight.decision.scores import Floats, Ints, checked_counts, checked_probs
from binsight.errors import MissingExtra

ALPHAS = (0.05, 0.01)
"""At most one in twenty wrong records verified, and at most one in a hundred where the photos are enough."""

DELTA = 0.05

BANDS = (Band(0, 0), Band(1, 1), Band(2, 2), Band(0, 2), Band(3, 5))
"""Small counts apart, because sureness differs most among them; then `0-2` for those with too few photos for that.
`default_bands` adds all counts from 6 on."""

GRID_T: Floats = np.concatenate([np.arange(9999, 9900, -1) / 10_000, np.arange(990, 0, -1) / 1000])
"""Thresholds from strict to lenient, fixed before any photo is seen; finer where an empty bin is told from one item.
A fine grid costs nothing, as fixed-sequence testing spends delta once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongRecords:
    """Records that the error model makes of photos: each one's photo, by its place, and the number recorded."""

    photo_W: Ints
    recorded_W: Ints

    def __len__(self) -> int:
        return len(self.photo_W)


def default_bands(num_counts: int) -> tuple[Band, ...]:
    """`BANDS` and all counts from 6 on, as far as they lie below the last count, which stands for many."""
    most = num_counts - 2
    bands = (Band(low, min(high, most)) for low, high in (*BANDS, Band(6, most)) if low <= most)
    return tuple(dict.fromkeys(bands))


def wrong_records(counts_B: Ints, num_counts: int) -> WrongRecords:
    """All records that are off by one, from 0 to `num_counts` - 2."""
    photo_W = np.tile(np.arange(len(counts_B)), 2)
    recorded_W = np.concatenate([counts_B - 1, counts_B + 1])
    kept_W = (recorded_W >= 0) & (recorded_W <= num_counts - 2)
    return WrongRecords(photo_W=photo_W[kept_W], recorded_W=recorded_W[kept_W])


def one_a_chain(
    probs_BK: Floats, counts_B: Ints, groups: Sequence[str], band: Band, *, seed: int = SEED
) -> WrongRecords:
    """One wrong record of the band for every chain that has any, each of the chain's equally likely.

    Other bands and the order of the photos change nothing.
    """
    wrong = wrong_records(counts_B, probs_BK.shape[1])
    group_W = np.asarray(groups, dtype=np.str_)[wrong.photo_W]
    score_W = probs_BK[wrong.photo_W, wrong.recorded_W]
    order_W = np.lexsort((score_W, wrong.recorded_W, group_W))
    recorded_W = wrong.recorded_W[order_W]
    order_W = order_W[(recorded_W >= band.low) & (recorded_W <= band.high)]
    _, first_G, size_G = np.unique(group_W[order_W], return_index=True, return_counts=True)
    # Where a chain's records stand in its row depends on scores; which place is drawn does not.
    place_G = first_G + np.random.default_rng([seed, *band]).integers(size_G)
    return WrongRecords(photo_W=wrong.photo_W[order_W[place_G]], recorded_W=wrong.recorded_W[order_W[place_G]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """The lowest threshold that passed, and what it accepts of the wrong records; None: not even the strictest."""

    threshold: float | None
    num_accepted: int
    upper: float


def learn_threshold(score_W: Floats, *, alpha: float, delta: float = DELTA) -> Learned:
    """The lowest threshold of `GRID_T` at which at most `alpha` of wrong records pass, with confidence 1 - delta.

    The scores must be of independent wrong records.
    """
    accepted_T = len(score_W) - np.searchsorted(np.sort(score_W), GRID_T, side="left")
    upper_T = upper_bounds(accepted_T, len(score_W), delta=delta)
    num_passed = int(np.cumprod(upper_T <= alpha).sum())  # in their fixed order, up to the first that fails
    last = max(num_passed - 1, 0)
    return Learned(
        threshold=float(GRID_T[last]) if num_passed else None,
        num_accepted=int(accepted_T[last]),
        upper=float(upper_T[last]),
    )


def upper_bounds(accepted_T: Ints, num_cases: int, *, delta: float) -> Floats:
    """Clopper-Pearson upper bounds on rates of which so many of `num_cases` were seen, each with confidence 1 - delta.

    Raises `MissingExtra` without SciPy.
    """
    try:
        from scipy.special import betaincinv
    except ImportError:
        raise MissingExtra("certifying", extra="data") from None
    bounds_T: Floats = np.ones(len(accepted_T))  # what all of them, or none of none, bound
    few_T = accepted_T < num_cases
    bounds_T[few_T] = betaincinv(accepted_T[few_T] + 1.0, num_cases - accepted_T[few_T], 1 - delta)
    return bounds_T


def cases_needed(alpha: float, *, delta: float = DELTA, num_accepted: int = 0) -> int:
    """How many independent wrong records certify `alpha` if so many of them pass: 59 for 5% and none, 299 for 1%."""

    def certifies(num_cases: int) -> bool:
        return binomial_tail(num_accepted, num_cases, alpha) <= delta

    most = num_accepted + 1
    while not certifies(most):
        most *= 2
    return bisect_left(range(most), True, key=certifies)


def certify(
    probs_BK: npt.ArrayLike,
    counts_B: npt.ArrayLike,
    groups: Sequence[str],
    prior_K: Floats,
    *,
    bands: Sequence[Band] | None = None,
    alphas: Sequence[float] = ALPHAS,
    delta: float = DELTA,
    seed: int = SEED,
    dataset_sha256: str = "",
    split: str = "",
    note: str = "",
) -> Certificate:
    """Certify every band at every `alpha`, each by itself with confidence 1 - `delta`.

    `prior_K` is the distribution that the blind score p(q) is taken from. It goes through the very same procedure,
    on the same wrong records, because figures that look high can be had without looking: verifying small numbers
    alone is "95% right" if wrong ones were drawn uniformly. Raises `ValueError` where the arrays do not fit together.
    """
    probs = checked_probs(probs_BK)
    num_photos, num_counts = probs.shape
    counts = checked_counts(counts_B, num_photos=num_photos)
    if len(groups) != num_photos or prior_K.shape != (num_counts,):
        raise ValueError(
            f"one group per photo ({num_photos}) and a prior of shape ({num_counts},) are needed, but got "
            f"{len(groups)} and {prior_K.shape}"
        )
    blind = np.broadcast_to(prior_K, probs.shape)
    certificates = []
    for band in default_bands(num_counts) if bands is None else bands:
        drawn = one_a_chain(probs, counts, groups, band, seed=seed)
        for alpha in alphas:
            found, unseeing = (
                learn_threshold(scores[drawn.photo_W, drawn.recorded_W], alpha=alpha, delta=delta)
                for scores in (probs, blind)
            )
            coverage, interval = coverage_of(found.threshold, probs, counts, groups, band)
            certificates.append(
                BandCertificate(
                    low=band.low,
                    high=band.high,
                    alpha=alpha,
                    threshold=found.threshold,
                    num_wrong=len(drawn),
                    num_accepted=found.num_accepted,
                    upper=found.upper,
                    num_right=int(in_band(counts, band).sum()),
                    coverage=coverage,
                    coverage_interval=interval,
                    blind_coverage=coverage_of(unseeing.threshold, blind, counts, groups, band)[0],
                    reason=_reason(found, len(drawn), alpha=alpha, delta=delta),
                )
            )
    return Certificate(
        num_counts=num_counts,
        delta=delta,
        seed=seed,
        dataset_sha256=dataset_sha256,
        split=split,
        num_photos=num_photos,
        num_groups=len(set(groups)),
        note=note,
        bands=tuple(certificates),
    )


def in_band(counts_B: Ints, band: Band) -> npt.NDArray[np.bool_]:
    """Which photos have a count in the band: their right records are the band's."""
    return (counts_B >= band.low) & (counts_B <= band.high)


def coverage_of(
    threshold: float | None, score_BK: Floats, counts_B: Ints, groups: Sequence[str], band: Band
) -> tuple[float, Interval | None]:
    """The share of the band's right records that reach the threshold, with a 95% interval resampled by chain.

    0 without an interval where there is no threshold or no right record.
    """
    right = np.flatnonzero(in_band(counts_B, band))
    if threshold is None or not len(right):
        return 0.0, None
    hits = score_BK[right, counts_B[right]] >= threshold
    return float(hits.mean()), share_interval(hits, [groups[i] for i in right.tolist()])


def _reason(found: Learned, num_wrong: int, *, alpha: float, delta: float) -> str | None:
    """Why there is no threshold, and how many wrong records would do."""
    if found.threshold is not None:
        return None
    least = cases_needed(alpha, delta=delta)
    if num_wrong < least:
        return f"needs at least {least} wrong-record cases, one a chain of bins; has {num_wrong}"
    needed = cases_needed(alpha, delta=delta, num_accepted=found.num_accepted)
    return (
        f"{found.num_accepted} of {num_wrong} wrong-record cases pass even the strictest threshold, {GRID_T[0]:g}; "
        f"with so many it needs at least {needed} cases"
    )
