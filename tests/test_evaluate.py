"""`binsight evaluate`: what is measured, beside which blind answers, and what is left on disk."""

import csv
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from binsight.cli import COMMANDS
from binsight.cli.evaluate import conditions
from binsight.cli.evaluate import evaluate as evaluate_command
from binsight.dataset.manifest import Dataset, LabelledPhoto
from binsight.decision.measures import ALL, count_prior
from binsight.decision.resample import SCORE_NAMES
from binsight.errors import BadInput, BadPhoto, GateFailed, MissingObject
from binsight.model.evaluate import Evaluation, evaluate, select, value_of
from binsight.model.evaluation_files import as_json, check_out, metric_rows, write_evaluation
from binsight.model.evaluation_page import gain_sentence, headline_range, shown_ranges
from binsight.model.predictor import Predictor, predict_all, predictor

from .evaluate_support import Rule, around, dataset_of, everyday, seeing


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return everyday(tmp_path_factory.mktemp("everyday"))


@pytest.fixture(scope="module")
def evaluation(dataset: Dataset) -> Evaluation:
    return evaluate("seeing", seeing(), dataset, select(dataset, "test", {}))


def by_name(evaluation: Evaluation, name: str, *, restricted: bool = False) -> Any:
    return next(m for w, m in evaluation.ranges.items() if (w.name, w.restricted) == (name, restricted))


# Choosing photos


def test_conditions_on_one_column_are_alternatives_and_on_several_all_hold(dataset: Dataset) -> None:
    where = conditions(("kind=a", "count=3", "count=4"))
    chosen = select(dataset, "test", where).photos
    assert chosen == tuple(
        p for p in dataset.photos if p.split == "test" and p.extras["kind"] == "a" and p.count in (3, 4)
    )


@pytest.mark.parametrize("condition", ["kind", "=a", ""])
def test_a_condition_without_column_or_value_is_refused(condition: str) -> None:
    with pytest.raises(BadInput, match="--where must be COLUMN=VALUE"):
        conditions((condition,))


def test_an_unknown_column_is_refused_with_those_that_exist(dataset: Dataset) -> None:
    with pytest.raises(BadInput, match=r"has no column colour; it has photo, file, count, .*kind, site"):
        select(dataset, "test", {"colour": ["red"]})
    with pytest.raises(BadInput, match="has no column colour"):
        evaluate("x", seeing(), dataset, select(dataset, "test", {}), by=["colour"])


def test_a_column_with_a_value_for_every_photo_is_no_slice(dataset: Dataset) -> None:
    with pytest.raises(BadInput, match="at most 30 values, but photo has 120"):
        evaluate("x", seeing(), dataset, select(dataset, "test", {}), by=["photo"])


def test_an_empty_selection_names_what_there_is(dataset: Dataset) -> None:
    with pytest.raises(BadInput, match=r"has kind = c, where it holds [ab], [ab]; choose"):
        select(dataset, "test", {"kind": ["c"]})
    with pytest.raises(BadInput, match=r"no photos in its split val \(photos by split: train 300, test 120\)"):
        select(dataset, "val", {})


def test_the_blind_answers_learn_from_the_train_split_under_the_same_conditions(dataset: Dataset) -> None:
    selection = select(dataset, "test", {"kind": ["a"]})
    assert {p.split for p in selection.prior_photos} == {"train"}
    assert {p.extras["kind"] for p in selection.prior_photos} == {"a"}
    assert selection.prior_from == "the train split"


def test_without_training_photos_the_blind_answers_see_the_measured_ones(tmp_path: Path) -> None:
    alone = dataset_of(tmp_path, [("test", 3, "a"), ("test", 4, "b")])
    selection = select(alone, "test", {})
    assert selection.prior_photos == selection.photos
    assert selection.prior_from == "the measured photos themselves"


# Measuring


def test_the_figures_are_those_of_the_predictions(evaluation: Evaluation) -> None:
    counts = evaluation.predictions.counts_B
    answers = evaluation.predictions.probs_BK.argmax(axis=1)
    small = (counts >= 1) & (counts <= 5)
    assert by_name(evaluation, "1-5").scores.exact == pytest.approx(np.mean(answers[small] == counts[small]))
    assert by_name(evaluation, "all").scores.mae == pytest.approx(np.mean(np.abs(answers - counts)))
    folded = np.minimum(answers, 10) == np.minimum(counts, 10)
    assert by_name(evaluation, "0-10+").scores.exact == pytest.approx(folded.mean())


