"""What could be verified, in the report of an evaluation and in a bundle's card."""

import csv
import json
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from binsight.cli.evaluate import evaluate as evaluate_command
from binsight.dataset.manifest import Dataset, Split
from binsight.decision.certificate import Certificate, read_certificate
from binsight.decision.certify import certify
from binsight.errors import BadInput
from binsight.model.card import verified_text
from binsight.model.evaluate import Evaluation, evaluate, select
from binsight.model.evaluation_files import as_json, write_evaluation
from binsight.model.export import certify_val
from binsight.model.familiar import Familiar
from binsight.model.verification import CHOSEN_BY_COUNT
from binsight.model.verification_page import summary

from .certify_support import poisson_world
from .evaluate_support import Rule, around, everyday, seeing

MODEL = seeing(0.3)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return everyday(tmp_path_factory.mktemp("everyday"))


@pytest.fixture(scope="module")
def certificate(dataset: Dataset) -> Certificate:
    """Made from the train split by the model that is evaluated, as a bundle's."""
    return measured(dataset, "train").verification.here


def measured(
    dataset: Dataset, split: Split, certificate: Certificate | None = None, *, model: Rule = MODEL
) -> Evaluation:
    return evaluate("seeing", model, dataset, select(dataset, split, {}), certificate=certificate)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_thresholds_are_certified_on_the_measured_photos_beside_the_blind_ones(dataset: Dataset) -> None:
    found = measured(dataset, "train").verification
    assert (found.here.split, found.here.num_photos, found.bundle, found.checks) == ("train", 300, None, None)
    by_name = {(band.name, band.alpha): band for band in found.here.bands}
    assert by_name["3-5", 0.05].coverage > 0.5 > by_name["3-5", 0.05].blind_coverage
    assert by_name["0", 0.05].threshold is None


def test_the_page_and_its_csv_show_every_band_and_bound(dataset: Dataset, tmp_path: Path) -> None:
    evaluation = measured(dataset, "train")
    html = write_evaluation(evaluation, tmp_path / "report").read_text()
    places = [html.index(f">{text}</h2>") for text in ("How sure it is", "What could be verified", "Examples")]
    assert places == sorted(places)
    assert "their thresholds are of no use on others" in html
    assert "The model has no certificate, so nothing may be verified by it." in html
    rows = rows_of(tmp_path / "report" / "verifiable.csv")
    assert [row["recorded count"] for row in rows[::2]] == ["0", "1", "2", "0–2", "3–5", "6–19"]
    assert {row["wrong verified"] for row in rows} == {"at most 5%", "at most 1%"}
    assert all(bool(row["needed probability"]) != bool(row["why nothing"]) for row in rows)
    assert "needs at least 59 wrong-record cases" in html
    assert not (tmp_path / "report" / "bundle_certificate.csv").exists()


def test_a_bundles_thresholds_are_put_to_the_test_on_other_photos(
    dataset: Dataset, certificate: Certificate, tmp_path: Path
) -> None:
    evaluation = measured(dataset, "test", certificate)
    checks = evaluation.verification.checks
    assert checks is not None
    assert [check.certified for check in checks] == list(certificate.certified)
    html = write_evaluation(evaluation, tmp_path / "report").read_text()
    assert "bounds of the bundle's certificate that could be tried on these photos is exceeded" in unescape(html)
    rows = rows_of(tmp_path / "report" / "bundle_certificate.csv")
    assert [row["recorded count"] for row in rows] == [c.certified.name.replace("-", "–") for c in checks]
    assert [int(row["of them passed"]) for row in rows] == [check.num_accepted for check in checks]


