"""The flag `unreadable`: its limit, where it is set, and what an evaluation says that it is worth."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from binsight.cli import cli
from binsight.counting import Counter, default_bundle
from binsight.counting.bundle import SPEC_NAME
from binsight.dataset.manifest import Dataset, LabelledPhoto
from binsight.decision.readable import fit_readable_from, is_unreadable, unreadable_figures, within_one_probs
from binsight.decision.resample import kept_difference_intervals, score_intervals
from binsight.decision.scores import photo_scores
from binsight.imaging.drawn import drawn_photo
from binsight.model.evaluate import Evaluation, evaluate, select
from binsight.model.evaluation_files import as_json, write_evaluation
from binsight.model.predictor import RunPredictor
from binsight.model.readability import (
    LARGEST,
    PIXELS,
    RANDOM,
    Readability,
    choices,
    drawn_masks,
    largest_answers,
    pixel_flagged,
)
from binsight.model.readability_page import summary
from binsight.records import UNREADABLE, CountEstimate

from .evaluate_support import Rule, around, dataset_of, seeing

# The limit


def test_the_probability_of_right_or_one_off_is_that_of_the_answer_and_its_neighbours() -> None:
    probs = [[0.5, 0.3, 0.1, 0.1], [0.1, 0.2, 0.4, 0.3], [0.1, 0.1, 0.2, 0.6]]
    assert within_one_probs(probs) == pytest.approx([0.8, 0.9, 0.8])


@given(st.lists(st.lists(st.floats(0.001, 1), min_size=5, max_size=5), min_size=1, max_size=8))
def test_an_estimate_and_the_decision_room_mean_the_same_by_right_or_one_off(weights: list[list[float]]) -> None:
    probs = np.array(weights) / np.sum(weights, axis=1, keepdims=True)
    of_estimates = [CountEstimate(photo="", probs=tuple(row)).within_one for row in probs.tolist()]
    assert within_one_probs(probs) == pytest.approx(of_estimates)


@pytest.mark.parametrize(("share", "flagged"), [(0.0, 0), (0.1, 2), (0.2, 4), (0.5, 10)])
def test_the_limit_flags_the_least_sure_share(share: float, flagged: int) -> None:
    probs = np.array([around(5, spread=0.3 + 0.1 * i) for i in range(20)])
    found = is_unreadable(probs, fit_readable_from(probs, share))
    assert np.flatnonzero(found).tolist() == list(range(20 - flagged, 20))


def test_equal_photos_are_flagged_together_or_not_at_all() -> None:
    probs = np.array([around(5)] * 10)
    assert not is_unreadable(probs, fit_readable_from(probs, 0.5)).any()


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="0 <= share < 1"):
        fit_readable_from([[0.5, 0.5]], share)


def test_figures_of_no_photos_are_none() -> None:
    probs, counts = np.array([around(3), around(4)]), np.array([3, 9])
    assert unreadable_figures(probs, counts, 0.01) == {
        "share": 0.0,
        "within_one_flagged": None,
        "mean_count_flagged": None,
        "within_one_others": 0.5,
        "mean_count_others": 6.0,
    }


# Counting


@pytest.fixture
def with_limit(tmp_path: Path) -> Callable[[float | None], Path]:
    """The default bundle with another limit, or without one as a bundle that was made before there were any."""

    def make(readable_from: float | None) -> Path:
        folder = Path(shutil.copytree(default_bundle(), tmp_path / f"bundle-{readable_from}"))
        spec = json.loads((folder / SPEC_NAME).read_text())
        spec.pop("readable_from", None)
        if readable_from is not None:
            spec["readable_from"] = readable_from
        (folder / SPEC_NAME).write_text(json.dumps(spec))
        return folder

    return make


def test_counting_flags_the_photos_below_the_bundles_limit_and_no_others(
    with_limit: Callable[[float | None], Path],
) -> None:
    photos = [(f"{count}.jpg", drawn_photo(count, seed=count)) for count in (0, 2, 4, 7, 12)]
    plain = list(Counter.load(with_limit(None)).count(photos))
    assert all(isinstance(estimate, CountEstimate) and UNREADABLE not in estimate.flags for estimate in plain)
    sureness = sorted(estimate.within_one for estimate in plain if isinstance(estimate, CountEstimate))
    limit = (sureness[1] + sureness[2]) / 2
    flagged = list(Counter.load(with_limit(limit)).count(photos))
    assert flagged == [
        replace(estimate, flags=(*estimate.flags, UNREADABLE)) if estimate.within_one < limit else estimate
        for estimate in plain
        if isinstance(estimate, CountEstimate)
    ]
    assert sum(UNREADABLE in estimate.flags for estimate in flagged if isinstance(estimate, CountEstimate)) == 2


def test_the_flag_is_in_the_table_and_in_the_json(
    with_limit: Callable[[float | None], Path], tmp_path: Path
) -> None:
    (tmp_path / "9.jpg").write_bytes(drawn_photo(9, seed=9))
    for limit, shown in ((1.0, True), (1e-6, False)):
        arguments = ["count", str(tmp_path / "9.jpg"), "--model", str(with_limit(limit))]
        line = json.loads(CliRunner().invoke(cli, [*arguments, "--json"]).stdout)
        assert ("unreadable" in line["flags"]) is shown
        assert ("[unreadable]" in CliRunner().invoke(cli, arguments).stdout) is shown


# Intervals


def test_keeping_all_photos_gains_nothing_and_a_part_gains_what_its_own_figures_say() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 9, 200)
    scores = photo_scores(
        np.array([around(max(0, c + e)) for c, e in zip(counts, rng.normal(0, 1.5, 200), strict=True)]), counts
    )
    groups = [f"g{i // 2}" for i in range(200)]
    every = np.ones(200, dtype=bool)
    nothing = kept_difference_intervals(scores, every, every, groups)
    assert nothing is not None and (nothing["exact"].low, nothing["exact"].high) == (0, 0)
    right = scores.exact == 1
    gained = kept_difference_intervals(scores, right, every, groups)
    whole = score_intervals(scores, groups)
    assert gained is not None and whole is not None
    # The kept are all right, so the gain is one minus the whole's share, draw by draw.
    assert gained["exact"].low == pytest.approx(1 - whole["exact"].high)
    assert gained["exact"].high == pytest.approx(1 - whole["exact"].low)


def test_a_part_in_too_few_groups_has_no_interval() -> None:
    counts = np.full(40, 3)
    scores = photo_scores(np.array([around(3)] * 40), counts)
    few, every = np.arange(40) < 8, np.ones(40, dtype=bool)
    groups = [str(i) for i in range(40)]
    assert kept_difference_intervals(scores, few, every, groups) is None
    assert kept_difference_intervals(scores, ~few, every, groups) is not None
    with pytest.raises(ValueError, match="parts must say yes or no to 40 photos"):
        kept_difference_intervals(scores, few[:5], every, groups)


# Evaluating


def knowing(photo: LabelledPhoto) -> np.ndarray:
    """Every fourth photo is seen three items off and unsurely, the others rightly."""
    wrong = int(photo.photo) % 4 == 0
    return around(photo.count + 3 * wrong, spread=3.0 if wrong else 0.5)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """160 test photos of 1 … 8 items in chains of two."""
    rng = np.random.default_rng(3)
    labels = [("test", int(rng.integers(1, 9)), f"g{i // 2}") for i in range(160)]
    return dataset_of(tmp_path_factory.mktemp("small"), labels)


def evaluated(dataset: Dataset, model: Rule, readable_from: float | None = None) -> Evaluation:
    return evaluate("x", model, dataset, select(dataset, "test", {}), readable_from=readable_from)


def text_of(found: Readability) -> str:
    return " ".join(summary(found))


def test_a_flag_that_knows_its_errors_raises_accuracy_and_evaluate_says_so(small: Dataset) -> None:
    found = evaluated(small, Rule(knowing), readable_from=0.6).readability
    flag = found.of("all", UNREADABLE)
    assert flag is not None and (flag.num_photos, flag.num_left_out) == (160, 40)
    exact = flag.measures["exact"]
    assert (exact.everything, exact.kept, exact.left_out, exact.gain) == (0.75, 1.0, 0.0, 0.25)
    assert exact.gain_interval is not None and 0 < exact.gain_interval.low < 0.25 < exact.gain_interval.high
    assert exact.over_largest_interval is not None and exact.over_largest_interval.low > 0
    assert "40 of 160 photos, with less than 60.0% for right or one off (the bundle's limit)" in text_of(found)
    assert "The flag raises the share exactly right: 100.0% of the photos without it, 75.0% of all" in text_of(
        found
    )
    assert "the flag is better than that beyond chance" in text_of(found)


def test_a_flag_at_random_is_not_said_to_raise_anything(small: Dataset) -> None:
    def careless(photo: LabelledPhoto) -> np.ndarray:
        draws = np.random.default_rng(int(photo.photo)).random(2)
        return around(photo.count + 3 * (draws[0] < 0.3), spread=3.0 if draws[1] < 0.2 else 0.5)

    text = text_of(evaluated(small, Rule(careless), readable_from=0.6).readability)
    assert "The flag is not shown to raise the share exactly right" in text
    assert "The flag raises" not in text and "better than that" not in text.replace(
        "not shown to be better than", ""
    )


def test_a_flag_on_the_right_answers_is_said_to_lower_accuracy(small: Dataset) -> None:
    def timid(photo: LabelledPhoto) -> np.ndarray:
        wrong = int(photo.photo) % 4 == 0
        return around(photo.count + 3 * wrong, spread=0.5 if wrong or int(photo.photo) % 4 == 1 else 3.0)

    assert "The flag lowers the share exactly right" in text_of(evaluated(small, Rule(timid), 0.6).readability)


def test_a_flag_that_only_says_many_items_is_no_better_than_the_largest_answers(small: Dataset) -> None:
    def crowded(photo: LabelledPhoto) -> np.ndarray:
        full = photo.count > 5
        return around(photo.count + 3 * full, spread=3.0 if full else 0.5)

    found = evaluated(small, Rule(crowded), readable_from=0.6).readability
    by_flag, by_answer = found.of("all", UNREADABLE), found.of("all", LARGEST)
    assert by_flag is not None and by_answer is not None
    assert by_flag.measures["exact"].gain == by_answer.measures["exact"].gain
    assert "The flag raises the share exactly right" in text_of(found)
    assert "the flag is not shown to be better than that" in text_of(found)
    small_counts = found.of("recorded 1–5", UNREADABLE)
    assert small_counts is not None and small_counts.num_left_out == 0


class OfARun(RunPredictor):
    """A run whose answers are by rule."""

    def __init__(self) -> None:
        pass

    def predict(self, dataset: Dataset, photos: Sequence[LabelledPhoto]) -> np.ndarray:
        return seeing(1.0).predict(dataset, photos)


def test_a_runs_answers_are_said_not_to_be_tempered_yet(
    small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit, the thresholds and the reliability of its bundle are those of tempered answers."""
    for model, is_told in ((OfARun(), True), (seeing(1.0), False)):
        monkeypatch.setattr("binsight.model.predictor.predictor", lambda folder, model=model: model)
        out = tmp_path / f"told-{is_told}"
        done = CliRunner().invoke(cli, ["evaluate", "some/model", str(small.folder), "--out", str(out)])
        assert done.exit_code == 0, done.output
        said, page = "A run's answers are not tempered yet", unescape((out / "index.html").read_text())
        assert (said in done.output, said in page) == (is_told, is_told)
        assert ("as a run that is not tempered yet." in page) == is_told
        assert json.loads((out / "metrics.json").read_text())["tempered"] == (not is_told)


