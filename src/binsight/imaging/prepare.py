"""Checked pixels to a network's input. Preprocessing belongs to the bundle; this is the only code that applies it.

Axes: B photos, C colour channels (red, green, blue), H rows, W columns.
"""

from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from binsight.imaging.decode import DEFAULT_LIMITS, Limits, decode_photo

Pixels = npt.NDArray[np.uint8]
Images = npt.NDArray[np.float32]
PositiveFloat = Annotated[float, Field(gt=0)]

OVERSAMPLING = 2
"""A JPEG is decoded at no less than this many times the wanted side, so that the antialiased resize that
follows, not the decoder's coarse scale, decides how the photo looks at the network's size."""


class Preprocessing(BaseModel):
    """How a photo becomes the network's input: part of every bundle and every recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(ge=32, le=1024, description="Side of the square input in pixels.")
    fit: Literal["letterbox", "squash"] = Field(
        description="letterbox keeps the photo's proportions and pads; squash stretches it to the square."
    )
    mean: tuple[float, float, float] = Field(description="Subtracted per channel, pixels in 0..1.")
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = Field(description="Divided by, per channel.")

    @property
    def padding_rgb(self) -> tuple[int, int, int]:
        """The colour around a letterboxed photo: the mean, which the network sees as zero."""
        red, green, blue = (round(min(max(m, 0.0), 1.0) * 255) for m in self.mean)
        return red, green, blue


def pixels_HWC(
    data: bytes, preprocessing: Preprocessing, *, name: str = "photo", limits: Limits = DEFAULT_LIMITS
) -> Pixels:
    """Decode a photo and bring it to the network's size: uint8, (size, size, 3), RGB.

    Raises `BadPhoto` as `decode_photo` does.
    """
    image = decode_photo(data, name=name, limits=limits, enough_side=OVERSAMPLING * preprocessing.size)
    return np.asarray(fit_square(image, preprocessing))


def fit_square(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """Letterbox or squash an RGB image to (size, size), antialiased."""
    size = preprocessing.size
    if preprocessing.fit == "squash":
        return image.resize((size, size), Image.Resampling.BILINEAR)
    left, top, right, bottom = photo_box_xyxy(image.size, preprocessing)
    square = Image.new("RGB", (size, size), preprocessing.padding_rgb)
    square.paste(image.resize((right - left, bottom - top), Image.Resampling.BILINEAR), (left, top))
    return square


def photo_box_xyxy(photo_wh: tuple[int, int], preprocessing: Preprocessing) -> tuple[int, int, int, int]:
    """Where in the square a photo of this width and height comes to lie: all of it, or between the padding."""
    size = preprocessing.size
    if preprocessing.fit == "squash":
        return 0, 0, size, size
    scale = size / max(photo_wh)
    width, height = (max(1, round(side * scale)) for side in photo_wh)
    left, top = (size - width) // 2, (size - height) // 2
    return left, top, left + width, top + height


def scale_and_shift_C11(preprocessing: Preprocessing) -> tuple[Images, Images]:
    """What normalises pixels, each (3, 1, 1): `pixels * scale - shift` is `(pixels / 255 - mean) / std`."""
    std = np.asarray(preprocessing.std, dtype=np.float32)
    scale: Images = np.reciprocal(np.float32(255) * std)
    shift: Images = np.asarray(preprocessing.mean, dtype=np.float32) / std
    return scale[:, None, None], shift[:, None, None]


def images_BCHW(pixels_BHWC: Pixels, preprocessing: Preprocessing) -> Images:
    """Normalise uint8 pixels (B, H, W, 3) to float32 (B, 3, H, W), as `scale_and_shift_C11` says."""
    if pixels_BHWC.dtype != np.uint8 or pixels_BHWC.ndim != 4 or pixels_BHWC.shape[-1] != 3:
        raise ValueError(
            f"pixels must be uint8 of shape (B, H, W, 3), but got {pixels_BHWC.dtype} {pixels_BHWC.shape}"
        )
    scale_C11, shift_C11 = scale_and_shift_C11(preprocessing)
    planes_BCHW = pixels_BHWC.transpose(0, 3, 1, 2)
    images = np.empty(planes_BCHW.shape, dtype=np.float32)  # C-contiguous, unlike the transposed view
    np.multiply(planes_BCHW, scale_C11, out=images)
    images -= shift_C11
    return images
