"""How usable a photo is for counting: sharpness, exposure, contrast and size, measured in well under a millisecond.

Everything but the size is measured on a small grey copy, so that the same photo gives nearly the same figures
at whatever size it was stored.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

MEASURED_SIDE = 128
"""The longer side in pixels of the grey copy. A bin's items still have edges at this size, JPEG noise has none."""

# The limits below come from 1,500 photos of the Amazon Bin Image Dataset, drawn at random, given in the order
# minimum / 0.5 / 2 / 50 / 98 / 99.5 % / maximum, and from looking at the photos around each limit.
BLURRED_BELOW = 0.065
"""Sharpness 0.009 / 0.034 / 0.071 / 0.39 / 0.75 / 0.84 / 1.1: below 0.065 print on an item cannot be read."""
DARK_BELOW = 65.0
"""Brightness 43 / 73 / 80 / 117 / 155 / 163 / 190: below 65 the back of the bin is lost."""
BRIGHT_ABOVE = 200.0
"""Brightness, as above: no photo in that sample reaches it."""
CLIPPED_ABOVE = 0.25
"""Share of pixels clipped to black or to white: at most 0.006 and 0.023 in that sample."""
LOW_CONTRAST_BELOW = 12.0
"""Contrast 10 / 14.5 / 17 / 29 / 43 / 47 / 56: even an empty bin, all in one colour, has 13."""
LOW_RESOLUTION_BELOW = 160
"""Shorter side in pixels. The dataset's own photos have 228 or more; 160 is the smallest input of our networks."""

BLACK_AT_MOST = 8
WHITE_AT_LEAST = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What was measured on one photo.

    `sharpness` is the variance of the Laplacian divided by the variance of the grey values (no unit), so that a
    dark photo is not taken for a blurred one; 0 for a photo of one colour. `brightness` and `contrast` are mean
    and standard deviation of the grey values (0 … 255). `clipped_dark` and `clipped_bright` are shares of pixels.
    """

    width: int
    height: int
    sharpness: float
    brightness: float
    contrast: float
    clipped_dark: float
    clipped_bright: float

    @property
    def flags(self) -> tuple[str, ...]:
        """What is wrong with the photo, in plain words; empty where nothing is."""
        checks = {
            "blurred": self.sharpness < BLURRED_BELOW,
            "dark": self.brightness < DARK_BELOW or self.clipped_dark > CLIPPED_ABOVE,
            "overexposed": self.brightness > BRIGHT_ABOVE or self.clipped_bright > CLIPPED_ABOVE,
            "low_contrast": self.contrast < LOW_CONTRAST_BELOW,
            "low_resolution": min(self.width, self.height) < LOW_RESOLUTION_BELOW,
        }
        return tuple(word for word, holds in checks.items() if holds)


def measure_quality(image: Image.Image) -> Quality:
    """Measure an upright RGB photo of any size.

    Sharpness is the variance of the Laplacian (Pech-Pacheco et al., "Diatom autofocusing in brightfield
    microscopy", ICPR 2000), here relative to the variance of the photo itself.
    """
    grey_HW = _small_grey(image)
    brightness = float(grey_HW.mean())
    variance = float(grey_HW.var())
    return Quality(
        width=image.width,
        height=image.height,
        sharpness=_laplacian_variance(grey_HW) / variance if variance > 0 else 0.0,
        brightness=brightness,
        contrast=variance**0.5,
        clipped_dark=float((grey_HW <= BLACK_AT_MOST).mean()),
        clipped_bright=float((grey_HW >= WHITE_AT_LEAST).mean()),
    )


def _small_grey(image: Image.Image) -> npt.NDArray[np.float32]:
    """A grey copy (H, W) with a longer side of `MEASURED_SIDE` pixels, antialiased."""
    scale = MEASURED_SIDE / max(image.size)
    # The Laplacian needs three pixels a side, however narrow the photo is.
    width, height = (max(3, round(side * scale)) for side in image.size)
    whole_factor = int(1 / scale) // 2
    if whole_factor > 1:  # averaging whole blocks first is several times faster and leaves ≥2 pixels per pixel
        image = image.reduce(whole_factor)
    return np.asarray(image.convert("L").resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32)


def _laplacian_variance(grey_HW: npt.NDArray[np.float32]) -> float:
    """Variance of the 4-neighbour Laplacian over the inner pixels."""
    centre = grey_HW[1:-1, 1:-1]
    laplacian = grey_HW[:-2, 1:-1] + grey_HW[2:, 1:-1] + grey_HW[1:-1, :-2] + grey_HW[1:-1, 2:] - 4 * centre
    return float(laplacian.var())
