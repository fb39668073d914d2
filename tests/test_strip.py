"""Metadata goes, the pixels stay: on real photos and on files made to be awkward."""

import io
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from binsight.counting import Counter, default_bundle
from binsight.errors import BadPhoto
from binsight.imaging import decode_photo
from binsight.imaging.drawn import drawn_photo
from binsight.imaging.strip import photo_type, stripped

SECRET = b"Warehouse-7-bay-12"
JPEG = drawn_photo(2, seed=2)
GPS_IFD, MAKE, ORIENTATION = 0x8825, 0x010F, 0x0112
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a>' + SECRET + b"</a></x:xmpmeta>"


def exif(orientation: int = 1) -> bytes:
    """EXIF with a maker, a place on the globe and an orientation, as Pillow's `Exif\\0\\0…`."""
    tags = Image.Exif()
    tags[MAKE], tags[ORIENTATION] = SECRET.decode(), orientation
    tags[GPS_IFD] = {1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0), 29: SECRET.decode()}
    return tags.tobytes()


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def tagged(jpeg: bytes, orientation: int = 1) -> bytes:
    """A JPEG with every kind of metadata put in front of its first segment and behind its end, pixels untouched."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    extra = [
        segment(0xE1, exif(orientation)),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP),
        segment(0xE2, b"ICC_PROFILE\0\1\1" + profile),
        segment(0xE2, b"FPXR\0" + SECRET),
        segment(0xED, b"Photoshop 3.0\08BIM" + SECRET),
        segment(0xFE, SECRET),
    ]
    return jpeg[:2] + b"".join(extra) + b"\xff\xff" + jpeg[2:][1:] + SECRET


def pixels(data: bytes) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    return np.asarray(decode_photo(data))


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def saved(kind: str, mode: str = "RGB", orientation: int = 1, **options: object) -> bytes:
    file = io.BytesIO()
    photo = Image.open(io.BytesIO(JPEG)).resize((90, 60))
    photo.convert(mode).save(file, kind, exif=exif(orientation), xmp=XMP, **options)
    return file.getvalue()


def with_text(orientation: int) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", SECRET.decode())
    info.add_itxt("Author", SECRET.decode())
    data = saved("PNG", orientation=orientation, pnginfo=info)
    return data[:-12] + chunk(b"tIME", b"\x07\xea\1\1\1\1\1") + data[-12:] + SECRET


AWKWARD = {
    "progressive": saved("JPEG", progressive=True, comment=SECRET),
    "grey": saved("JPEG", "L"),
    "cmyk": saved("JPEG", "CMYK"),
    "restarts": saved("JPEG", restart_marker_rows=1),
    "png": with_text(1),
    "palette": saved("PNG", "P"),
    "transparent": saved("PNG", "RGBA"),
    "webp": saved("WEBP"),
    "lossless webp": saved("WEBP", "RGBA", lossless=True),
}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_real_photos_lose_all_metadata_and_keep_their_pixels(abid: Path, orientation: int) -> None:
    names = sorted((abid / "bin-images").glob("*.jpg"))
    for path in random.Random(orientation).sample(names, 4):
        photo = tagged(path.read_bytes(), orientation)
        assert SECRET in photo and b"GPS" not in stripped(photo)
        clean = stripped(photo)
        assert SECRET not in clean
        np.testing.assert_array_equal(pixels(clean), pixels(photo))
        with Image.open(io.BytesIO(clean)) as image:
            assert dict(image.getexif()) == ({} if orientation == 1 else {ORIENTATION: orientation})
            assert {"icc_profile", "comment", "xmp", "photoshop"}.isdisjoint(image.info)
        assert stripped(clean) == clean, "stripping twice changes nothing"


def test_a_counter_gives_the_same_estimate_for_a_stripped_photo(abid: Path) -> None:
    counter = Counter.load(default_bundle())
    photos = [tagged(path.read_bytes(), 6) for path in sorted((abid / "bin-images").glob("*.jpg"))[:8]]
    np.testing.assert_array_equal(counter.probs([stripped(photo) for photo in photos]), counter.probs(photos))


@pytest.mark.parametrize("name", AWKWARD)
def test_every_format_loses_it_too(name: str) -> None:
    photo = AWKWARD[name]
    clean = stripped(photo)
    assert SECRET in photo and SECRET not in clean
    np.testing.assert_array_equal(pixels(clean), pixels(photo))
    assert len(clean) < len(photo)
    assert photo_type(clean) == photo_type(photo)


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_photo_on_its_side_stays_upright_for_the_counter(kind: str, orientation: int) -> None:
    photo = with_text(orientation) if kind == "PNG" else saved(kind, orientation=orientation)
    clean = stripped(photo)
    assert pixels(clean).shape == ((60, 90, 3) if orientation == 3 else (90, 60, 3))
    np.testing.assert_array_equal(pixels(clean), pixels(photo))
    assert SECRET not in clean


def test_an_orientation_that_stands_in_xmp_alone_counts_as_it_does_for_the_decoder() -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><d tiff:Orientation="6"/></x:xmpmeta>'
    photo = JPEG[:2] + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp) + JPEG[2:]
    np.testing.assert_array_equal(pixels(stripped(photo)), pixels(photo))


def test_the_preview_in_a_jfif_header_goes() -> None:
    assert JPEG[2:4] == b"\xff\xe0" and JPEG[4:6] == b"\0\x10"
    photo = JPEG[:2] + segment(0xE0, JPEG[6:18] + b"\2\2" + SECRET[:12]) + JPEG[20:]
    clean = stripped(photo)
    assert SECRET[:12] not in clean
    np.testing.assert_array_equal(pixels(clean), pixels(photo))


def test_the_pictures_behind_the_first_go() -> None:
    first, second = (Image.open(io.BytesIO(data)) for data in (JPEG, drawn_photo(3, seed=3)))
    file = io.BytesIO()
    first.save(file, "MPO", save_all=True, append_images=[second], exif=exif())
    clean = stripped(file.getvalue())
    assert clean.count(b"\xff\xd8\xff") == 1
    np.testing.assert_array_equal(pixels(clean), pixels(file.getvalue()))


def test_what_is_no_photo_or_has_no_clear_parts_is_refused() -> None:
    for bad in (b"", b"hello", JPEG[:30], AWKWARD["png"][:60], AWKWARD["webp"][:40]):
        with pytest.raises(BadPhoto, match="; "):
            stripped(bad)


def test_a_bomb_is_refused() -> None:
    """By the size in the header of a WebP: 16,777,216 pixels a side."""
    photo = bytearray(AWKWARD["webp"])
    assert photo[12:16] == b"VP8X"
    photo[24:30] = b"\xff" * 6
    with pytest.raises(BadPhoto):
        stripped(bytes(photo))


@given(data=st.data())
def test_damaged_bytes_are_stripped_or_refused_and_never_break_it(data: st.DataObject) -> None:
    photo = bytearray(data.draw(st.sampled_from([JPEG, AWKWARD["png"], AWKWARD["webp"]])))
    for _ in range(data.draw(st.integers(1, 4))):
        photo[data.draw(st.integers(0, len(photo) - 1))] = data.draw(st.integers(0, 255))
    try:
        stripped(bytes(photo[: data.draw(st.integers(0, len(photo)))]))
    except BadPhoto as error:
        assert "; " in str(error)
