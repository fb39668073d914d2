"""A dataset that extends another opens what is new or changed, and is the same as one that opened everything."""

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image
from tests.prepare_support import CHAINS, drawn_source, run, tree, write_photo

import binsight.dataset.check as check_module
from binsight.dataset.check import CheckedPhoto, PhotoFile
from binsight.dataset.known import CHECKS_NAME
from binsight.dataset.manifest import Dataset
from binsight.errors import BadDataset
from binsight.imaging.decode import Limits


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The photos that were opened since the test began."""
    names: list[str] = []
    real = check_module.check_photo

    def noted(file: PhotoFile, limits: Limits) -> CheckedPhoto:
        names.append(file.photo)
        return real(file, limits)

    monkeypatch.setattr(check_module, "check_photo", noted)
    return names


@pytest.fixture
def source(tmp_path: Path, opened: list[str]) -> Path:
    """Sixty photos, one that is broken, two twins of others, and a dataset of them named `before`."""
    folder = drawn_source(tmp_path / "source", CHAINS)
    with Image.open(folder / "bin-images" / "00030.jpg") as photo:  # like it, and not equal
        photo.save(folder / "bin-images" / "00040.jpg", quality=40)
    (folder / "bin-images" / "00010.jpg").write_bytes(b"no photo")
    shutil.copy(folder / "bin-images" / "00020.jpg", folder / "bin-images" / "00050.jpg")
    (folder / "metadata" / "00050.json").unlink()  # rejected for want of a count, and still ties what it is like
    run(folder, tmp_path / "before")
    opened.clear()
    return folder


def without_checks(dataset: Path) -> dict[str, bytes]:
    return {name: data for name, data in tree(dataset).items() if name != CHECKS_NAME}


def test_only_new_photos_are_opened(source: Path, opened: list[str], tmp_path: Path) -> None:
    drawn_source(source, {"00900": ("fresh",)})
    run(source, tmp_path / "after", extend=tmp_path / "before")
    assert opened == ["00050", "00900"], "the first is not in the dataset, whose bytes could be used again"


def test_what_is_known_makes_the_same_dataset(source: Path, opened: list[str], tmp_path: Path) -> None:
    drawn_source(source, {"00900": ("fresh",), "00901": ("item7",)})
    shutil.copy(source / "bin-images" / "00050.jpg", source / "bin-images" / "00901.jpg")
    run(source, tmp_path / "quick" / "bins", extend=tmp_path / "before")
    num_opened = len(opened)
    run(source, tmp_path / "slow" / "bins", extend=tmp_path / "before", recheck=True)
    assert num_opened == 3 and len(opened) - num_opened == len(CHAINS) + 2
    assert without_checks(tmp_path / "quick" / "bins") == without_checks(tmp_path / "slow" / "bins")
    Dataset.open(tmp_path / "quick" / "bins").verify()


def test_a_known_rejected_twin_still_ties_photos(source: Path, tmp_path: Path) -> None:
    """00050 is like 00020 by what was found before, and 00902 is like 00050: both are of one chain."""
    drawn_source(source, {"00902": ("other",)})
    shutil.copy(source / "bin-images" / "00050.jpg", source / "bin-images" / "00902.jpg")
    run(source, tmp_path / "after", extend=tmp_path / "before")
    groups = {photo.photo: photo.group for photo in Dataset.open(tmp_path / "after").photos}
    assert groups["00902"] == groups["00020"]


def test_a_changed_photo_is_opened_again(source: Path, opened: list[str], tmp_path: Path) -> None:
    changed = source / "bin-images" / "00007.jpg"
    write_photo(changed, seed=7777)
    touched = source / "bin-images" / "00008.jpg"
    os.utime(touched, ns=(1, touched.stat().st_mtime_ns + 1))
    run(source, tmp_path / "after", extend=tmp_path / "before")
    assert opened == ["00007", "00008", "00050"]
    after = Dataset.open(tmp_path / "after")
    (photo,) = [photo for photo in after.photos if photo.photo == "00007"]
    assert after.read_bytes(photo) == changed.read_bytes()


def test_other_limits_have_all_photos_opened(source: Path, opened: list[str], tmp_path: Path) -> None:
    run(source, tmp_path / "after", extend=tmp_path / "before", limits=Limits(max_pixels=160 * 120))
    assert len(opened) == len(CHAINS)


def test_a_dataset_of_before_there_were_checks_can_be_extended(
    source: Path, opened: list[str], tmp_path: Path
) -> None:
    (tmp_path / "before" / CHECKS_NAME).unlink()
    run(source, tmp_path / "after", extend=tmp_path / "before")
    assert len(opened) == len(CHAINS)


def test_a_photo_that_is_gone_from_the_former_dataset_is_opened(
    source: Path, opened: list[str], tmp_path: Path
) -> None:
    gone = Dataset.open(tmp_path / "before").photos[0]
    (tmp_path / "before" / gone.file).unlink()
    run(source, tmp_path / "after", extend=tmp_path / "before")
    assert opened == [gone.photo, "00050"]


def test_a_photo_that_goes_while_its_dataset_is_extended_is_named(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(os, "link", gone)
    with pytest.raises(BadDataset, match=r"before/.*\.jpg was removed while its dataset was extended; try again"):
        run(source, tmp_path / "after", extend=tmp_path / "before")
    assert not (tmp_path / "after").exists()


def test_bytes_are_copied_where_they_cannot_be_linked(
    source: Path, opened: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refused)
    run(source, tmp_path / "after", extend=tmp_path / "before")
    assert opened == ["00050"]
    Dataset.open(tmp_path / "after").verify()


def test_damaged_checks_are_named(source: Path, tmp_path: Path) -> None:
    (tmp_path / "before" / CHECKS_NAME).write_bytes(b"PAR1 cut short")
    with pytest.raises(BadDataset, match=r"checks\.parquet is not a readable Parquet file.*remove it"):
        run(source, tmp_path / "after", extend=tmp_path / "before")
    assert not (tmp_path / "after").exists()
