"""Sharpness, exposure, contrast and size of photos."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageFilter

from binsight.imaging import decode_photo
from binsight.imaging.quality import BLURRED_BELOW, measure_quality

REAL = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def originals(abid: Path) -> list[Image.Image]:
    """Real photos at native resolution."""
    paths = sorted((abid / "originals").iterdir())[:60]
    return [decode_photo(path.read_bytes()) for path in paths]


@REAL
@given(number=st.integers(0, 59), radius=st.floats(1.5, 8))
def test_blur_lowers_sharpness(originals: list[Image.Image], number: int, radius: float) -> None:
    photo = originals[number]
    blurred = photo.filter(ImageFilter.GaussianBlur(radius * max(photo.size) / 320))
    assert measure_quality(blurred).sharpness < measure_quality(photo).sharpness


@REAL
@given(number=st.integers(0, 59), side=st.integers(256, 640))
def test_the_stored_size_hardly_matters(originals: list[Image.Image], number: int, side: int) -> None:
    """Measured at its stored size, a photo's sharpness would change several times over."""
    photo = originals[number]
    scale = side / max(photo.size)
    stored = photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.LANCZOS)
    before, after = measure_quality(photo), measure_quality(stored)
    assert after.sharpness == pytest.approx(before.sharpness, rel=0.5)
    assert after.brightness == pytest.approx(before.brightness, abs=2)
    assert after.contrast == pytest.approx(before.contrast, abs=3)


def test_most_real_photos_have_no_flag(originals: list[Image.Image]) -> None:
    flagged = [photo for photo in originals if measure_quality(photo).flags]
    assert len(flagged) <= 3


def test_a_photo_out_of_focus_is_blurred(originals: list[Image.Image]) -> None:
    qualities = [measure_quality(photo.filter(ImageFilter.GaussianBlur(12))) for photo in originals]
    assert all(quality.sharpness < BLURRED_BELOW for quality in qualities)
    assert all("blurred" in quality.flags for quality in qualities)


def test_a_dark_photo_is_dark_and_not_blurred(originals: list[Image.Image]) -> None:
    """Less light lowers the Laplacian's variance; sharpness must not follow it."""
    sharp = [photo for photo in originals if measure_quality(photo).sharpness > 0.2]
    for photo in sharp:
        flags = measure_quality(ImageEnhance.Brightness(photo).enhance(0.3)).flags
        assert "dark" in flags
        assert "blurred" not in flags


def test_a_washed_out_photo_is_overexposed(originals: list[Image.Image]) -> None:
    for photo in [photo for photo in originals if measure_quality(photo).brightness > 100]:
        assert "overexposed" in measure_quality(ImageEnhance.Brightness(photo).enhance(3)).flags


def test_a_thumbnail_is_low_resolution(originals: list[Image.Image]) -> None:
    assert "low_resolution" in measure_quality(originals[0].resize((200, 150))).flags
    assert "low_resolution" not in measure_quality(originals[0]).flags


@pytest.mark.parametrize("size", [(16, 16), (5000, 16), (16, 5000), (128, 128), (129, 257), (3000, 2000)])
def test_any_size_and_proportion_can_be_measured(size: tuple[int, int]) -> None:
    quality = measure_quality(Image.effect_noise(size, 50).convert("RGB"))
    assert np.isfinite([quality.sharpness, quality.brightness, quality.contrast]).all()
    assert (quality.width, quality.height) == size


def test_a_photo_of_one_colour_has_no_sharpness() -> None:
    quality = measure_quality(Image.new("RGB", (320, 240), (128, 128, 128)))
    assert quality.sharpness == 0
    assert set(quality.flags) == {"blurred", "low_contrast"}


def test_black_and_white_pixels_are_counted() -> None:
    photo = Image.new("RGB", (256, 256), "black")
    photo.paste("white", (0, 0, 64, 256))
    quality = measure_quality(photo)
    assert quality.clipped_bright == pytest.approx(0.25, abs=0.01)
    assert quality.clipped_dark == pytest.approx(0.75, abs=0.01)


def test_figures_are_plain_numbers(originals: list[Image.Image]) -> None:
    """So that they can be written as JSON."""
    quality = measure_quality(originals[0])
    assert {type(value) for value in asdict(quality).values()} == {int, float}