def test_a_model_without_a_limit_is_measured_with_one_that_flags_as_many_as_an_export_would(small: Dataset) -> None:
    evaluation = evaluated(small, seeing(1.0))
    found = evaluation.readability
    assert not found.from_bundle
    assert found.readable_from == fit_readable_from(evaluation.predictions.probs_BK)
    assert "the model has none; this one leaves the least sure 20% here" in text_of(found)


def test_too_few_chains_and_no_flagged_photos_are_said(tmp_path: Path, small: Dataset) -> None:
    few = dataset_of(tmp_path, [("test", 1 + i % 8, f"g{i % 4}") for i in range(40)])
    assert "Too few chains of bins to say" in text_of(evaluated(few, Rule(knowing), 0.6).readability)
    none = text_of(evaluated(small, Rule(knowing), readable_from=0.001).readability)
    assert none.startswith("Flag unreadable: 0 of 160 photos") and "raise" not in none


def test_photos_drawn_at_random_gain_nothing_on_average() -> None:
    probs = np.array([knowing_row(i) for i in range(100)])
    counts, flagged = np.full(100, 4), np.arange(100) % 4 == 0
    found = list(choices(probs, counts, [str(i) for i in range(100)], flagged, np.zeros(100, dtype=bool)))
    (drawn,) = (choice for choice in found if choice.by == RANDOM and choice.among == "all")
    exact = drawn.measures["exact"]
    assert drawn.num_left_out == 25 and (exact.kept, exact.gain) == (0.75, 0.0)
    assert exact.gain_interval is not None and exact.gain_interval.low < 0 < exact.gain_interval.high < 0.15
    (pixels,) = (choice for choice in found if choice.by == PIXELS and choice.among == "all")
    assert pixels.num_left_out == 0 and pixels.measures["exact"].gain == 0


