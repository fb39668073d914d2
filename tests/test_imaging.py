"""From bytes to `images_BCHW`."""

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from binsight.errors import BadPhoto
from binsight.imaging import Limits, Preprocessing, decode_photo, images_BCHW, pixels_HWC
from binsight.imaging.drawn import draw_bin, drawn_photo

SQUASH = Preprocessing(size=64, fit="squash", mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.5))
LETTERBOX = SQUASH.model_copy(update={"fit": "letterbox"})


def saved(image: Image.Image, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format=file_format, **options)
    return file.getvalue()


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes whose header names any size: a decompression bomb."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


PHOTO = drawn_photo(3, seed=1)
ORIENTATION = 0x0112
FRAMES = [Image.new("RGB", (40, 40), colour) for colour in ("red", "green", "blue")]


@pytest.mark.parametrize(
    ("reason", "data"),
    [
        ("empty", b""),
        ("truncated", PHOTO[: len(PHOTO) // 2]),
        ("truncated", saved(draw_bin(2, seed=1), "PNG")[:5000]),
        ("format", b"this is not a photo"),
        ("format", b"%PDF-1.7 neither is this"),
        ("format", saved(Image.new("RGB", (40, 40)), "GIF")),
        ("format", saved(Image.new("RGB", (40, 40)), "TIFF")),
        ("animated", saved(FRAMES[0], "WEBP", save_all=True, append_images=FRAMES[1:])),
        ("animated", saved(FRAMES[0], "PNG", save_all=True, append_images=FRAMES[1:])),
        ("too_many_pixels", png_claiming(20_000, 20_000)),
        ("too_many_pixels", png_claiming(100_000, 100_000)),
        ("too_small", saved(Image.new("RGB", (8, 300)), "PNG")),
        ("too_many_bytes", PHOTO + b"\0" * (33 * 1024 * 1024)),
    ],
)
def test_bytes_that_are_no_usable_photo_are_refused_in_one_sentence(reason: str, data: bytes) -> None:
    with pytest.raises(BadPhoto, match=r"shelf-7\.jpg") as caught:
        decode_photo(data, name="shelf-7.jpg")
    assert caught.value.reason == reason
    assert "\n" not in str(caught.value)


def test_a_photo_with_a_second_picture_behind_it_is_its_first() -> None:
    """As many phones write them: MPO, which Pillow tells from JPEG and everybody else calls JPEG."""
    file = io.BytesIO()
    FRAMES[0].save(file, "MPO", save_all=True, append_images=FRAMES[1:], quality=95)
    with Image.open(io.BytesIO(file.getvalue())) as opened:
        assert (opened.format, opened.n_frames) == ("MPO", len(FRAMES))  # type: ignore[attr-defined]
        first = np.asarray(opened.convert("RGB"))
    np.testing.assert_array_equal(np.asarray(decode_photo(file.getvalue())), first)


def test_a_photo_that_memory_does_not_suffice_for_is_not_called_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_: Image.Image) -> None:
        raise MemoryError

    monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile.load", load)
    with pytest.raises(BadPhoto, match="more memory than there is") as refused:
        decode_photo(drawn_photo(1, seed=1))
    assert refused.value.reason == "too_many_pixels"


def test_a_bomb_is_refused_before_any_pixel_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object) -> None:
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", explode)
    with pytest.raises(BadPhoto, match="pixels"):
        decode_photo(png_claiming(20_000, 20_000))


@given(st.binary(max_size=200), st.integers(0, len(PHOTO) - 1))
def test_no_bytes_make_anything_but_a_photo_or_a_bad_photo(noise: bytes, at: int) -> None:
    """Random bytes put into the middle of a real file: whatever a decoder raises, the caller sees `BadPhoto`."""
    damaged = PHOTO[:at] + noise + PHOTO[at + len(noise) :]
    with suppress(BadPhoto):
        assert decode_photo(damaged).mode == "RGB"


def _sixteen_bit(image: Image.Image) -> bytes:
    grey = np.asarray(image.convert("L")).astype(np.uint16) << 8
    return saved(Image.fromarray(grey), "PNG")


@pytest.mark.parametrize(
    "encode",
    [
        lambda image: saved(image.convert("CMYK"), "JPEG", quality=95),
        lambda image: saved(image, "PNG"),
        lambda image: saved(image, "WEBP", quality=95),
        lambda image: saved(image.convert("RGBA"), "PNG"),
        lambda image: saved(image.convert("P", palette=Image.Palette.ADAPTIVE, colors=256), "PNG"),
    ],
    ids=["cmyk", "png", "webp", "rgba", "palette"],
)
def test_every_way_to_store_a_photo_gives_nearly_the_same_pixels(encode: Callable[[Image.Image], bytes]) -> None:
    image = draw_bin(4, seed=2)
    stored = pixels_HWC(encode(image), SQUASH).astype(int)
    assert np.abs(stored - pixels_HWC(saved(image, "PNG"), SQUASH)).mean() < 4


