"""The manifest: what is written is read back, the same photos give the same bytes, damage is named."""

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.prepare_support import labelled

from binsight.dataset.manifest import SPLITS, Dataset, LabelledPhoto, read_manifest, write_manifest
from binsight.errors import BadDataset, MissingObject

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
photos = st.builds(
    LabelledPhoto,
    photo=text,
    file=st.just("train/a.jpg"),
    count=st.integers(0, 10**6),
    split=st.sampled_from(SPLITS),
    group=text,
    sha256=text,
    width=st.integers(16, 10_000),
    height=st.integers(16, 10_000),
    extras=st.fixed_dictionaries({"kind": text, "bin label": text}),
)


@settings(deadline=None)
@given(st.lists(photos, max_size=5).map(tuple))
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, photos: Any) -> None:
    path = tmp_path_factory.mktemp("manifest") / "manifest.parquet"
    digest = write_manifest(path, photos)
    assert read_manifest(path) == photos
    assert digest == sha256(path.read_bytes()).hexdigest()


def test_the_same_photos_give_the_same_bytes(tmp_path: Path) -> None:
    photos = tuple(labelled(f"{n:05}", kind="original") for n in range(1000))
    assert write_manifest(tmp_path / "a", photos) == write_manifest(tmp_path / "b", photos)


def test_a_further_column_that_some_photos_lack_is_empty_for_them(tmp_path: Path) -> None:
    write_manifest(tmp_path / "m", (labelled("1", kind="original"), labelled("2")))
    assert [photo.extras for photo in read_manifest(tmp_path / "m")] == [{"kind": "original"}, {"kind": ""}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train").mkdir()
    photo = labelled("00001", kind="original")
    (tmp_path / photo.file).write_bytes(b"bytes")
    other = labelled("00002", split="val", count=3)
    (tmp_path / "val").mkdir()
    (tmp_path / other.file).write_bytes(b"others")
    digest = write_manifest(
        tmp_path / "manifest.parquet",
        (replace(photo, sha256=sha256(b"bytes").hexdigest()), replace(other, sha256=sha256(b"others").hexdigest())),
    )
    (tmp_path / "dataset.json").write_text(json.dumps({"sha256": digest}))
    return tmp_path


def test_a_dataset_is_opened_and_its_photos_selected(folder: Path) -> None:
    dataset = Dataset.open(folder)
    dataset.verify()
    assert [photo.photo for photo in dataset.select("val")] == ["00002"]
    assert [photo.photo for photo in dataset.select(where=lambda photo: photo.count == 1)] == ["00001"]
    assert dataset.read_bytes(dataset.photos[0]) == b"bytes"


def test_a_changed_photo_is_found(folder: Path) -> None:
    (folder / "train" / "00001.jpg").write_bytes(b"other")
    with pytest.raises(BadDataset, match=r"train/00001.jpg must have the checksum"):
        Dataset.open(folder).verify()


def test_a_missing_photo_is_named(folder: Path) -> None:
    (folder / "train" / "00001.jpg").unlink()
    with pytest.raises(BadDataset, match=r"train/00001.jpg is in the manifest but cannot be read"):
        Dataset.open(folder).verify()


def test_a_folder_without_a_manifest_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(MissingObject, match="binsight data prepare"):
        Dataset.open(tmp_path)


@pytest.mark.parametrize(
    ("summary", "said"),
    [
        (None, "half-written"),
        ("{", "is not JSON"),
        ("[]", "must be a JSON object"),
        ('{"sha256": "beef"}', "must have the checksum"),
    ],
)
def test_a_dataset_whose_summary_does_not_match_is_refused(folder: Path, summary: str | None, said: str) -> None:
    (folder / "dataset.json").unlink()
    if summary is not None:
        (folder / "dataset.json").write_text(summary)
    with pytest.raises(BadDataset, match=said):
        Dataset.open(folder)


def test_a_manifest_that_is_not_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(BadDataset, match="not a readable Parquet file"):
        read_manifest(tmp_path / "m")


def write_rows(path: Path, **changed: object) -> Path:
    """A manifest of one row made elsewhere; a changed column of None is left out."""
    row = {
        "photo": "1",
        "file": "train/1.jpg",
        "count": 1,
        "split": "train",
        "group": "1",
        "sha256": "",
        "width": 20,
        "height": 20,
    } | changed
    columns = {name: [value] for name, value in row.items() if value is not None}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"count": None}, "lacks count"),
        ({"count": "one"}, "count of photo 1 must be a whole number"),
        ({"count": -1}, "count of photo 1 must be a whole number"),
        ({"photo": 1}, "photo of photo 1 must be text"),
        ({"split": "dev"}, "split of photo 1 must be one of train, val, test"),
        ({"file": "../../etc/passwd"}, "must lie in the dataset's folder"),
        ({"file": "/etc/passwd"}, "must lie in the dataset's folder"),
    ],
)
def test_a_manifest_from_elsewhere_with_impossible_values_is_refused(
    tmp_path: Path, changed: dict[str, object], said: str
) -> None:
    with pytest.raises(BadDataset, match=said):
        read_manifest(write_rows(tmp_path / "m", **changed))
