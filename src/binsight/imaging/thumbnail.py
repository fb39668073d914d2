"""Small JPEG copies of photos, for pages."""

import io

from binsight.imaging.decode import decode_photo, limits_set


def thumbnail(data: bytes, *, name: str, side: int, quality: int = 80) -> bytes:
    """The photo as a JPEG whose longer side is at most `side` pixels. Raises `BadPhoto`, naming `name`."""
    image = decode_photo(data, name=name, limits=limits_set(), enough_side=side)
    image.thumbnail((side, side))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()
