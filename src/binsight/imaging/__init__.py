"""From bytes to checked, bounded pixels to `images_BCHW`: one path for training, evaluation, counting, serving."""

from binsight.imaging.decode import Limits, decode_photo, limits_set
from binsight.imaging.prepare import Preprocessing, images_BCHW, pixels_HWC, scale_and_shift_C11

__all__ = [
    "Limits",
    "Preprocessing",
    "decode_photo",
    "images_BCHW",
    "limits_set",
    "pixels_HWC",
    "scale_and_shift_C11",
]
