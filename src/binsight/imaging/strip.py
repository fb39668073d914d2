"""A photo without what else its file says: where, when and by whom it was taken. Nothing is encoded again.

Kept is what the pixels need, by a list of what may stay: whatever a camera or a program invents besides is left out.
Of the metadata the orientation alone stays, as EXIF with that one entry, since without it the photo would lie on its
side. Colour profiles go too: they can name the device, and `decode_photo` does not apply them.

JPEG: ITU-T T.81, annex B. PNG: https://www.w3.org/TR/png-3/. WebP: https://developers.google.com/speed/webp/docs/riff_container
"""

import io
import re
import struct
from collections.abc import Iterator
from zlib import crc32

from PIL import Image

from binsight.errors import BadPhoto
from binsight.imaging.decode import FORMATS, orientation_of

_ORIENTATION = 0x0112

_JPEG_ENDS_SCAN = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")
"""A marker within a scan that is neither an escaped 0xFF nor a restart."""
_JPEG_SOI, _JPEG_EOI, _JPEG_SOS, _JPEG_APP0, _JPEG_APP14 = 0xD8, 0xD9, 0xDA, 0xE0, 0xEE
_JPEG_KEPT = frozenset({*range(0xC0, 0xD0), _JPEG_SOS, 0xDB, 0xDC, 0xDD})
"""Frames, tables, scans, number of lines, restart interval."""

_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"sRGB", b"sBIT", b"acTL", b"fcTL"})
"""With the two that make a still of an animation of one frame."""

_WEBP_KEPT = frozenset({b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"})
_WEBP_METADATA_FLAGS = 0x20 | 0x08 | 0x04  # a colour profile, EXIF, XMP
_WEBP_EXIF_FLAG = 0x08


def photo_type(data: bytes) -> str:
    """The media type of a photo by its first bytes: `image/jpeg`, `image/png` or `image/webp`.

    Raises `BadPhoto` for any other.
    """
    if data.startswith(b"\xff\xd8"):
        return "image/jpeg"
    if data.startswith(_PNG_START):
        return "image/png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    raise BadPhoto("the photo is not a JPEG, PNG or WebP; convert it to one of these", reason="format")


def stripped(data: bytes) -> bytes:
    """The photo without its metadata; `decode_photo` gives the very same pixels for it.

    Pictures behind the first (a camera's preview) and bytes behind the end go too. Raises `BadPhoto` for bytes whose
    parts cannot be told from each other.
    """
    kind = photo_type(data)
    try:
        orientation = _orientation(data)
        if kind == "image/jpeg":
            return _jpeg(data, orientation)
        return _png(data, orientation) if kind == "image/png" else _webp(data, orientation)
    except BadPhoto:
        raise
    except Exception as error:  # noqa: BLE001 - as in `decode_photo`: hostile bytes make Pillow raise all sorts
        raise BadPhoto(
            f"the photo's parts cannot be told apart ({error}); save it again", reason="truncated"
        ) from None


def _orientation(data: bytes) -> int:
    """As `decode_photo` will see it, which also knows of an orientation in XMP; 1 is upright."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        return orientation_of(image)


def _exif(orientation: int) -> bytes:
    """EXIF (a TIFF of one directory) with one entry."""
    return b"MM\x00\x2a\x00\x00\x00\x08" + struct.pack(">HHHIHHI", 1, _ORIENTATION, 3, 1, orientation, 0, 0)


def _jpeg(data: bytes, orientation: int) -> bytes:
    head, rest = [b"\xff\xd8"], []
    for marker, segment in _jpeg_segments(data):
        if marker == _JPEG_APP0 and segment[4:9] == b"JFIF\0" and len(head) == 1:
            head.append(b"\xff\xe0\x00\x10" + segment[4:16] + b"\0\0")  # without its thumbnail
        elif marker == _JPEG_APP14 and segment[4:9] == b"Adobe":
            rest.append(b"\xff\xee\x00\x0e" + segment[4:16])  # says how the colours are meant
        elif marker in _JPEG_KEPT:
            rest.append(segment)
    if orientation != 1:
        exif = b"Exif\0\0" + _exif(orientation)
        head.append(b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif)
    return b"".join([*head, *rest, b"\xff\xd9"])


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Each segment of the first picture with its marker, that of a scan with all its data."""
    place = 2
    while (place := data.find(b"\xff", place)) >= 0:
        while data[place + 1] == 0xFF:  # filling
            place += 1
        marker = data[place + 1]
        if marker == _JPEG_EOI:
            return
        if marker in (0x00, 0x01, _JPEG_SOI) or 0xD0 <= marker <= 0xD7:  # carry no length; decoders pass over them
            place += 2
            continue
        (length,) = struct.unpack_from(">H", data, place + 2)
        end = place + 2 + length
        if length < 2 or end > len(data):
            raise ValueError(f"segment {marker:02X} runs over the end")
        if marker == _JPEG_SOS:
            found = _JPEG_ENDS_SCAN.search(data, end)
            end = found.start() if found else len(data)
        yield marker, data[place:end]
        place = end


def _png(data: bytes, orientation: int) -> bytes:
    parts, place = [_PNG_START], len(_PNG_START)
    name = b""
    while name != b"IEND":
        length, name = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if end > len(data):
            raise ValueError(f"chunk {name!r} runs over the end")
        if name in _PNG_KEPT:
            parts.append(data[place:end])
        if name == b"IHDR" and orientation != 1:
            parts.append(_png_chunk(b"eXIf", _exif(orientation)))
        place = end
    return b"".join(parts)


def _png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc32(name + content))


def _webp(data: bytes, orientation: int) -> bytes:
    (size,) = struct.unpack_from("<I", data, 4)
    parts, place, end = [b"WEBP"], 12, min(8 + size, len(data))
    while place + 8 <= end:
        name, length = struct.unpack_from("<4sI", data, place)
        content = data[place + 8 : place + 8 + length]
        if len(content) != length:
            raise ValueError(f"chunk {name!r} runs over the end")
        if name == b"VP8X":
            flags = content[0] & ~_WEBP_METADATA_FLAGS | (_WEBP_EXIF_FLAG if orientation != 1 else 0)
            content = bytes([flags]) + content[1:]
        if name in _WEBP_KEPT:
            parts.append(_webp_chunk(name, content))
        place += 8 + length + length % 2
    if orientation != 1:  # then there was EXIF or XMP, and so VP8X, which announces it
        parts.append(_webp_chunk(b"EXIF", _exif(orientation)))
    body = b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _webp_chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
