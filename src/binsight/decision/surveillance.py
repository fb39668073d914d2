"""Whether a certificate still holds, by what people find in verified records that were drawn by lot: pure functions.

*What is certified, and what can be seen.* A certificate bounds a = P(verified | record wrong) by alpha in each band of
recorded counts, for records that are one off. Nobody sees a at work, since nobody knows which records are wrong. What
people who count verified bins see is m = P(record wrong | verified). Bayes' rule ties the two: where a share r of a
band's records is wrong, and c = P(verified | record right),

    m = a·r / v,   v = P(verified) = a·r + c·(1 - r),   so that   a ≤ alpha  ⟹  m ≤ alpha·r / v.

v is seen in every audit: of N records of the band that had a photo M were verified, and r·N = W of them are wrong. So
what is tested is

    H0: m ≤ bound = alpha · W / M       (`implied_bound`)

In terms of the certificate's own coverage c the bound is alpha·r / (alpha·r + c·(1-r)) for photos like those certified on;
W / M also holds where fewer right records are verified.

W is not the same share of every band. Where one bin in fifty is empty and one in ten holds one item, records of 0 are wrong
far more often than others, since most of what is wrongly recorded as 0 holds 1. So W is what the error model makes of
the counts recorded (`expected_wrong`): the same prior that verdicts are made with, with the error rate that the audit was
told.

It rests on that prior: a rejected H0 says that the certificate fails *or* that more records are wrong than was said. Either
way more of the verified are wrong than was promised, and nothing should be verified until somebody has found out which.
Records that are wrong by more than one count as wrong here, though nothing is certified about them; and so does a person
who miscounts, so that a count that differs should be made again by another person before it is given here.

*The test.* Counts keep coming, and an interval for a fixed number of them, looked at after each, is left by chance sooner
or later. So the evidence is a wealth that starts at 1 and bets on each count in turn (Waudby-Smith and Ramdas, Estimating
means of bounded random variables by betting, JRSS B 2024):

    wealth ← wealth · (1 + λ · (wrong - bound)),   λ ≥ 0 chosen before the count is known

While H0 holds it is expected not to grow, whatever the bets and however the bound changes from audit to audit, and by
Ville's inequality it ever reaches 1/δ with probability δ at most, however often somebody looks. For yes-or-no counts a
bet is a likelihood ratio against a rate of `FACTORS` times the bound; a fifth of the wealth is put on each. Half of all
bets on all bands together and half on each by itself: means of such wealths are such wealths (Vovk and Wang, Annals of
Statistics 2021), so that one failing band is found without a price for looking at all.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from binsight.decision.belief import RecordErrors
from binsight.decision.certificate import Band
from binsight.decision.resample import CONFIDENCE, Interval

Floats = npt.NDArray[np.float64]

DELTA = 0.05
"""How often a certificate that holds is suspended by counts at most, in all its life."""

FACTORS = (1.5, 2.0, 3.0, 5.0, 10.0)
"""How many times the bound the rate is bet to be."""

MAX_AGE = timedelta(days=90)

Why = Literal["breached", "aged", "drifted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnCount:
    """A verified record that was drawn by lot and counted: its band, what the certificate implies there, what was found."""

    band: str
    bound: float
    wrong: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveShare:
    """How many of the verified are wrong, as counted: `band` is "all" or one; the interval is for this one look."""

    band: str
    num: int
    num_wrong: int
    bound: float
    interval: Interval

    @property
    def share(self) -> float:
        return self.num_wrong / self.num


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a certificate is suspended, in a word and in a clause for a person."""

    why: Why
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Whether a certificate is in force; `evidence` is the most that the counts ever spoke against it, 1 for nothing."""

    reasons: tuple[Reason, ...]
    evidence: float

    @property
    def is_in_force(self) -> bool:
        return not self.reasons


class Drifting(Protocol):
    """What a comparison of photos came to (drift.py)."""

    @property
    def is_drifting(self) -> bool: ...
    @property
    def sentence(self) -> str: ...


def expected_wrong(recorded: Mapping[int, int], band: Band, errors: RecordErrors) -> float:
    """How many records of the band are wrong by the prior, where so many bins are recorded with each count.

    The counts recorded stand for the true ones, from which they differ by the few that are wrong.
    """
    return math.fsum(
        num * errors.likelihood(said, count)
        for count, num in sorted(recorded.items())
        for said in range(band.low, band.high + 1)
        if said != count
    )


def implied_bound(alpha: float, num_wrong: float, num_verified: int) -> float:
    """The share of verified records of a band that may be wrong while the certificate holds: alpha · W / M, at most 1.

    Raises `ValueError` where nothing was verified.
    """
    if num_verified < 1:
        raise ValueError(f"`num_verified >= 1` must hold, but got num_verified={num_verified}")
    return min(1.0, alpha * num_wrong / num_verified)


def evidence(counts: Sequence[DrawnCount]) -> Floats:
    """The wealth after each count, in the order in which they came. `1 / DELTA` and more, once, breaks the certificate."""
    if not counts:
        return np.ones(0)
    band_N = np.array([one.band for one in counts])
    factors_NF = _factors(
        np.array([one.wrong for one in counts], dtype=np.bool_), np.array([one.bound for one in counts])
    )
    apart = [np.where((band_N == band)[:, None], factors_NF, 1.0) for band in np.unique(band_N)]
    together: Floats = 0.5 * _wealth(factors_NF) + 0.5 * np.mean([_wealth(one) for one in apart], axis=0)
    return together


def _factors(wrong_N: npt.NDArray[np.bool_], bound_N: Floats) -> Floats:
    """What each bet makes of each count: the likelihood ratio of a higher rate against the bound."""
    bound = np.clip(bound_N, 1e-12, 1.0)[:, None]
    other = np.minimum(bound * np.array(FACTORS), (1 + bound) / 2)  # a rate stays below 1
    with np.errstate(divide="ignore", invalid="ignore"):
        factors: Floats = np.where(wrong_N[:, None], other / bound, (1 - other) / (1 - bound))
    return np.where(bound >= 1, 1.0, factors)  # where any share may be wrong, nothing can speak against it


def _wealth(factors_NF: Floats) -> Floats:
    with np.errstate(over="ignore"):
        wealth: Floats = np.exp(np.minimum(np.cumsum(np.log(factors_NF), axis=0), 700)).mean(axis=1)
    return wealth


def live_shares(counts: Sequence[DrawnCount]) -> list[LiveShare]:
    """The share of wrong ones among verified records, of all and by band, each with Clopper and Pearson's 95% interval.

    The interval is for one look at a number of counts that was fixed before; what suspends is `evidence`. Needs SciPy.
    """
    bands = {"all": counts} | {
        band: [one for one in counts if one.band == band] for band in sorted({one.band for one in counts}, key=_low)
    }
    return [_live_share(band, some) for band, some in bands.items() if some]


def _live_share(band: str, counts: Sequence[DrawnCount]) -> LiveShare:
    from binsight.decision.certify import upper_bounds

    num, num_wrong = len(counts), sum(one.wrong for one in counts)
    upper, lower = upper_bounds(np.array([num_wrong, num - num_wrong]), num, delta=(1 - CONFIDENCE) / 2)
    return LiveShare(
        band=band,
        num=num,
        num_wrong=num_wrong,
        bound=float(np.mean([one.bound for one in counts])),
        interval=Interval(low=1 - float(lower), high=float(upper)),
    )


def state_of(
    began: datetime | None,
    counts: Sequence[DrawnCount],
    drift: Drifting | None,
    now: datetime,
    *,
    max_age: timedelta = MAX_AGE,
) -> State:
    """Whether a certificate is in force, and else every reason why not.

    `began` is when its time began to run: when it was made, or, where it does not say that, when it was first used, or when
    somebody put it in force again; None where nothing of it is known, and its age then is nothing to go by. `counts` are
    those since then; `drift` is that of the last audit's photos against those that it was made from, None where they were
    too few to tell.
    """
    wealth = float(evidence(counts).max(initial=1.0))
    reasons = []
    if wealth >= 1 / DELTA:
        reasons.append(Reason(why="breached", sentence=_breached(counts, wealth)))
    if began is not None and now - began > max_age:
        reasons.append(
            Reason(why="aged", sentence=f"it is {(now - began).days} days old, and holds for {max_age.days} days")
        )
    if drift is not None and drift.is_drifting:
        reasons.append(Reason(why="drifted", sentence=drift.sentence))
    return State(reasons=tuple(reasons), evidence=wealth)


def _breached(counts: Sequence[DrawnCount], wealth: float) -> str:
    num_wrong, bound = sum(one.wrong for one in counts), float(np.mean([one.bound for one in counts]))
    return (
        f"of {len(counts):,} verified records that were drawn by lot and counted {num_wrong:,} are wrong "
        f"({num_wrong / len(counts):.1%}), where it allows {bound:.1%}; evidence {min(wealth, 1e6):,.0f}, "
        f"of which {1 / DELTA:.0f} is enough"
    )


def _low(band: str) -> int:
    return int(band.partition("-")[0])
