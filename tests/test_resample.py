"""Intervals by resampling whole groups: they cover as they should, and widen where groups are alike."""

import numpy as np
import pytest

from binsight.decision.calibrate import temper
from binsight.decision.resample import (
    MIN_GROUPS,
    SCORE_NAMES,
    difference_intervals,
    score_intervals,
    share_interval,
)
from binsight.decision.scores import PhotoScores, photo_scores, score


def world(num_groups: int, size: int, *, alike: float, seed: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Photos in groups: probabilities, counts, groups. A photo shares its group's fate with chance `alike`.

    Every photo is answered 1 with 60%, and right in 60% of all cases.
    """
    rng = np.random.default_rng(seed)
    group_right = np.repeat(rng.uniform(size=num_groups) < 0.6, size)
    own_right = rng.uniform(size=num_groups * size) < 0.6
    right = np.where(rng.uniform(size=num_groups * size) < alike, group_right, own_right)
    probs = np.tile([0.1, 0.6, 0.3], (num_groups * size, 1))
    groups = [f"g{i // size}" for i in range(num_groups * size)]
    return probs, np.where(right, 1, 2), groups


def some_photos(num_photos: int = 400, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    truth = rng.dirichlet(np.full(6, 0.6), size=num_photos)
    counts = (truth.cumsum(axis=1) < rng.uniform(size=(num_photos, 1))).sum(axis=1)
    return truth, np.minimum(counts, 5), [str(i // 3) for i in range(num_photos)]


def test_every_score_has_an_interval_around_it() -> None:
    probs, counts, groups = some_photos()
    intervals = score_intervals(photo_scores(probs, counts), groups)
    assert intervals is not None
    assert set(intervals) == set(SCORE_NAMES)
    found = score(probs, counts)
    for name in set(SCORE_NAMES) - {"ece"}:
        assert intervals[name].low < getattr(found, name) < intervals[name].high
    # Of a calibrated model the ECE found is chance alone, which its interval takes off.
    assert intervals["ece"].low < found.ece / 3


def test_a_draw_of_everything_once_gives_the_scores_themselves() -> None:
    """The sums by group lose nothing: where all groups are the same, every draw is the whole."""
    probs, counts, _ = some_photos(20)
    photos = photo_scores(np.tile(probs, (12, 1)), np.tile(counts, 12))
    intervals = score_intervals(photos, [str(i // 20) for i in range(240)])
    assert intervals is not None
    for name in SCORE_NAMES:
        found = getattr(score(probs, counts), name)
        assert (intervals[name].low, intervals[name].high) == pytest.approx((found, found))


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    covered = 0
    for seed in range(300):
        probs, counts, groups = world(60, 4, alike=0.7, seed=seed)
        intervals = score_intervals(photo_scores(probs, counts), groups, num_draws=400, seed=seed)
        assert intervals is not None
        covered += intervals["exact"].low <= 0.6 <= intervals["exact"].high
    assert 0.90 <= covered / 300 <= 0.98


def test_photos_that_share_a_fate_widen_the_interval() -> None:
    def width(alike: float) -> float:
        probs, counts, groups = world(150, 4, alike=alike, seed=1)
        intervals = score_intervals(photo_scores(probs, counts), groups)
        assert intervals is not None
        return intervals["exact"].high - intervals["exact"].low

    assert width(1.0) > 1.6 * width(0.0)  # √4 = 2 in theory


def test_resampling_photos_one_by_one_would_be_too_narrow() -> None:
    """Why groups matter: of the same photos, taken each for itself, the interval misses far too often."""
    covered = 0
    for seed in range(200):
        probs, counts, _ = world(60, 4, alike=1.0, seed=seed)
        alone = [str(i) for i in range(len(counts))]
        intervals = score_intervals(photo_scores(probs, counts), alone, num_draws=300, seed=seed)
        assert intervals is not None
        covered += intervals["exact"].low <= 0.6 <= intervals["exact"].high
    assert covered / 200 < 0.80


def test_a_model_does_not_differ_from_itself() -> None:
    probs, counts, groups = some_photos()
    photos = photo_scores(probs, counts)
    differences = difference_intervals(photos, photos, groups)
    assert differences is not None
    assert all((interval.low, interval.high) == (0, 0) for interval in differences.values())


def test_a_paired_difference_sees_what_two_intervals_do_not() -> None:
    """A little overconfidence is lost in either model's interval, and plain in the paired difference."""
    probs, counts, groups = some_photos(900)
    honest, sure = photo_scores(probs, counts), photo_scores(temper(probs, 0.7), counts)
    apart = score_intervals(honest, groups), score_intervals(sure, groups)
    paired = difference_intervals(sure, honest, groups)
    assert apart[0] is not None and apart[1] is not None and paired is not None
    assert apart[0]["nll"].high > apart[1]["nll"].low
    assert paired["nll"].low > 0


def test_the_same_seed_gives_the_same_interval() -> None:
    probs, counts, groups = some_photos()
    photos = photo_scores(probs, counts)
    assert score_intervals(photos, groups) == score_intervals(photos, groups)
    assert score_intervals(photos, groups, seed=1) != score_intervals(photos, groups, seed=2)


def test_the_names_and_order_of_groups_do_not_matter() -> None:
    probs, counts, groups = some_photos()
    photos = photo_scores(probs, counts)
    renamed = score_intervals(photos, ["x" + group.zfill(5) for group in groups])
    found = score_intervals(photos, [group.zfill(5) for group in groups])
    assert renamed == found


def test_draws_in_blocks_are_the_draws_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    probs, counts, groups = some_photos()
    photos = photo_scores(probs, counts)
    at_once = score_intervals(photos, groups, num_draws=100)
    monkeypatch.setattr("binsight.decision.resample._BLOCK_CELLS", 1000)
    in_blocks = score_intervals(photos, groups, num_draws=100)
    assert at_once is not None and in_blocks is not None
    for name, interval in at_once.items():
        assert (in_blocks[name].low, in_blocks[name].high) == pytest.approx((interval.low, interval.high))


def test_a_handful_of_groups_gives_no_interval() -> None:
    probs, counts, _ = some_photos(90)
    photos = photo_scores(probs, counts)
    few = [str(i % (MIN_GROUPS - 1)) for i in range(90)]
    assert score_intervals(photos, few) is None
    assert difference_intervals(photos, photos, few) is None
    assert score_intervals(photos, [str(i % MIN_GROUPS) for i in range(90)]) is not None


def test_groups_that_do_not_match_the_photos_are_refused() -> None:
    photos: PhotoScores = photo_scores([[0.5, 0.5]], [0])
    with pytest.raises(ValueError, match=r"one group per photo \(1\), but got 2"):
        score_intervals(photos, ["a", "b"])
    with pytest.raises(ValueError, match="the same photos, but got 1 and 2"):
        difference_intervals(photos, photo_scores([[0.5, 0.5]] * 2, [0, 1]), ["a"])


def test_a_share_has_the_interval_of_the_score_that_it_is() -> None:
    probs, counts, groups = some_photos()
    photos = photo_scores(probs, counts)
    intervals = score_intervals(photos, groups)
    assert intervals is not None
    assert share_interval(photos.exact == 1, groups) == intervals["exact"]


def test_a_share_of_all_or_none_is_bounded_by_the_number_of_chains() -> None:
    """59 chains of two: what is missed by half of 5% at one end, exactly."""
    groups = [str(i // 2) for i in range(118)]
    end = 0.025 ** (1 / 59)
    none, every = (share_interval(np.full(118, hit), groups) for hit in (False, True))
    assert none is not None and every is not None
    assert (none.low, none.high) == pytest.approx((0, 1 - end))
    assert (every.low, every.high) == pytest.approx((end, 1))


def test_a_share_of_too_few_chains_has_no_interval_and_takes_one_group_per_photo() -> None:
    assert share_interval(np.array([True] * 9), [str(i) for i in range(9)]) is None
    assert share_interval(np.array([], dtype=bool), []) is None
    with pytest.raises(ValueError, match=r"one group per photo \(2\), but got 1"):
        share_interval(np.array([True, False]), ["a"])