def test_the_majority_is_the_train_splits_most_frequent_count(dataset: Dataset, evaluation: Evaluation) -> None:
    measured = by_name(evaluation, "all")
    train = Counter(p.count for p in dataset.select("train"))
    assert measured.majority_count == train.most_common(1)[0][0] == 3
    assert measured.majority.exact == pytest.approx(np.mean(evaluation.predictions.counts_B == 3))


def test_a_model_that_sees_is_ahead_of_the_blind_beyond_chance(evaluation: Evaluation) -> None:
    measured = by_name(evaluation, "all")
    assert measured.intervals is not None and measured.ahead is not None
    assert measured.intervals["exact"].low < measured.scores.exact < measured.intervals["exact"].high
    assert measured.ahead["exact"].low > 0 > measured.ahead["rps"].high
    assert gain_sentence(measured).startswith("It is exactly right")
    assert "more often" in gain_sentence(measured)


def test_labels_in_the_wrong_order_fall_to_the_blind_answers_or_below(dataset: Dataset) -> None:
    """A shuffled order of classes is the classic silent fault of an export: it must show at once."""
    order = np.random.default_rng(0).permutation(21)
    good = seeing(0.3)
    shuffled = Rule(lambda photo: good.row(photo)[order])
    found = by_name(evaluate("x", shuffled, dataset, select(dataset, "test", {})), "all")
    right = by_name(evaluate("x", good, dataset, select(dataset, "test", {})), "all")
    assert right.scores.exact > 0.8
    assert found.scores.exact <= found.majority.exact
    assert found.scores.rps > found.prior.rps
    assert "not shown to be better" in gain_sentence(found) or "worse" in gain_sentence(found)


def test_a_model_that_answers_the_prior_is_not_called_better(dataset: Dataset) -> None:
    selection = select(dataset, "test", {})
    prior = count_prior([p.count for p in selection.prior_photos], 21)
    found = by_name(evaluate("x", Rule(lambda photo: prior), dataset, selection), "all")
    assert found.scores == found.prior
    assert "not shown to be better" in gain_sentence(found)


def test_answers_restricted_to_the_range_are_kept_apart(evaluation: Evaluation) -> None:
    free, bound = by_name(evaluation, "1-5"), by_name(evaluation, "1-5", restricted=True)
    assert free.num_photos == bound.num_photos
    assert bound.scores.exact >= free.scores.exact
    assert {r["answers"] for r in as_json(evaluation)["ranges"]} == {"any", "restricted"}


def test_a_network_of_six_classes_is_measured_where_it_can_answer(dataset: Dataset) -> None:
    found = evaluate("x", seeing(num_counts=6), dataset, select(dataset, "test", {}))
    assert {(w.name, w.restricted) for w in found.ranges} == {
        ("1-5", False),
        ("1-5", True),
        ("0-5", False),
        ("0-5", True),
        ("all", False),
    }
    assert max(found.by_count) == 5 and found.count_name(5) == "5+"


def test_every_count_and_every_kind_is_measured_apart(evaluation: Evaluation) -> None:
    counts = Counter(evaluation.predictions.counts_B.tolist())
    assert {count: m.num_photos for count, m in evaluation.by_count.items()} == counts
    kinds = evaluation.by["kind"]
    assert set(kinds) == {"a", "b"}
    assert sum(ranges[ALL].num_photos for ranges in kinds.values()) == 120


def test_kind_is_the_default_slice_only_where_the_dataset_has_it(tmp_path: Path) -> None:
    plain = dataset_of(tmp_path, [("test", n % 4, str(n)) for n in range(12)], kind=False)
    assert evaluate("x", seeing(), plain, select(plain, "test", {})).by == {}


def test_the_page_leaves_out_ranges_that_say_the_same_again(dataset: Dataset) -> None:
    small = select(dataset, "test", {"count": ["1", "2", "3"]})
    found = evaluate("x", seeing(), dataset, small)
    assert [(w.name, w.restricted) for w in shown_ranges(found)] == [("1-5", False), ("1-5", True)]
    assert headline_range(found).name == "1-5"
    assert len(found.ranges) == 6  # metrics.json keeps them all


# Photos that cannot be read, and models that do not answer


