"""The bench of how photos are stored: each way of saving does what its name says, and a loss is called one."""

import importlib.util
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.evaluate_support import around, dataset_of

from binsight.errors import BadInput
from binsight.imaging import decode_photo
from binsight.imaging.drawn import drawn_photo

PATH = Path(__file__).resolve().parents[1] / "bench" / "robustness.py"
spec = importlib.util.spec_from_file_location("robustness", PATH)
assert spec is not None and spec.loader is not None
robustness = importlib.util.module_from_spec(spec)
sys.modules["robustness"] = robustness
spec.loader.exec_module(robustness)

GROUPS = [f"g{i}" for i in range(40)]
COUNTS = np.full(40, 4)


def rows(centres: np.ndarray) -> np.ndarray:
    return np.array([around(centre) for centre in centres])


@pytest.mark.parametrize(
    ("way", "form", "changes_size"),
    [
        ("PNG", "PNG", None),
        ("JPEG 50", "JPEG", None),
        ("WebP 80", "WEBP", None),
        ("224 squash", "PNG", (224, 224)),
        ("half size", "PNG", (160, 120)),
        ("1200 pixels, JPEG 95", "JPEG", (1600, 1200)),
    ],
)
def test_a_photo_is_saved_as_the_way_says(way: str, form: str, changes_size: tuple[int, int] | None) -> None:
    data = drawn_photo(3, seed=3)
    photo = decode_photo(data).resize((320, 240))
    file = io.BytesIO()
    photo.save(file, "PNG")
    with Image.open(io.BytesIO(robustness.WAYS[way](file.getvalue()))) as again:
        assert (again.format, again.size) == (form, changes_size or (320, 240))


def test_png_loses_nothing_and_a_lower_quality_loses_more() -> None:
    data = drawn_photo(5, seed=5)
    pixels = np.asarray(decode_photo(data), dtype=int)

    def loss(way: str) -> float:
        return float(np.abs(np.asarray(decode_photo(robustness.WAYS[way](data)), dtype=int) - pixels).mean())

    assert loss("PNG") == 0 < loss("JPEG 95") < loss("JPEG 75") < loss("JPEG 50")


def test_what_changes_nothing_is_said_to_change_nothing() -> None:
    same = robustness.compare_way("PNG", rows(COUNTS), rows(COUNTS), COUNTS, GROUPS)
    assert (same.changed, same.moved, same.measures["exact"].difference, same.loses) == (0, 0, 0, False)


def test_accuracy_lost_beyond_chance_is_a_loss_and_accuracy_gained_is_none() -> None:
    worse = COUNTS + 2 * (np.arange(40) % 4 == 0)
    lost = robustness.compare_way("JPEG 1", rows(COUNTS), rows(worse), COUNTS, GROUPS)
    assert lost.measures["exact"].difference == pytest.approx(-0.25)
    assert (lost.changed, lost.loses) == (0.25, True)
    assert lost.moved == pytest.approx(lost.shift) and lost.shift > 0
    gained = robustness.compare_way("original", rows(worse), rows(COUNTS), COUNTS, GROUPS)
    assert gained.measures["exact"].difference == pytest.approx(0.25)
    assert not gained.loses and gained.shift < 0 < gained.moved


def test_answers_that_change_both_ways_alike_are_no_loss() -> None:
    one = COUNTS + 2 * (np.arange(40) % 4 == 0)
    other = COUNTS + 2 * (np.arange(40) % 4 == 1)
    found = robustness.compare_way("WebP", rows(one), rows(other), COUNTS, GROUPS)
    assert (found.changed, found.measures["exact"].difference, found.loses) == (0.5, 0, False)
    interval = found.measures["exact"].interval
    assert interval.low < 0 < interval.high


def test_only_photos_with_an_original_are_taken(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path / "data", [("val", 3, "a"), ("val", 4, "b")])
    with pytest.raises(BadInput, match="holds no original"):
        robustness.with_originals(dataset.photos, tmp_path)
    (tmp_path / "0001.jpg").write_bytes(drawn_photo(4, seed=4))
    assert [photo.photo for photo in robustness.with_originals(dataset.photos, tmp_path)] == ["0001"]


def test_originals_are_compared_with_files_and_at_their_size(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path / "data", [("val", 3, "a")])
    (photo,) = dataset.photos
    (tmp_path / "0000.jpg").write_bytes(drawn_photo(3, seed=3))
    ways = robustness.of_originals(dataset, tmp_path)
    assert ways["original"](photo) == (tmp_path / "0000.jpg").read_bytes()
    size = decode_photo(dataset.read_bytes(photo)).size
    for way, form in (("original, file's size", "PNG"), ("original, so, JPEG 80", "JPEG")):
        with Image.open(io.BytesIO(ways[way](photo))) as image:
            assert (image.format, image.size) == (form, size)
