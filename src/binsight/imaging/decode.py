"""Bytes of unknown origin to one upright RGB image within limits, or one clear sentence why not."""

import io
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from binsight.errors import BadPhoto
from binsight.settings import settings

FORMATS = ("JPEG", "PNG", "WEBP")
"""The allow-list: Pillow opens some forty formats, most of them attack surface and none a camera's."""

_TURNS: Mapping[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a photo upright, by its EXIF orientation; 1 is upright."""

_BAND_PIXELS = 1024 * 1024
"""Pixels that become RGB at once, where that takes copies in between: of a whole photo of 40 megapixels each copy would
have 160 MB, and a file of 150 kB can ask for that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a photo may be at most (and at least) before any pixel of it is decoded."""

    max_bytes: int = 32 * 1024 * 1024
    max_pixels: int = 40_000_000
    min_side: int = 16


DEFAULT_LIMITS = Limits()


def limits_set() -> Limits:
    """What the settings allow: one law for whatever prepares, learns from, counts or shows photos."""
    return Limits(max_bytes=settings().max_photo_bytes, max_pixels=settings().max_photo_pixels)


def decode_photo(
    data: bytes, *, name: str = "photo", limits: Limits = DEFAULT_LIMITS, enough_side: int | None = None
) -> Image.Image:
    """Decode one JPEG, PNG or WebP photo to an upright RGB image.

    `enough_side` permits a JPEG to be decoded at 1/2, 1/4 or 1/8 of its size, as long as its shorter side
    keeps at least that many pixels: much faster for large photos.

    Grey, palette, 16-bit and CMYK images become RGB; transparency is laid over white; EXIF orientation is
    applied. Raises `BadPhoto` for bytes that are empty, cut off, of another format, animated or beyond
    `limits`; the size is read from the header, so that a decompression bomb costs nothing.
    """
    if not data:
        raise BadPhoto(f"{name} is empty; fetch it again", reason="empty")
    if len(data) > limits.max_bytes:
        raise BadPhoto(
            f"{name} must be at most {limits.max_bytes:,} bytes, but has {len(data):,}; save it smaller",
            reason="too_many_bytes",
        )
    try:
        with warnings.catch_warnings():
            # Pillow only warns below twice its own cap; ours is checked here, before decoding.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
        _check_header(image, name, limits)
        if enough_side is not None:
            _draft(image, enough_side)
        image.load()
        orientation = orientation_of(image)
        image = _rgb(image)  # what it was decoded to goes before it is turned, which takes a copy
        return _upright(image, orientation)
    except BadPhoto:
        raise
    except UnidentifiedImageError:
        raise BadPhoto(
            f"{name} is not a JPEG, PNG or WebP photo; convert it to one of these", reason="format"
        ) from None
    except Image.DecompressionBombError:
        raise BadPhoto(
            f"{name} has more pixels than any photo; save it smaller", reason="too_many_pixels"
        ) from None
    except MemoryError:
        raise BadPhoto(
            f"{name} needs more memory than there is to decode it; save it smaller", reason="too_many_pixels"
        ) from None
    except Exception as error:  # noqa: BLE001 - decoders raise all sorts on hostile bytes; each is a bad photo
        raise BadPhoto(
            f"{name} is cut off or damaged ({error or type(error).__name__}); fetch it again",
            reason="truncated",
        ) from None


def _check_header(image: Image.Image, name: str, limits: Limits) -> None:
    width, height = image.size
    if width * height > limits.max_pixels:
        raise BadPhoto(
            f"{name} must have at most {limits.max_pixels:,} pixels, but has {width} x {height}; save it smaller",
            reason="too_many_pixels",
        )
    if min(width, height) < limits.min_side:
        raise BadPhoto(
            f"{name} must be at least {limits.min_side} pixels on each side, but is {width} x {height}",
            reason="too_small",
        )
    num_frames = getattr(image, "n_frames", 1)
    # Pillow calls a JPEG of several frames MPO: a phone's still with a preview or a depth map behind it.
    if num_frames > 1 and image.format != "MPO":
        raise BadPhoto(
            f"{name} must be one still picture, but has {num_frames} frames; save a single frame",
            reason="animated",
        )


def _draft(image: Image.Image, enough_side: int) -> None:
    shorter = min(image.size)
    if shorter > enough_side:
        scale = enough_side / shorter
        # draft() picks the smallest JPEG scale that is at least the size asked for; it passes over other formats.
        image.draft("RGB", (max(1, int(image.width * scale)), max(1, int(image.height * scale))))


def orientation_of(image: Image.Image) -> int:
    """How the camera was held, 1 to 8, as EXIF or XMP have it; 1, upright, where neither says anything sensible."""
    value = image.getexif().get(ExifTags.Base.Orientation, 1)
    return int(value) if value in _TURNS else 1  # some write it as a fraction


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turned as the orientation says. Pillow's `exif_transpose` would write the EXIF anew, and cannot where any other
    entry of it is damaged."""
    if orientation == 1:
        return image
    turned = image.transpose(_TURNS[orientation])
    turned.info.clear()  # or who looks for an orientation would turn it again
    return turned


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I"):
        return _in_bands(image, _from_16_bits)
    if image.has_transparency_data:
        return _in_bands(image, _over_white)
    return image.convert("RGB")


def _in_bands(image: Image.Image, as_rgb: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """RGB by a function of single pixels, a band of rows at a time."""
    rgb = Image.new("RGB", image.size)
    rows = max(1, _BAND_PIXELS // image.width)
    for top in range(0, image.height, rows):
        band = image.crop((0, top, image.width, min(top + rows, image.height)))
        rgb.paste(as_rgb(band), (0, top))
    return rgb


def _from_16_bits(grey: Image.Image) -> Image.Image:
    # Pillow's own conversion would clip at 255, not scale.
    return Image.fromarray((np.asarray(grey, dtype=np.uint16) >> 8).astype(np.uint8)).convert("RGB")


def _over_white(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