def test_photos_that_cannot_be_read_are_listed_and_cost_no_other_its_answer(dataset: Dataset) -> None:
    bad = {"0305", "0310"}

    def row(photo: LabelledPhoto) -> np.ndarray:
        if photo.photo in bad:
            raise BadPhoto(f"{photo.photo} is empty; fetch it again", reason="empty")
        return around(photo.count)

    photos = dataset.select("test")
    predictions = predict_all(Rule(row), dataset, photos, chunk=16)
    assert {u.photo for u in predictions.unreadable} == bad
    assert [p.photo for p in predictions.photos] == [p.photo for p in photos if p.photo not in bad]
    assert predictions.probs_BK.argmax(axis=1).tolist() == predictions.counts_B.tolist()


def test_a_photo_that_is_gone_from_the_dataset_is_listed(tmp_path: Path) -> None:
    damaged = dataset_of(tmp_path, [("test", 1, "a"), ("test", 2, "b")])
    (tmp_path / damaged.photos[0].file).unlink()
    predictions = predict_all(seeing(), damaged, damaged.photos)
    assert [u.photo for u in predictions.unreadable] == ["0000"]
    assert "is in the manifest but cannot be read" in predictions.unreadable[0].reason


def test_nothing_readable_is_an_error(dataset: Dataset) -> None:
    def row(photo: LabelledPhoto) -> np.ndarray:
        raise BadPhoto("it is empty", reason="empty")

    with pytest.raises(BadInput, match="none of the 120 photos can be read, first 0300: it is empty"):
        predict_all(Rule(row), dataset, dataset.select("test"))


def test_answers_that_are_no_distributions_are_refused(dataset: Dataset) -> None:
    with pytest.raises(BadInput, match=r"does not give distributions.*row 0 sums to 21.*export it again"):
        predict_all(Rule(lambda photo: np.ones(21)), dataset, dataset.select("test"))


def test_a_model_that_is_neither_run_nor_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingObject, match=r"nowhere is not a folder"):
        predictor(tmp_path / "nowhere")
    with pytest.raises(BadInput, match=r"must hold bundle.json .* or recipe.toml .*, but holds neither"):
        predictor(tmp_path)