def test_metrics_json_holds_both_certificates_and_what_was_seen(dataset: Dataset, certificate: Certificate) -> None:
    evaluation = measured(dataset, "test", certificate)
    found = json.loads(json.dumps(as_json(evaluation), allow_nan=False))["verification"]
    assert read_certificate(json.dumps(found["bundle_certificate"]), name="x") == certificate
    assert (
        read_certificate(json.dumps(found["certified_on_these_photos"]), name="x") == evaluation.verification.here
    )
    checks = found["bundle_on_these_photos"]
    assert [(c["low"], c["high"], c["alpha"]) for c in checks] == [
        (band.low, band.high, band.alpha) for band in certificate.certified
    ]
    assert all(c["false_accepts_interval"]["low"] <= c["false_accepts"] for c in checks)


def test_a_certificate_is_not_confirmed_by_the_photos_that_it_was_made_from(
    dataset: Dataset, certificate: Certificate
) -> None:
    found = measured(dataset, "train", certificate).verification
    assert (found.bundle, found.checks) == (certificate, None)
    assert "The bundle's certificate is from these very photos, which cannot confirm it." in list(summary(found))
    elsewhere = certificate.model_copy(update={"dataset_sha256": "another"})
    assert measured(dataset, "train", elsewhere).verification.checks is not None


def test_a_bound_that_does_not_hold_is_named(dataset: Dataset, certificate: Certificate) -> None:
    """The same model, grown careless: it says one too many of everything, and is as sure as ever."""
    careless = Rule(lambda photo: around(photo.count + 1, spread=0.3))
    found = measured(dataset, "test", certificate, model=careless).verification
    said = list(summary(found))[-1]
    assert said.startswith("The bundle's certificate does not hold on these photos: ")
    assert "3–5 at 5%" in said


def test_photos_chosen_by_their_count_are_warned_of(dataset: Dataset, certificate: Certificate) -> None:
    """Twelves alone hold no wrong record but elevens: the other bands are not tried, and not called held either."""
    selection = select(dataset, "test", {"count": ["12"]})
    found = evaluate("x", MODEL, dataset, selection, certificate=certificate).verification
    assert "chosen by their count" in found.here.note
    assert "chosen by their count" not in measured(dataset, "test").verification.here.note
    assert found.checks is not None
    assert {check.finding for check in found.checks if check.certified.high < 11} == {"not tried"}
    tried = sum(check.certified.high >= 11 for check in found.checks)
    assert tried and f"None of the {tried} bounds" in list(summary(found))[-1]
    small = replace(found, checks=tuple(check for check in found.checks if check.certified.high < 11))
    assert "no wrong record on which the bundle's certificate could be tried" in list(summary(small))[-1]


def listed(dataset: Dataset, split: Split) -> Dataset:
    """With a column of who collected a photo: a list of bins with one to five items, or people who went by."""
    photos = (replace(one, split=split, extras={"listed": str(int(1 <= one.count <= 5))}) for one in dataset.photos)
    return replace(dataset, photos=tuple(photos))


def test_photos_that_were_chosen_by_their_count_under_another_name_are_told(dataset: Dataset) -> None:
    """The records 6 that are wrong are those of five items alone then, and the records 5 those of four."""
    all_of_them = listed(dataset, "test")
    for value in "01":
        found = evaluate("x", MODEL, all_of_them, select(all_of_them, "test", {"listed": (value,)})).verification
        assert CHOSEN_BY_COUNT in found.here.note
    for kind in "ab":
        found = evaluate("x", MODEL, dataset, select(dataset, "train", {"kind": (kind,)})).verification
        assert CHOSEN_BY_COUNT not in found.here.note, "half of the photos, whatever they show"


