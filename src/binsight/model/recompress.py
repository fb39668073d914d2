"""Photos saved again as JPEG while they are learnt, so that a network does not count traces of compression.

A photo reaches a counter stored at any quality and at another size than the network's. Blocks of 8 × 8 pixels at the
stored size become smaller ones here, so photos are enlarged, compressed, and reduced again.
"""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from PIL import Image

QUALITIES = (30, 95)
"""Lowest and highest quality drawn, both ends included."""
ENLARGED = 2.0
"""Photos are stored at the network's size or up to this many times as large."""

_POOL = ThreadPoolExecutor(max_workers=4)  # Pillow lets the interpreter go while it works


def recompressed(
    pixels_NHWC: npt.NDArray[np.uint8], share: float, random: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """The pixels with a `share` of the photos saved again as JPEG; size and quality are drawn for each."""
    num = len(pixels_NHWC)
    is_chosen = random.random(num) < share
    qualities = random.integers(QUALITIES[0], QUALITIES[1] + 1, num)
    scales = random.uniform(1, ENLARGED, num)
    chosen = np.flatnonzero(is_chosen)
    changed = pixels_NHWC.copy()
    saved = _POOL.map(_saved_again, pixels_NHWC[chosen], qualities[chosen].tolist(), scales[chosen].tolist())
    for place, pixels in zip(chosen, saved, strict=True):
        changed[place] = pixels
    return changed


def _saved_again(pixels_HWC: npt.NDArray[np.uint8], quality: int, scale: float) -> npt.NDArray[np.uint8]:
    photo = Image.fromarray(pixels_HWC)
    stored = photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    stored.save(file, "JPEG", quality=quality)
    with Image.open(file) as again:
        return np.asarray(again.resize(photo.size, Image.Resampling.BOX))
