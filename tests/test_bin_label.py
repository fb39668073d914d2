"""The bin's name, read from the Data Matrix on its label."""

import csv
import io
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image

from binsight.counting import Counter, default_bundle
from binsight.imaging import decode_photo
from binsight.imaging.bin_label import LONGEST_ENLARGED, read_bin_label


@pytest.fixture(scope="module")
def labelled(abid: Path) -> dict[str, str]:
    """The labels of 60 real photos at native resolution, by id."""
    with (abid / "labels.csv").open() as file:
        labels = {row["image_id"]: row["bin_label"] for row in csv.DictReader(file) if row["bin_label"]}
    return dict(sorted(labels.items())[::5])


def _native(abid: Path, photo: str) -> Image.Image:
    return decode_photo((abid / "originals" / f"{photo}.jpg").read_bytes())


def _reads(abid: Path, labelled: dict[str, str], **passes: object) -> float:
    """Share of the labels read; a wrong one fails the test."""
    num_read = 0
    for photo, label in labelled.items():
        read = read_bin_label(_native(abid, photo), **passes)  # type: ignore[arg-type]
        assert read in (None, label), photo
        num_read += read is not None
    return num_read / len(labelled)


def test_most_readable_labels_are_read(abid: Path, labelled: dict[str, str]) -> None:
    """279 of 300 when measured; cubic enlargement alone would read 240."""
    assert _reads(abid, labelled) >= 0.85


def test_the_strips_along_the_edges_hold_most_labels(abid: Path, labelled: dict[str, str]) -> None:
    assert _reads(abid, labelled, edges_only=True, scales=(3,)) >= 0.7


def test_no_label_is_made_up(abid: Path) -> None:
    with (abid / "labels.csv").open() as file:
        bare = [row["image_id"] for row in csv.DictReader(file) if not row["bin_label"]]
    native = [photo for photo in bare if (abid / "originals" / f"{photo}.jpg").is_file()]
    assert all(read_bin_label(_native(abid, photo), edges_only=True) is None for photo in native[:40])


def _with_matrix(photo_size: tuple[int, int], module: int, at: tuple[float, float]) -> Image.Image:
    """A grey photo with a Data Matrix of `module` pixels a module, its corner at a share of the photo."""
    code = zxingcpp.create_barcode("P-7-A379C224", zxingcpp.BarcodeFormat.DataMatrix)
    matrix = Image.fromarray(zxingcpp.write_barcode_to_image(code, scale=module)).convert("RGB")
    photo = Image.new("RGB", photo_size, (200, 200, 200))
    photo.paste(matrix, (round(at[0] * photo_size[0]), round(at[1] * photo_size[1])))
    return photo


def test_a_label_away_from_the_edges_needs_the_whole_photo() -> None:
    photo = _with_matrix((640, 480), 4, (0.4, 0.4))
    assert read_bin_label(photo) == "P-7-A379C224"
    assert read_bin_label(photo, edges_only=True) is None


def test_a_large_photo_is_read_without_being_enlarged() -> None:
    photo = _with_matrix((LONGEST_ENLARGED * 2, LONGEST_ENLARGED), 12, (0.4, 0.9))
    assert read_bin_label(photo) == "P-7-A379C224"


def test_counting_reads_the_label_in_every_pixel_that_the_camera_gave() -> None:
    """At the part of its size at which the photo is counted, the label is too small."""
    file = io.BytesIO()
    _with_matrix((2400, 1800), 3, (0.4, 0.9)).save(file, "JPEG", quality=90)
    counter = Counter.load(default_bundle(), threads=1)
    seen = counter.see("a", file.getvalue(), read_labels=True)
    assert seen.bin_label == "P-7-A379C224"
    small = decode_photo(file.getvalue(), enough_side=2 * counter.bundle.spec.preprocessing.size)
    assert small.size == (600, 450) and read_bin_label(small, edges_only=True) is None


def test_other_codes_are_not_bin_labels() -> None:
    code = zxingcpp.create_barcode("P-7-A379C224", zxingcpp.BarcodeFormat.QRCode)
    matrix = Image.fromarray(zxingcpp.write_barcode_to_image(code, scale=6)).convert("RGB")
    photo = Image.new("RGB", (640, 480), (200, 200, 200))
    photo.paste(matrix, (200, 150))
    assert read_bin_label(photo) is None


@pytest.mark.parametrize("scales", [(), (0,), (-1, 2)])
def test_impossible_scales_are_refused(scales: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="scales must be one or more numbers above 0"):
        read_bin_label(Image.new("RGB", (64, 64)), scales=scales)