@pytest.mark.parametrize("encode", [_sixteen_bit, lambda image: saved(image.convert("L"), "JPEG", quality=95)])
def test_grey_photos_keep_their_brightness(encode: Callable[[Image.Image], bytes]) -> None:
    """16 bits are scaled to 8, not cut off at 255, which would be white."""
    image = draw_bin(4, seed=2)
    grey = np.asarray(image.convert("L").resize((64, 64), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(pixels_HWC(encode(image), SQUASH)[..., 0].astype(int) - grey).mean() < 3


def test_transparency_is_laid_over_white() -> None:
    clear = saved(Image.new("RGBA", (50, 50), (0, 0, 0, 0)), "PNG")
    assert np.asarray(decode_photo(clear)).min() == 255


def _see_through(mode: str) -> Image.Image:
    values = np.random.default_rng(7).integers(0, 256, (130, 90, 4), dtype=np.uint8)
    image = Image.fromarray(values, "RGBA")
    return image if mode == "RGBA" else image.convert(mode)


SEE_THROUGH = {
    "rgba": saved(_see_through("RGBA"), "PNG"),
    "rgba webp": saved(_see_through("RGBA"), "WEBP", lossless=True),
    "grey": saved(_see_through("LA"), "PNG"),
    "one grey": saved(_see_through("L"), "PNG", transparency=77),
    "one of a palette": saved(_see_through("P"), "PNG", transparency=3),
    "a palette's": saved(_see_through("P"), "PNG", transparency=bytes(range(256))),
}
BAND_PIXELS = "binsight.imaging.decode._BAND_PIXELS"


@pytest.mark.parametrize("data", SEE_THROUGH.values(), ids=SEE_THROUGH)
@pytest.mark.parametrize("band", [1000, 50], ids=["bands of rows", "rows longer than a band"])
def test_transparency_laid_over_white_in_bands_is_that_of_the_whole(
    data: bytes, band: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BAND_PIXELS, band)
    with Image.open(io.BytesIO(data)) as image:
        rgba = image.convert("RGBA")
    whole = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    assert decode_photo(data).tobytes() == whole.tobytes()


def test_sixteen_bits_become_eight_by_their_upper_half_in_every_band(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BAND_PIXELS, 1000)
    grey = np.random.default_rng(7).integers(0, 65536, (130, 90), dtype=np.uint16)
    decoded = np.asarray(decode_photo(saved(Image.fromarray(grey), "PNG")))
    assert (decoded == (grey >> 8).astype(np.uint8)[..., None]).all()


DECODE = """
import re, sys
from pathlib import Path
from binsight.imaging import decode_photo
def most():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
decode_photo(Path(sys.argv[1]).read_bytes())
before = most()
decode_photo(Path(sys.argv[2]).read_bytes())
print(most() - before)
"""


@pytest.mark.parametrize(
    ("encode", "bytes_a_pixel"),
    [
        (lambda side: saved(Image.new("RGBA", (side, side), (9, 9, 9, 9)), "PNG"), 10),
        (lambda side: saved(Image.fromarray(np.zeros((side, side), np.uint16)), "PNG"), 8),
        (lambda side: saved(Image.new("RGB", (side, side)), "JPEG"), 6),
        (lambda side: saved(Image.new("RGBA", (side, side), (9, 9, 9, 9)), "WEBP", method=0), 18),
    ],
    ids=["transparent", "16 bits", "jpeg", "webp"],
)
def test_a_small_file_of_many_pixels_takes_no_copies_beyond_its_pixels(
    tmp_path: Path, encode: Callable[[int], bytes], bytes_a_pixel: float
) -> None:
    """Pillow holds RGB in 4 bytes a pixel. A PNG is there twice, as stored and as RGB; a WebP's decoder keeps two more
    and hands its pixels over in a third. The rest is one band's copies."""
    side = 4000
    (tmp_path / "small").write_bytes(saved(Image.new("RGBA", (64, 64)), "PNG"))
    (tmp_path / "large").write_bytes(encode(side))
    paths = [str(tmp_path / name) for name in ("small", "large")]
    out = subprocess.run([sys.executable, "-c", DECODE, *paths], capture_output=True, check=True, text=True).stdout
    assert int(out) < bytes_a_pixel * side**2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_rotated_photo_is_turned_upright(orientation: int) -> None:
    """Stored as a camera held in each of eight ways would, it comes out the same."""
    upright = draw_bin(3, seed=5, size=(160, 120))
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    decoded = decode_photo(saved(stored, "PNG", exif=exif))
    assert np.array_equal(np.asarray(decoded), np.asarray(upright))
    assert ORIENTATION not in decoded.getexif() or orientation == 1, "or it would be turned again"


@pytest.mark.parametrize(
    "damaged",
    [struct.pack(">HHII", 0x011A, 2, 1, 0x41000000), struct.pack(">HHII", 0x0128, 9, 1, 0xFFFFFFFF)],
    ids=["a resolution that is a text", "a unit below nought"],
)
def test_a_photo_is_turned_upright_whatever_else_its_exif_says(damaged: bytes) -> None:
    """Entries that can be read but not written again; the pixels are in order."""
    entries = struct.pack(">HHII", ORIENTATION, 3, 1, 6 << 16) + damaged
    exif = b"Exif\0\0MM\0\x2a\0\0\0\x08" + struct.pack(">H", 2) + entries + struct.pack(">I", 0)
    stored = PHOTO[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + PHOTO[2:]
    turned = np.rot90(np.asarray(decode_photo(PHOTO)), -1)
    assert np.array_equal(np.asarray(decode_photo(stored)), turned)


def test_channels_are_red_green_blue_and_normalised_each_by_its_own_mean_and_std() -> None:
    """Fails for swapped channels, a skipped normalisation, and channels in the last place."""
    orange = saved(Image.new("RGB", (80, 80), (255, 102, 0)), "PNG")
    images = images_BCHW(pixels_HWC(orange, SQUASH)[None], SQUASH)
    assert images.shape == (1, 3, 64, 64)
    assert images.dtype == np.float32
    assert images.flags.c_contiguous
    wanted = [(1.0 - 0.5) / 0.2, (0.4 - 0.4) / 0.25, (0.0 - 0.3) / 0.5]
    assert np.allclose(images[0, :, 30, 30], wanted, atol=1e-6)


def test_letterbox_keeps_proportions_and_pads_with_the_mean() -> None:
    wide = saved(Image.new("RGB", (400, 100), "white"), "PNG")
    pixels = pixels_HWC(wide, LETTERBOX)
    white = (pixels == 255).all(axis=2)
    assert white.all(axis=1).sum() == 16  # a quarter as high as wide
    assert tuple(pixels[0, 0]) == LETTERBOX.padding_rgb == (128, 102, 76)
    assert np.abs(images_BCHW(pixels[None], LETTERBOX)[0, :, 0, 0]).max() < 0.01


def test_squash_fills_the_square() -> None:
    wide = saved(Image.new("RGB", (400, 100), "white"), "PNG")
    assert (pixels_HWC(wide, SQUASH) == 255).all()


def test_scaled_decoding_is_used_for_large_photos_and_hardly_shows() -> None:
    large = saved(draw_bin(6, seed=3).resize((1600, 1200)), "JPEG", quality=92)
    assert decode_photo(large, enough_side=128).size == (400, 300) or decode_photo(large, enough_side=128).size == (
        200,
        150,
    )
    whole = decode_photo(large).resize((64, 64), Image.Resampling.BILINEAR)
    assert np.abs(pixels_HWC(large, SQUASH).astype(int) - np.asarray(whole)).mean() < 2


def test_pixels_hardly_depend_on_how_a_photo_was_stored(abid: Path) -> None:
    """The same real photos at native resolution and as 320-pixel JPEGs give nearly the same input."""
    preprocessing = Preprocessing(size=160, fit="squash", mean=(0.5,) * 3, std=(0.5,) * 3)
    off = []
    for path in sorted((abid / "originals").iterdir())[:40]:
        native = pixels_HWC(path.read_bytes(), preprocessing).astype(int)
        small = pixels_HWC((abid / "bin-images" / path.name).read_bytes(), preprocessing)
        off.append(np.abs(native - small).mean())
    assert np.median(off) < 4


def test_limits_are_the_callers_to_set() -> None:
    with pytest.raises(BadPhoto, match="at most 1,000 pixels"):
        decode_photo(PHOTO, limits=Limits(max_pixels=1000))


def test_images_refuse_floats_and_single_photos() -> None:
    with pytest.raises(ValueError, match=r"\(B, H, W, 3\)"):
        images_BCHW(np.zeros((64, 64, 3), np.uint8), SQUASH)
    with pytest.raises(ValueError, match="uint8"):
        images_BCHW(np.zeros((1, 64, 64, 3)), SQUASH)  # type: ignore[arg-type]