def knowing_row(i: int) -> np.ndarray:
    return around(4 + 3 * (i % 4 == 0), spread=3.0 if i % 4 == 0 else 0.5)


def test_every_draw_leaves_out_as_many_and_not_always_the_same() -> None:
    masks = drawn_masks(30, 6, num_draws=50)
    assert (masks.sum(axis=1) == 6).all()
    assert len({mask.tobytes() for mask in masks}) == 50


def test_the_largest_answers_are_left_out_first_and_of_equals_the_larger_means() -> None:
    probs = np.array([around(3, num_counts=9), around(7, num_counts=9), around(3.3, num_counts=9)])
    assert largest_answers(probs, 1).tolist() == [False, True, False]
    assert largest_answers(probs, 2).tolist() == [False, True, True]


def test_pixel_flags_are_those_of_the_photos(small: Dataset) -> None:
    # Grey squares of 48 × 32 pixels: blurred, without contrast, and small.
    assert pixel_flagged(small, small.photos[:3]).tolist() == [True, True, True]


def test_the_report_and_the_metrics_hold_the_same_figures(small: Dataset, tmp_path: Path) -> None:
    evaluation = evaluated(small, Rule(knowing), readable_from=0.6)
    page = write_evaluation(evaluation, tmp_path / "report")
    html = page.read_text()
    assert "Photos left to people" in html and "The flag raises the share exactly right" in html
    table = (page.parent / "readability.csv").read_text(encoding="utf-8").splitlines()
    assert table[1].startswith("exact,all,unreadable,160,40,75.0%,100.0%")
    metrics = json.loads((page.parent / "metrics.json").read_text())["readability"]
    assert metrics == json.loads(json.dumps(as_json(evaluation)["readability"]))
    first = metrics["choices"][0]
    assert (first["among"], first["by"], first["num_left_out"]) == ("all", "unreadable", 40)
    assert first["measures"]["exact"]["gain"] == 0.25