# Files


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def report(evaluation: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    out = tmp_path_factory.mktemp("reports") / "report"
    yield write_evaluation(evaluation, out).parent


def test_the_report_holds_a_page_the_figures_and_every_estimate(report: Path, evaluation: Evaluation) -> None:
    names = {path.name for path in report.iterdir()}
    assert names >= {"index.html", "metrics.json", "metrics.csv", "predictions.csv"}
    assert names >= {"error_by_count.csv", "confusion.csv", "reliability.csv", "risk_coverage.csv"}
    assert "not_opened.csv" not in names
    predictions = rows_of(report / "predictions.csv")
    assert list(predictions[0]) == ["photo", "count", "group", *(f"p{n}" for n in range(21))]
    probs = np.array([[float(row[f"p{n}"]) for n in range(21)] for row in predictions])
    assert probs == pytest.approx(evaluation.predictions.probs_BK, abs=1e-7)


def test_metrics_json_and_csv_say_the_same(report: Path, evaluation: Evaluation) -> None:
    metrics = json.loads((report / "metrics.json").read_text())
    assert metrics["dataset"]["sha256"] == evaluation.dataset.digest
    exact = next(r for r in metrics["ranges"] if (r["range"], r["answers"]) == ("1-5", "any"))["scores"]["exact"]
    row = next(
        r
        for r in rows_of(report / "metrics.csv")
        if (r["slice"], r["range"], r["answers"], r["score"]) == ("all", "1-5", "any", "exact")
    )
    assert float(row["figure"]) == exact["value"]
    assert (float(row["low"]), float(row["high"])) == (exact["interval"]["low"], exact["interval"]["high"])
    assert float(row["majority"]) == exact["majority"]
    assert float(row["ahead"]) == pytest.approx(exact["value"] - exact["prior"])


def test_every_slice_has_every_score_beside_the_blind_answers(evaluation: Evaluation) -> None:
    rows = metric_rows(evaluation)
    slices = {(r["slice"], r["value"], r["range"], r["answers"]) for r in rows}
    assert len(rows) == len(SCORE_NAMES) * len(slices)
    assert {s[0] for s in slices} == {"all", "count", "kind"}
    assert all(isinstance(r["majority"], float) and isinstance(r["prior"], float) for r in rows)


def test_the_page_starts_with_the_answer_and_holds_the_evidence(report: Path) -> None:
    html = (report / "index.html").read_text()
    places = [html.index(text) for text in ("of photos counted exactly right", ">Scores</h2>", ">Examples</h2>")]
    assert places == sorted(places)
    assert html.count("<svg") == 6
    assert "data:image/jpeg;base64," in html
    assert ">nan" not in html


def test_a_second_evaluation_takes_the_first_ones_place(evaluation: Evaluation, tmp_path: Path) -> None:
    out = tmp_path / "report"
    write_evaluation(evaluation, out)
    (out / "left-over.csv").write_text("old")
    write_evaluation(evaluation, out)
    assert not (out / "left-over.csv").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_a_folder_with_other_files_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(BadInput, match="holds other files than an evaluation's"):
        check_out(tmp_path)
    with pytest.raises(BadInput, match="is a file; name a folder"):
        check_out(tmp_path / "thesis.txt")


def test_a_report_that_fails_leaves_nothing_behind(
    evaluation: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("binsight.model.evaluation_files.metric_rows", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_evaluation(evaluation, tmp_path / "report")
    assert list(tmp_path.iterdir()) == []


def test_a_photo_that_cannot_be_opened_is_on_the_page_and_in_a_csv(evaluation: Evaluation, tmp_path: Path) -> None:
    from binsight.model.predictor import Unreadable

    lost = Unreadable(photo="0777", reason="0777 is empty; fetch it again")
    with_lost = replace(evaluation, predictions=replace(evaluation.predictions, unreadable=(lost,)))
    page = write_evaluation(with_lost, tmp_path / "report")
    assert "0777 is empty" in page.read_text()
    assert rows_of(page.parent / "not_opened.csv") == [{"photo": "0777", "reason": lost.reason}]


def test_a_plain_dataset_with_one_photo_still_gives_a_report(tmp_path: Path) -> None:
    one = dataset_of(tmp_path / "data", [("test", 3, "a")], kind=False)
    found = evaluate("x", Rule(lambda photo: around(5)), one, select(one, "test", {}))
    html = write_evaluation(found, tmp_path / "report").read_text()
    assert "too few to say how far chance explains that" in html


# The command


def run(arguments: list[Any], model: Predictor, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("binsight.model.predictor.predictor", lambda folder: model)
    return CliRunner().invoke(evaluate_command, [str(a) for a in arguments])


def test_the_command_prints_a_line_of_json_for_each_range(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "report"
    done = run(["some/model", dataset.folder, "--out", out, "--json"], seeing(), monkeypatch)
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["range"] for line in lines][:2] == ["1-5", "1-5"]
    assert json.loads((out / "metrics.json").read_text())["ranges"] == lines


def test_the_command_prints_figures_with_the_blind_ones(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["some/model", dataset.folder, "--out", tmp_path / "report", "--where", "kind=a", "--by", "site"]
    done = run(arguments, seeing(), monkeypatch)
    assert done.exit_code == 0, done.output
    assert "counts 1-5: " in done.output and "blind" in done.output
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert (metrics["model"], metrics["where"], list(metrics["by"])) == ("model", {"kind": ["a"]}, ["site"])


def test_the_command_fails_after_writing_where_photos_could_not_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = dataset_of(tmp_path / "data", [("test", n % 5, str(n)) for n in range(12)])
    (damaged.folder / damaged.photos[3].file).unlink()
    done = run(["m", damaged.folder, "--out", tmp_path / "report"], seeing(), monkeypatch)
    assert isinstance(done.exception, GateFailed)
    assert "1 of 12 photos could not be opened" in str(done.exception)
    assert rows_of(tmp_path / "report" / "not_opened.csv")[0]["photo"] == "0003"


def test_a_bad_column_is_found_before_the_model_is_loaded(dataset: Dataset, tmp_path: Path) -> None:
    arguments = ["no/model", str(dataset.folder), "--out", str(tmp_path / "report"), "--where", "colour=red"]
    done = CliRunner().invoke(evaluate_command, arguments)
    assert "has no column colour" in str(done.exception)


def test_evaluating_a_bundle_needs_no_torch() -> None:
    names = ["predictor", "evaluate", "evaluation_files", "evaluation_page", "evaluation_plots"]
    script = f"import sys, {', '.join('binsight.model.' + n for n in names)}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_help_line_in_the_table_is_the_commands_own() -> None:
    assert (evaluate_command.help or "").splitlines()[0] == COMMANDS["evaluate"][1]


def test_manifest_columns_and_further_labels_read_alike(dataset: Dataset) -> None:
    photo = dataset.photos[0]
    assert (value_of(photo, "width"), value_of(photo, "site"), value_of(photo, "absent")) == ("48", "north", "")
