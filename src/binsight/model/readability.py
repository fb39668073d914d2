"""What the flag `unreadable` is worth on the measured photos: accuracy without the flagged ones, beside other choices.

The more items, the harder to count them: whatever leaves out full bins raises accuracy. So the flag stands beside as
many photos with the largest answers, beside as many drawn at random and beside the flags of the pixels, on all photos
and apart by recorded and by answered count.

Axes: B photos, K counts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt

from binsight.dataset.manifest import Dataset, LabelledPhoto
from binsight.decision.readable import fit_readable_from, is_unreadable
from binsight.decision.resample import (
    CONFIDENCE,
    SEED,
    Interval,
    kept_difference_intervals,
    score_intervals,
)
from binsight.decision.scores import Floats, Ints, PhotoScores, photo_scores
from binsight.imaging import decode_photo, limits_set
from binsight.imaging.quality import LOW_RESOLUTION_BELOW, measure_quality
from binsight.model.predictor import Predictions
from binsight.progress import progress_bar
from binsight.records import UNREADABLE

Mask = npt.NDArray[np.bool_]

MEASURES = ("exact", "within_one", "mae")
SMALL = 5
"""Counts up to this are told apart from larger ones, as in published figures."""
RECORDED_SMALL, ANSWERED_SMALL = f"recorded 1–{SMALL}", f"answered 1–{SMALL}"

NUM_RANDOM = 500
"""Draws of photos at random: enough for the ends of 95% of them to a tenth of a point."""

LARGEST, PIXELS, RANDOM = "largest answers", "pixel flags", "at random"


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """One measure where some photos are left to people: over all photos, those kept and those left out.

    `gain` is kept minus all, `over_largest` kept minus what leaving out the largest answers keeps. Of photos drawn at
    random, `gain_interval` holds 95% of the draws; all other intervals are resampled by group. A figure of no photos
    is None, as is an interval from too few groups.
    """

    everything: float
    kept: float | None
    kept_interval: Interval | None
    left_out: float | None
    gain: float | None
    gain_interval: Interval | None
    over_largest: float | None = None
    over_largest_interval: Interval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Photos `among` some that are left out `by` some rule, and each of `MEASURES` then."""

    among: str
    by: str
    num_photos: int
    num_left_out: int
    measures: Mapping[str, Left]

    def as_json(self) -> dict[str, Any]:
        """Everything, with one object for each measure."""
        fields = {name: getattr(self, name) for name in ("among", "by", "num_photos", "num_left_out")}
        return fields | {"measures": {name: asdict(left) for name, left in self.measures.items()}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Readability:
    """`choices` for the flag and what it is compared with, on all photos first, then on parts of them.

    `readable_from` is the bundle's limit where `from_bundle`; for a run or a bundle without one it is what flags the least
    sure of these photos, as many as an export flags of its own, which needs no counts.
    """

    readable_from: float
    from_bundle: bool
    choices: tuple[Choice, ...]

    def of(self, among: str, by: str) -> Choice | None:
        """The choice by one rule among some photos, where there are any of them."""
        return next((choice for choice in self.choices if (choice.among, choice.by) == (among, by)), None)

    def as_json(self) -> dict[str, Any]:
        """As `metrics.json` holds it."""
        return {
            "readable_from": self.readable_from,
            "from_bundle": self.from_bundle,
            "choices": [choice.as_json() for choice in self.choices],
        }


def readability(predictions: Predictions, dataset: Dataset, readable_from: float | None) -> Readability:
    """Measure the flag on the predicted photos; `readable_from` is the bundle's limit, or None.

    Opens every photo once more, for the flags of its pixels.
    """
    limit = fit_readable_from(predictions.probs_BK) if readable_from is None else readable_from
    flagged_B = is_unreadable(predictions.probs_BK, limit)
    return Readability(
        readable_from=limit,
        from_bundle=readable_from is not None,
        choices=tuple(
            choices(
                predictions.probs_BK,
                predictions.counts_B,
                predictions.groups,
                flagged_B,
                pixel_flagged(dataset, predictions.photos),
            )
        ),
    )


def pixel_flagged(dataset: Dataset, photos: Sequence[LabelledPhoto]) -> Mask:
    """Which photos have a flag of their pixels (blurred, dark, …), (B,)."""
    with progress_bar("photos") as bar:
        return np.array(
            [
                # Small enough to be quick, and no smaller than what the flags look at.
                bool(
                    measure_quality(
                        decode_photo(
                            dataset.read_bytes(photo), limits=limits_set(), enough_side=2 * LOW_RESOLUTION_BELOW
                        )
                    ).flags
                )
                for photo in bar.track(photos, description="measuring quality")
            ],
            dtype=np.bool_,
        )


def choices(
    probs_BK: Floats, counts_B: Ints, groups: Sequence[str], flagged_B: Mask, pixel_flagged_B: Mask
) -> Iterator[Choice]:
    """Every rule among all photos, then among each part that has any and is not all of them."""
    scores = photo_scores(probs_BK, counts_B)
    num_flagged = int(flagged_B.sum())
    largest_B = largest_answers(probs_BK, num_flagged)
    rules = {UNREADABLE: flagged_B, LARGEST: largest_B, PIXELS: pixel_flagged_B}
    random_DB = drawn_masks(len(counts_B), num_flagged)
    for among, part_B in _parts(counts_B, scores.answer).items():
        part, part_groups = _subset(scores, part_B), list(compress(groups, part_B))
        for by, left_out_B in rules.items():
            yield _choice(among, by, part, part_groups, left_out_B[part_B], largest_B[part_B])
        yield _random_choice(among, part, random_DB[:, part_B])


def largest_answers(probs_BK: Floats, num_photos: int) -> Mask:
    """The photos with the largest answers, (B,); of equal answers those with the larger mean count."""
    means_B = probs_BK @ np.arange(probs_BK.shape[1])
    order_B = np.lexsort((-means_B, -probs_BK.argmax(axis=1)))
    chosen_B = np.zeros(len(probs_BK), dtype=np.bool_)
    chosen_B[order_B[:num_photos]] = True
    return chosen_B


def drawn_masks(num_photos: int, num_drawn: int, *, num_draws: int = NUM_RANDOM, seed: int = SEED) -> Mask:
    """As many photos drawn at random without replacement, time and again, (D, B)."""
    rng = np.random.default_rng(seed)
    first_B = np.arange(num_photos) < num_drawn
    return np.stack([rng.permutation(first_B) for _ in range(num_draws)])


def _parts(counts_B: Ints, answers_B: Ints) -> dict[str, Mask]:
    candidates = {
        "all": np.ones(len(counts_B), dtype=np.bool_),
        RECORDED_SMALL: (counts_B >= 1) & (counts_B <= SMALL),
        f"recorded {SMALL + 1} or more": counts_B > SMALL,
        ANSWERED_SMALL: (answers_B >= 1) & (answers_B <= SMALL),
        f"answered {SMALL + 1} or more": answers_B > SMALL,
    }
    return {
        name: part_B for name, part_B in candidates.items() if part_B.any() and (name == "all" or not part_B.all())
    }


def _subset(scores: PhotoScores, chosen_B: Mask) -> PhotoScores:
    return PhotoScores(**{field.name: getattr(scores, field.name)[chosen_B] for field in fields(PhotoScores)})


def _values(scores: PhotoScores, name: str) -> Floats:
    values_B: Floats = getattr(scores, "absolute_error" if name == "mae" else name)
    return values_B


def _mean(values_B: Floats, chosen_B: Mask) -> float | None:
    return float(values_B[chosen_B].mean()) if chosen_B.any() else None


def _interval(intervals: Mapping[str, Interval] | None, name: str) -> Interval | None:
    return None if intervals is None else intervals[name]


def _less(kept: float | None, other: float | None) -> float | None:
    return None if kept is None or other is None else kept - other


def _choice(
    among: str, by: str, scores: PhotoScores, groups: list[str], left_out_B: Mask, largest_B: Mask
) -> Choice:
    kept_B = ~left_out_B
    kept = score_intervals(_subset(scores, kept_B), list(compress(groups, kept_B))) if kept_B.any() else None
    gains = kept_difference_intervals(scores, kept_B, np.ones_like(kept_B), groups)
    over = kept_difference_intervals(scores, kept_B, ~largest_B, groups) if by != LARGEST else None
    measures = {}
    for name in MEASURES:
        values_B = _values(scores, name)
        everything, kept_mean = float(values_B.mean()), _mean(values_B, kept_B)
        measures[name] = Left(
            everything=everything,
            kept=kept_mean,
            kept_interval=_interval(kept, name),
            left_out=_mean(values_B, left_out_B),
            gain=_less(kept_mean, everything),
            gain_interval=_interval(gains, name),
            over_largest=_less(kept_mean, _mean(values_B, ~largest_B)) if by != LARGEST else None,
            over_largest_interval=_interval(over, name),
        )
    return Choice(among=among, by=by, num_photos=len(scores), num_left_out=int(left_out_B.sum()), measures=measures)


def _random_choice(among: str, scores: PhotoScores, left_out_DB: Mask) -> Choice:
    """What a draw leaves on average, which is nothing gained, and between which gains 95% of the draws lie."""
    kept_DB = ~left_out_DB[~left_out_DB.all(axis=1)]  # draws that leave no photo of a small part have no mean
    tail = (1 - CONFIDENCE) / 2
    measures = {}
    for name in MEASURES:
        values_B = _values(scores, name)
        everything = float(values_B.mean())
        gains_D = kept_DB @ values_B / kept_DB.sum(axis=1) - everything
        low, high = np.quantile(gains_D, [tail, 1 - tail]) if len(gains_D) else (0.0, 0.0)
        measures[name] = Left(
            everything=everything,
            kept=everything,
            kept_interval=None,
            left_out=everything,
            gain=0.0,
            gain_interval=Interval(low=float(low), high=float(high)),
        )
    return Choice(
        among=among,
        by=RANDOM,
        num_photos=len(scores),
        num_left_out=round(float(left_out_DB.sum(axis=1).mean())),
        measures=measures,
    )
