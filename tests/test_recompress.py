"""Photos saved again as JPEG while they are learnt."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from binsight.imaging import Preprocessing
from binsight.model.batches import batches
from binsight.model.recompress import recompressed

CHECKED = (np.indices((64, 64)).sum(0) // 3 % 2 * 200).astype(np.uint8)[None, :, :, None].repeat(3, axis=3)
"""One photo with an edge every three pixels, which compression cannot leave as they are."""


def test_a_share_of_the_photos_is_saved_again_and_keeps_its_shape_and_content() -> None:
    pixels = CHECKED.repeat(400, axis=0)
    saved = recompressed(pixels, 0.25, np.random.default_rng(0))
    assert (saved.shape, saved.dtype) == (pixels.shape, np.uint8)
    distance = np.abs(saved.astype(int) - pixels).mean(axis=(1, 2, 3))
    assert np.count_nonzero(distance) == pytest.approx(100, abs=30)
    assert distance.max() < 60, "traces of compression, not another photo"
    assert np.std(distance[distance > 0]) > 1, "qualities and sizes differ"
    assert np.array_equal(pixels, CHECKED.repeat(400, axis=0)), "what is cached stays as it is"


def test_saving_again_leaves_what_jpeg_leaves() -> None:
    """At the network's own size and the lowest quality, traces are of the size that Pillow itself leaves."""
    file = io.BytesIO()
    Image.fromarray(CHECKED[0]).save(file, "JPEG", quality=30)
    plain = np.abs(np.asarray(Image.open(file)).astype(int) - CHECKED[0]).mean()
    saved = recompressed(CHECKED.repeat(200, axis=0), 1.0, np.random.default_rng(1))
    worst = np.abs(saved.astype(int) - CHECKED).mean(axis=(1, 2, 3)).max()
    assert plain / 3 < worst < plain * 3


def test_batches_draw_the_same_again_and_nothing_unless_asked() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (6, 32, 32, 3), dtype=np.uint8)
    preprocessing = Preprocessing(size=32, fit="squash", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    order = [np.array([4, 1, 2]), np.array([0, 3, 5])]
    first = [images for images, _ in batches(pixels, preprocessing, order, jpeg=1.0)]
    again = [images for images, _ in batches(pixels, preprocessing, order[1:], jpeg=1.0)]
    plain = [images for images, _ in batches(pixels, preprocessing, order)]
    assert torch.equal(first[1], again[0]), "a run that goes on at its second batch"
    assert not torch.equal(first[0], plain[0])
    as_they_are = torch.from_numpy(pixels[[1, 2, 4]].transpose(0, 3, 1, 2)).float() / 127.5 - 1
    assert torch.allclose(plain[0], as_they_are, atol=1e-6)
