"""Drift as pure functions: references, what is found and what is not, and the sentences."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageEnhance
from tests.dataset_support import real_dataset

from binsight.counting import Bundle, Counter, default_bundle
from binsight.decision.drift import Drift, measure_drift
from binsight.decision.features import FEATURES, features_of
from binsight.decision.reference import MOST_ROWS, Reference, make_reference, read_reference
from binsight.decision.two_sample import Floats
from binsight.errors import BadBundle, BadInput
from binsight.imaging import decode_photo
from binsight.imaging.quality import measure_quality
from binsight.model.reference import features_of_bytes
from binsight.records import CountEstimate

NAMES = list(FEATURES)


def some_rows(num: int, *, seed: int = 0) -> Floats:
    """Rows with features like those of photos: some continuous, some whole numbers, one of two values."""
    rng = np.random.default_rng(seed)
    rows = rng.lognormal(0, 0.5, (num, len(NAMES)))
    rows[:, NAMES.index("count")] = rng.poisson(3, num)
    rows[:, NAMES.index("interval_width")] = rng.integers(1, 8, num)
    rows[:, NAMES.index("aspect")] = rng.choice([1.0, 1.3333333], num)
    rows[:, NAMES.index("clipped_dark")] = np.where(rng.random(num) < 0.8, 0, rows[:, NAMES.index("clipped_dark")])
    return rows


@pytest.fixture(scope="module")
def reference() -> Reference:
    return make_reference(some_rows(889), dataset_sha256="f" * 64, split="val")


def default_reference() -> Reference:
    data = Bundle.open(default_bundle()).reference()
    assert data is not None
    return read_reference(data, name="reference.json")


def changed(rows: Floats, **factors: float) -> Floats:
    rows = rows.copy()
    for name, factor in factors.items():
        rows[:, NAMES.index(name)] *= factor
    return rows


def test_the_features_are_what_was_measured_and_estimated() -> None:
    estimate = CountEstimate(photo="a", probs=(0.25, 0.5, 0.25))
    image = decode_photo((default_bundle() / "golden" / "drawn-03.jpg").read_bytes())
    quality = measure_quality(image)
    row = dict(zip(NAMES, features_of(quality, 12_345, estimate), strict=True))
    assert (row["brightness"], row["sharpness"]) == (quality.brightness, quality.sharpness)
    assert (row["aspect"], row["kilobytes"]) == (image.width / image.height, 12.345)
    assert (row["count"], row["mean_count"], row["top_probability"]) == (1, 1.0, 0.5)
    assert row["entropy"] == pytest.approx(1.5 * np.log(2))
    assert row["interval_width"] == estimate.interval[1] - estimate.interval[0]


def test_a_reference_survives_its_text(reference: Reference) -> None:
    assert read_reference(reference.as_text(), name="r") == reference
    assert len(reference.rows) == MOST_ROWS
    assert len(reference.as_text()) < 100_000
    assert reference.quantiles["count"][50] == np.median(some_rows(889)[:, NAMES.index("count")])


def test_the_shipped_bundle_has_a_reference_and_small_ones_are_refused() -> None:
    reference = default_reference()
    assert reference.num_photos == 889
    assert (default_bundle() / "reference.json").stat().st_size < 100_000
    with pytest.raises(BadInput, match="at least 100 photos, but there are 99"):
        make_reference(some_rows(99), dataset_sha256="", split="val")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda r: r["quantiles"]["count"].reverse(), "the quantiles of count must rise"),
        (lambda r: r["quantiles"]["count"].pop(), "quantiles.count"),
        (lambda r: r["quantiles"].update(colour=r["quantiles"]["count"]), "but one is colour"),
        (lambda r: r["rows"][3].pop(), "every row must have 12 numbers"),
        (lambda r: r.update(num_photos=5), "num_photos"),
        (lambda r: r.update(more=1), "more"),
    ],
    ids=["order", "number", "name", "width", "photos", "field"],
)
def test_a_reference_that_does_not_hold_together_is_refused(
    change: object, complaint: str, reference: Reference
) -> None:
    value = json.loads(reference.as_text())
    change(value)  # type: ignore[operator]
    with pytest.raises(BadBundle, match=complaint):
        read_reference(json.dumps(value), name="reference.json")


def test_photos_like_the_references_are_not_found(reference: Reference) -> None:
    found = [measure_drift(reference, some_rows(200, seed=seed)) for seed in range(1, 21)]
    assert sum(drift.is_drifting for drift in found) <= 1
    assert "are like those" in next(drift for drift in found if not drift.is_drifting).sentence


def test_a_feature_that_moved_is_named_with_its_medians(reference: Reference) -> None:
    drift = measure_drift(reference, changed(some_rows(200, seed=1), brightness=0.6))
    assert [feature.name for feature in drift.drifting] == ["brightness"]
    (feature,) = drift.drifting
    assert feature.median < feature.reference_median
    assert "brightness of the photos: lower, median " in drift.sentence
    assert drift.is_separable


def test_what_no_feature_shows_by_itself_the_classifier_finds(reference: Reference) -> None:
    """A little of everything: each by itself stays below its limit."""
    names = ("brightness", "contrast", "sharpness", "kilobytes", "mean_count", "entropy", "top_probability")
    drift = measure_drift(reference, changed(some_rows(500, seed=1), **dict.fromkeys(names, 1.2)))
    assert drift.drifting == ()
    assert drift.is_separable and drift.is_drifting
    assert "in all features together" in drift.sentence


def test_a_wider_spread_around_the_same_middle_is_found(reference: Reference) -> None:
    rows = some_rows(500, seed=1)
    place = NAMES.index("brightness")
    rows[:, place] = np.exp(3 * np.log(rows[:, place]))
    assert "brightness" in [feature.name for feature in measure_drift(reference, rows).drifting]


def test_values_that_repeat_are_no_difference(reference: Reference) -> None:
    """1.3333333 is kept as 1.333: compared unrounded, every photo of that camera would lie in another bin."""
    by_name = {f.name: f for f in measure_drift(reference, some_rows(500, seed=2)).features}
    assert by_name["aspect"].ks < 0.1 and by_name["aspect"].psi < 0.05
    swapped = some_rows(500, seed=2)
    swapped[:, NAMES.index("aspect")] = 1.7778
    assert "aspect" in [feature.name for feature in measure_drift(reference, swapped).drifting]


def test_too_few_rows_and_other_widths_are_refused(reference: Reference) -> None:
    with pytest.raises(ValueError, match="at least 100 photos, but got 99"):
        measure_drift(reference, some_rows(99))
    with pytest.raises(ValueError, match=r"shape \(B, 12\)"):
        measure_drift(reference, some_rows(200)[:, 1:])


def test_an_older_reference_compares_the_features_that_it_has(reference: Reference) -> None:
    value = json.loads(reference.as_text())
    del value["quantiles"]["aspect"]
    value["rows"] = [[x for name, x in zip(NAMES, row, strict=True) if name != "aspect"] for row in value["rows"]]
    older = read_reference(json.dumps(value), name="r")
    assert len(measure_drift(older, some_rows(200, seed=3)).features) == len(NAMES) - 1


def test_real_photos_are_told_from_darker_ones_and_not_from_their_like(abid: Path, tmp_path: Path) -> None:
    """Photos of bins that the network never saw, against the reference of the bundle that ships."""
    dataset = real_dataset(abid, tmp_path, {"test": 800}, where={"collection": "complete"})
    photos = dataset.photos[::5]  # the first ids alone all have their cameras' proportions, the others are square
    counter, reference = Counter.load(default_bundle()), default_reference()

    def drift(change: float) -> Drift:
        named = [(photo.photo, darker(dataset.read_bytes(photo), change)) for photo in photos]
        return measure_drift(reference, list(features_of_bytes(counter, named, len(named))))

    assert not drift(1.0).is_drifting
    found = drift(0.8)
    assert found.drifting[0].name in ("brightness", "contrast")
    assert "brightness of the photos: lower" in found.sentence


def darker(data: bytes, factor: float) -> bytes:
    if factor == 1:
        return data
    file = io.BytesIO()
    ImageEnhance.Brightness(decode_photo(data)).enhance(factor).save(file, "JPEG", quality=80)
    return file.getvalue()
