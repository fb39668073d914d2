"""What the photos of an audit looked like, kept in fixed room and compared."""

import numpy as np
import pytest

from binsight.audit.seen import MOST, SeenPhotos, drift_json
from binsight.counting.counter import Seen
from binsight.decision.drift import Drift
from binsight.decision.features import ESTIMATE_FEATURES, FEATURES
from binsight.decision.reference import Reference
from binsight.imaging.quality import Quality
from binsight.records import CountEstimate


def some_photos(num: int, *, seed: int = 0, brightness: float = 120, sure: float = 0.7) -> SeenPhotos:
    photos, rng = SeenPhotos(), np.random.default_rng(seed)
    for _ in range(num):
        light, sharp, size, p = (
            rng.normal(brightness, 10),
            rng.normal(50, 5),
            rng.integers(10_000, 20_000),
            rng.random(),
        )
        quality = Quality(
            width=320,
            height=240,
            brightness=light,
            contrast=40 + light / 10,
            sharpness=sharp,
            clipped_dark=0.01,
            clipped_bright=0.02,
        )
        top = sure + 0.2 * p
        estimate = CountEstimate(photo="a.jpg", probs=(1 - top, top, *[0.0] * 19))
        seen = Seen(
            photo="a.jpg",
            pixels_HWC=np.zeros((1, 1, 3), np.uint8),
            quality=quality,
            num_bytes=int(size),
            bin_label=None,
        )
        photos.note(seen, estimate)
    return photos


def reference_of(photos: SeenPhotos) -> Reference:
    reference = photos.reference(dataset_sha256="", split="counted")
    assert reference is not None
    return reference


def test_photos_like_those_of_the_reference_do_not_drift_and_darker_ones_do() -> None:
    reference = reference_of(some_photos(400))
    assert tuple(reference.quantiles) == tuple(FEATURES)
    usual, darker = (
        some_photos(400, seed=1).drift_from(reference),
        some_photos(400, seed=2, brightness=90).drift_from(reference),
    )
    assert isinstance(usual, Drift)
    assert isinstance(darker, Drift)
    assert (usual.is_drifting, darker.is_drifting) == (False, True)
    assert drift_json(darker)["state"] == "drifting"
    assert "brightness of the photos" in drift_json(darker)["sentence"]


def test_estimates_alone_are_compared_by_what_they_say() -> None:
    reference, estimates = reference_of(some_photos(400)), SeenPhotos()
    for number in range(300):
        top = 0.4 + 0.001 * (number % 50)
        estimates.note_estimate(CountEstimate(photo="a.jpg", probs=(1 - top, top, *[0.0] * 19)))
    assert tuple(reference_of(estimates).quantiles) == ESTIMATE_FEATURES
    drift = estimates.drift_from(reference)
    assert isinstance(drift, Drift)
    assert {one.name for one in drift.features} == set(ESTIMATE_FEATURES)
    assert drift.is_drifting


@pytest.mark.parametrize("num", [0, 99])
def test_of_too_few_photos_nothing_is_told(num: int) -> None:
    few = some_photos(num)
    assert few.drift_from(reference_of(some_photos(150))) == f"{num} photos were counted; drift is told from 100 on"
    assert few.reference(dataset_sha256="", split="counted") is None
    assert "make it again" in str(some_photos(150).drift_from(None))


def test_a_million_photos_take_the_room_of_a_thousand_and_each_is_as_likely_to_be_kept() -> None:
    photos = SeenPhotos()
    for number in range(20_000):
        photos.note_estimate(CountEstimate(photo="a.jpg", probs=(1 - number / 1e6, number / 1e6)))
    rows = photos.rows()
    assert len(rows) == MOST
    order = [row[list(FEATURES).index("mean_count")] for row in rows]
    assert order == sorted(order), "in the order in which they came"
    assert 0.0085 < float(np.mean(order)) < 0.0115
