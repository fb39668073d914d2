"""What auditing would have been worth: records and verdicts against what people counted. Pure functions.

```
bins with verdict and count ─┬─▶ verified: how many wrong, units missed; by band against what the certificate claims
                             ├─▶ suspects: precision, recall
                             └─▶ the same labour in our order, at random, by ABC, and everything (labour.py)
```
What is known is known of the counted bins alone. Where all records were counted, that is everything. Where some were, each
figure says something of all only as far as those counted are like the rest, and `notes` says which figure suffers how.

Intervals are 95%: by chain of like bins where chains are named, else by bin (measures.py).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from binsight.audit.backtest_labour import Effort, labour_of
from binsight.audit.lines import SUSPECT, VERIFIED, WORDS
from binsight.audit.measures import CountedBin, Measure, record_accuracy, share, suspects
from binsight.audit.places import Place
from binsight.audit.plan import Labour


class KnownBin(NamedTuple):
    """A record with its verdict, and what people counted; `band` is the certificate's, "" where nothing is verified.

    `gain` is what a count was expected to correct, by the photo.
    """

    site: str
    bin_id: str
    place: Place
    expected: int
    counted: int
    verdict: str
    band: str
    gain: float
    item_class: str | None
    unit_value: float | None
    chain: str | None

    @property
    def off(self) -> int:
        return abs(self.counted - self.expected)


@dataclass(frozen=True, slots=True, kw_only=True)
class BandOutcome:
    """One band: what the certificate claims of records that are one off, and what was seen of them.

    `allowed` is the share of the verified that may be wrong by that claim, with the error rate that the counts show.
    """

    band: str
    num: int
    num_wrong: int
    verified: int
    verified_wrong: int
    units_missed: int
    wrong_of_verified: Measure
    verified_of_one_off: Measure
    claimed: float
    allowed: float | None

    @property
    def agrees(self) -> bool | None:
        """Whether what was seen can be what is claimed; None where no record was one off, or too few to say."""
        interval = self.verified_of_one_off.interval
        return None if interval is None else interval.low <= self.claimed


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How many records with one verdict there are, and how many of them were counted."""

    verdict: str
    num: int
    num_counted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """What came of it all. `missed` is the units by which verified records are wrong: nobody would have counted them."""

    coverage: tuple[Coverage, ...]
    accuracy: tuple[Measure, ...]
    wrong_of_verified: Measure
    num_verified: int
    missed: int
    units: int
    precision: Measure
    recall: Measure
    bands: tuple[BandOutcome, ...]
    efforts: tuple[Effort, ...]
    notes: tuple[str, ...]

    @property
    def num_records(self) -> int:
        return sum(one.num for one in self.coverage)

    @property
    def num_counted(self) -> int:
        return sum(one.num_counted for one in self.coverage)


def backtest(
    bins: Sequence[KnownBin],
    verdicts: Counter[str],
    *,
    alpha: float,
    labour: Labour,
    budget: float | None,
    error_rate: float,
) -> Backtest:
    """Judge the verdicts of the counted bins. `verdicts` are those of all records; `budget` is in seconds, None for a tenth
    of what counting all of these bins takes; `error_rate` is the share of wrong records that the audit took for granted."""
    wrong = np.array([one.off > 0 for one in bins], dtype=np.bool_)
    verified = np.array([one.verdict == VERIFIED for one in bins], dtype=np.bool_)
    chains = chains_of(bins)
    counted = Counter(one.verdict for one in bins)
    precision, recall = suspects(np.array([one.verdict == SUSPECT for one in bins], dtype=np.bool_), wrong, chains)
    coverage = tuple(Coverage(verdict=word, num=verdicts[word], num_counted=counted[word]) for word in WORDS)
    return Backtest(
        coverage=coverage,
        accuracy=tuple(record_accuracy([_counted(one) for one in bins])),
        wrong_of_verified=share(
            "wrong among verified", wrong[verified], None if chains is None else _some(chains, verified)
        ),
        num_verified=int(verified.sum()),
        missed=sum(one.off for one in bins if one.verdict == VERIFIED),
        units=sum(one.off for one in bins),
        precision=precision,
        recall=recall,
        bands=tuple(_bands(bins, alpha)),
        efforts=tuple(labour_of(bins, labour, budget)),
        notes=tuple(_notes(coverage, float(wrong.mean()) if len(bins) else 0.0, error_rate)),
    )


def chains_of(bins: Sequence[KnownBin]) -> list[str] | None:
    """The chain of each bin; None unless all are known."""
    chains = [one.chain for one in bins if one.chain is not None]
    return chains if bins and len(chains) == len(bins) else None


def _counted(one: KnownBin) -> CountedBin:
    return CountedBin(expected=one.expected, counted=one.counted, unit_value=one.unit_value, chain=one.chain)


def _some(chains: Sequence[str], chosen: np.ndarray) -> list[str]:
    return [chains[i] for i in np.flatnonzero(chosen).tolist()]


def _bands(bins: Sequence[KnownBin], alpha: float) -> list[BandOutcome]:
    names = sorted({one.band for one in bins if one.band}, key=lambda name: int(name.partition("-")[0]))
    return [_band(name, [one for one in bins if one.band == name], alpha) for name in names]


def _band(name: str, bins: Sequence[KnownBin], alpha: float) -> BandOutcome:
    verified = [one for one in bins if one.verdict == VERIFIED]
    one_off = [one for one in bins if one.off == 1]
    wrong_rate = sum(one.off > 0 for one in bins) / len(bins)
    return BandOutcome(
        band=name,
        num=len(bins),
        num_wrong=sum(one.off > 0 for one in bins),
        verified=len(verified),
        verified_wrong=sum(one.off > 0 for one in verified),
        units_missed=sum(one.off for one in verified),
        wrong_of_verified=share(
            "wrong among verified", np.array([one.off > 0 for one in verified], dtype=np.bool_), chains_of(verified)
        ),
        verified_of_one_off=share(
            "verified among one off",
            np.array([one.verdict == VERIFIED for one in one_off], dtype=np.bool_),
            chains_of(one_off),
        ),
        claimed=alpha,
        allowed=min(1.0, alpha * wrong_rate * len(bins) / len(verified)) if verified else None,
    )


def _notes(coverage: Sequence[Coverage], wrong_rate: float, error_rate: float) -> list[str]:
    """Which figures depend on which bins were counted, and how."""
    num, counted = sum(one.num for one in coverage), sum(one.num_counted for one in coverage)
    notes = []
    if counted < num:
        notes.append(
            f"{counted:,} of {num:,} records were counted, and every figure is of these alone. If they were drawn at "
            "random, it holds for all within its interval. If they were chosen, it does not:"
        )
        shares = {one.verdict: one.num_counted / one.num for one in coverage if one.num}
        if SUSPECT in shares and shares[SUSPECT] > 1.2 * counted / num:
            notes.append("suspects were counted more often than others, so that the recall of suspects is too high")
        notes.append(
            "counts of bins that somebody already doubted find more wrong records than there are: accuracy is then too "
            "low, and wrong ones among the verified and units per 100 counts are too high"
        )
        notes.append(
            "the orders are compared on the counted bins as if there were no others: hours are of these bins"
        )
        if not shares.get(VERIFIED, 1):
            notes.append("no verified bin was counted, so that nothing is known of what would have been missed")
    if wrong_rate > 2 * error_rate or wrong_rate < error_rate / 2:
        notes.append(
            f"{wrong_rate:.1%} of the counted records are wrong, where the audit took {error_rate:.1%} for granted; try "
            f"--error-rate {wrong_rate:.3f}"
        )
    return notes
