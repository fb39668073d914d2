"""Bytes of unknown origin to one upright RGB image within limits, or one clear sentence why not."""

import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from binsight.errors import BadPhoto

FORMATS = ("JPEG", "PNG", "WEBP")
"""The allow-list: Pillow opens some forty formats, most of them attack surface and none a camera's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a photo may be at most (and at least) before any pixel of it is decoded."""

    max_bytes: int = 32 * 1024 * 1024
    max_pixels: int = 40_000_000
    min_side: int = 16


DEFAULT_LIMITS = Limits()


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
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        _check_header(image, name, limits)
        if enough_side is not None:
            _draft(image, enough_side)
        image.load()
        return _rgb(ImageOps.exif_transpose(image))
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


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion would clip at 255, not scale
        return Image.fromarray((np.asarray(image, dtype=np.int64) >> 8).clip(0, 255).astype(np.uint8)).convert(
            "RGB"
        )
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")