def test_photos_that_were_chosen_by_their_count_confirm_no_certificate(dataset: Dataset, tmp_path: Path) -> None:
    """Sure of everything but a seven, which it takes for a six: of the wrong records 6 only those are missed."""
    blind_for_sevens = Rule(lambda photo: around(6 if photo.count == 7 else photo.count, spread=0.01))
    many = listed(replace(dataset, photos=dataset.photos * 4), "test")
    many = replace(many, photos=tuple(replace(one, group=str(i)) for i, one in enumerate(many.photos)))
    up_to_five = replace(many, photos=many.select(where=lambda one: one.count <= 5))
    certificate = measured(up_to_five, "test", model=blind_for_sevens).verification.here
    certificate = certificate.model_copy(update={"dataset_sha256": "another"})
    chosen = select(many, "test", {"listed": ("1",)})
    evaluation = evaluate(
        "x", blind_for_sevens, many, chosen, certificate=certificate, look=lambda photos: Familiar()
    )
    found = evaluation.verification
    assert found.checks and "confirmed" in {check.finding for check in found.checks}, "or nothing is tried here"
    assert {found.finding(check) for check in found.checks} <= {"not contradicted", "not tried"}
    *_, warned, last = summary(found)
    assert warned == CHOSEN_BY_COUNT and last.endswith("chosen by their count cannot confirm it.")
    rows = found.as_json()["bundle_on_these_photos"]
    assert "confirmed" not in {row["finding"] for row in rows}
    assert "cannot confirm it" in write_evaluation(evaluation, tmp_path / "report").read_text()
    assert "confirmed" not in {row["bound"] for row in rows_of(tmp_path / "report" / "bundle_certificate.csv")}


def test_a_bundles_certificate_tells_too_that_its_photos_were_chosen_by_their_count(dataset: Dataset) -> None:
    all_of_them = listed(dataset, "val")
    for photos, is_told in (
        (all_of_them.photos, False),
        (all_of_them.select(where=lambda one: one.extras["listed"] == "1"), True),
    ):
        probs_BK, counts_B = MODEL.predict(all_of_them, photos), np.array([one.count for one in photos])
        assert (CHOSEN_BY_COUNT in certify_val(probs_BK, counts_B, photos, all_of_them).note) == is_told


def test_a_certificate_that_allows_nothing_says_so(dataset: Dataset) -> None:
    prior = np.full(21, 1 / 21)
    nothing = certify(np.tile(prior, (20, 1)), np.arange(20), [str(i) for i in range(20)], prior)
    found = measured(dataset, "test", nothing).verification
    assert found.checks == ()
    assert list(summary(found))[-1] == "The bundle's certificate allows nothing to be verified."
    assert verified_text(nothing).startswith("Nothing: its certificate allows no record to be verified")


def test_a_certificate_for_another_network_is_refused(dataset: Dataset, certificate: Certificate) -> None:
    with pytest.raises(BadInput, match="must be for its 25 counts, but is for 21; export the bundle again"):
        measured(dataset, "test", certificate, model=seeing(num_counts=25))


def test_the_card_says_in_words_what_may_be_verified() -> None:
    certificate = certify(*poisson_world(1500), np.full(21, 1 / 21), note="Provisional, as a test.")
    text = verified_text(certificate)
    for band in certificate.verifying:
        assert f"| {band.name.replace('-', '–')} | at most {band.alpha:.0%} | {band.threshold:.4g} |" in text
    assert text.count("| at most") == len(certificate.verifying)
    assert "nothing may be verified there" in text and text.endswith("Provisional, as a test.")


def test_the_command_prints_what_could_be_verified(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("binsight.model.predictor.predictor", lambda folder: MODEL)
    arguments: list[Any] = ["some/model", dataset.folder, "--split", "train", "--out", tmp_path / "report"]
    done = CliRunner().invoke(evaluate_command, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output
    assert (
        "If at most 5% of the records that are off by one may be verified, then right records can: " in done.output
    )
    assert "The model has no certificate" in done.output


def test_one_photo_certifies_nothing_and_still_gives_a_report(dataset: Dataset, tmp_path: Path) -> None:
    selection = select(dataset, "test", {})
    one = replace(selection, photos=selection.photos[:1])
    evaluation = evaluate("x", MODEL, dataset, one)
    assert (
        "may be verified, then no right record can."
        in write_evaluation(evaluation, tmp_path / "report").read_text()
    )
