"""Counted bins join a dataset: weighted, once each, and never beside what judges."""

import csv
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
from tests.dataset_support import real_dataset
from tests.ledger_support import Opener
from tests.retrain_support import counted, fresh_photos

from binsight.dataset.manifest import Dataset
from binsight.lifecycle.counted import counted_bins, gather, number_of_counts, read_gathered
from binsight.lifecycle.extended import WEIGHT, extend
from binsight.storage.ledger import Ledger


@pytest.fixture(scope="module")
def base(abid: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return real_dataset(abid, tmp_path_factory.mktemp("base") / "base", {"train": 12, "val": 4, "test": 4})


@pytest.fixture
def ledger(opened: Opener, tmp_path: Path) -> Ledger:
    return opened(f"sqlite:///{tmp_path}/ledger.db")


def gathered(ledger: Ledger, out: Path) -> tuple[list[dict[str, str]], list[str]]:
    """What joins, and what is left out, as it was said."""
    said: list[str] = []
    gather([asdict(one) for one in counted_bins(ledger)], out, said.append)
    return read_gathered(out), said


def extended(base: Dataset, promotion: Dataset, counts: Path, out: Path) -> tuple[Dataset, list[str]]:
    """The dataset, and what was said."""
    said: list[str] = []
    extend(base, promotion, "test", counts, out, columns={"kind": "counted"}, say=said.append)
    return Dataset.open(out), said


def test_settled_counts_come_with_their_photos_and_probabilities(
    base: Dataset, abid: Path, ledger: Ledger, tmp_path: Path
) -> None:
    photos = fresh_photos(abid, 5, not_in=base.folder, folder=tmp_path / "photos")
    counted(ledger, photos, folder=tmp_path, drawn=[1, 2], probability=0.05)
    assert number_of_counts(ledger) == 5
    rows, said = gathered(ledger, tmp_path / "counts")
    assert said == []
    assert [(int(row["count"]), float(row["probability"])) for row in rows] == [
        (count, 0.05 if place <= 2 else 1.0) for place, (_, count) in enumerate(photos, 1)
    ]
    for row, (path, _) in zip(rows, photos, strict=True):
        assert (tmp_path / "counts" / "photos" / row["file"]).read_bytes() == path.read_bytes()


def test_what_may_still_be_taken_back_is_not_trusted(
    base: Dataset, abid: Path, ledger: Ledger, tmp_path: Path
) -> None:
    photos = fresh_photos(abid, 2, not_in=base.folder, folder=tmp_path / "photos")
    audit = counted(ledger, photos, folder=tmp_path)
    with ledger.writing() as connection:
        connection.exec_driver_sql(
            f"UPDATE tasks SET settle_at = '2999-01-01T00:00:00.000000+00:00' "
            f"WHERE audit = '{audit.id}' AND place = 1"
        )
    assert number_of_counts(ledger) == len(counted_bins(ledger)) == 1


def test_contradictory_counts_of_one_photo_are_named_and_left_out(
    base: Dataset, abid: Path, ledger: Ledger, tmp_path: Path
) -> None:
    (one, count), other = fresh_photos(abid, 2, not_in=base.folder, folder=tmp_path / "photos")
    counted(ledger, [(one, count), other], folder=tmp_path)
    counted(ledger, [(one, count + 1)], folder=tmp_path, first_bin=100)
    rows, said = gathered(ledger, tmp_path / "counts")
    assert [int(row["count"]) for row in rows] == [other[1]]
    why = f"its photo was counted as {count} and {count + 1}; count it again"
    assert sorted(said) == [f"left out: bin DC1/B-00001: {why}", f"left out: bin DC1/B-00100: {why}"]


def test_the_same_count_twice_is_one_photo(base: Dataset, abid: Path, ledger: Ledger, tmp_path: Path) -> None:
    photos = fresh_photos(abid, 1, not_in=base.folder, folder=tmp_path / "photos")
    counted(ledger, photos, folder=tmp_path, drawn=[1], probability=0.05)
    counted(ledger, photos, folder=tmp_path, first_bin=100)
    ((row), said) = gathered(ledger, tmp_path / "counts")
    assert (len(row), row[0]["probability"], said) == (1, "1.0", [])


def test_photos_that_were_changed_or_are_gone_are_named_and_left_out(
    base: Dataset, abid: Path, ledger: Ledger, tmp_path: Path
) -> None:
    photos = fresh_photos(abid, 3, not_in=base.folder, folder=tmp_path / "photos")
    counted(ledger, photos, folder=tmp_path)
    photos[0][0].write_bytes(photos[1][0].read_bytes())
    photos[2][0].unlink()
    rows, said = gathered(ledger, tmp_path / "counts")
    assert len(rows) == 1
    assert "is not the photo that was counted any more" in said[0]
    assert "cannot be read" in said[1]


def test_they_train_weighted_beside_the_photos_that_were_there(
    base: Dataset, abid: Path, ledger: Ledger, tmp_path: Path
) -> None:
    photos = fresh_photos(abid, 4, not_in=base.folder, folder=tmp_path / "photos")
    counted(ledger, photos, folder=tmp_path, drawn=[1], probability=0.25)
    gathered(ledger, tmp_path / "counts")
    dataset, said = extended(base, base, tmp_path / "counts", tmp_path / "dataset")
    before = {photo.photo: (photo.split, photo.count, photo.group, photo.sha256) for photo in base.photos}
    after = {photo.photo: (photo.split, photo.count, photo.group, photo.sha256) for photo in dataset.photos}
    assert before.items() <= after.items()
    new = [photo for photo in dataset.photos if photo.photo not in before]
    assert {photo.split for photo in new} == {"train"}
    weights = sorted(float(photo.extras[WEIGHT]) for photo in new)
    assert weights == pytest.approx([4 / 7, 4 / 7, 4 / 7, 16 / 7], abs=1e-6)
    assert {photo.extras["kind"] for photo in new} == {"counted"}
    assert {photo.extras[WEIGHT] for photo in dataset.photos if photo.photo in before} == {""}
    assert said == [f"4 photos of counted bins train beside those of {base.folder}"]
    again, _ = extended(base, base, tmp_path / "counts", tmp_path / "again" / "dataset")
    assert again.digest == dataset.digest


def test_a_photo_that_is_like_one_that_judges_never_trains(
    base: Dataset, abid: Path, ledger: Ledger, tmp_path: Path
) -> None:
    """Stored again, so that its bytes are others."""
    from PIL import Image

    judge = next(photo for photo in base.photos if photo.split == "test")
    copy = tmp_path / "photos" / "copy.jpg"
    copy.parent.mkdir()
    Image.open(base.folder / judge.file).save(copy, quality=60)
    counted(ledger, [(copy, judge.count)], folder=tmp_path)
    gathered(ledger, tmp_path / "counts")
    dataset, said = extended(base, base, tmp_path / "counts", tmp_path / "dataset")
    assert {photo.photo for photo in dataset.photos} == {photo.photo for photo in base.photos}
    assert any("is tied to photos that judge" in line for line in said)


def test_nor_does_one_of_a_promotion_set_elsewhere_or_of_its_bins(
    base: Dataset, abid: Path, ledger: Ledger, tmp_path: Path
) -> None:
    """The set has a training photo of the base, stored again, and a photo of a bin that was counted."""
    from dataclasses import replace
    from hashlib import sha256
    from json import dumps

    from PIL import Image

    from binsight.dataset.manifest import write_manifest

    train = next(photo for photo in base.photos if photo.split == "train")
    ((path, count),) = fresh_photos(abid, 1, not_in=base.folder, folder=tmp_path / "photos")
    ours, theirs = tmp_path / "set" / "test" / "a.jpg", tmp_path / "set" / "test" / "b.jpg"
    ours.parent.mkdir(parents=True)
    Image.open(base.folder / train.file).save(ours, quality=60)
    Image.open(path).rotate(180).save(theirs)
    photos = tuple(
        replace(
            train,
            photo=file.stem,
            file=f"test/{file.name}",
            split="test",
            group=file.stem,
            sha256=sha256(file.read_bytes()).hexdigest(),
            extras={"site": "DC1", "bin_id": "B-00001" if file == theirs else ""},
        )
        for file in (ours, theirs)
    )
    digest = write_manifest(tmp_path / "set" / "manifest.parquet", photos)
    (tmp_path / "set" / "dataset.json").write_text(dumps({"sha256": digest}))
    counted(ledger, [(path, count)], folder=tmp_path)
    gathered(ledger, tmp_path / "counts")
    dataset, said = extended(base, Dataset.open(tmp_path / "set"), tmp_path / "counts", tmp_path / "dataset")
    held = {photo.photo: photo.split for photo in dataset.photos}
    assert train.photo not in held, "it would train on what judges"
    assert held["promotion/a"] == held["promotion/b"] == "test"
    assert not [photo for photo in held if photo.startswith("counted/")]
    assert "left out: bin DC1/B-00001: the promotion set has photos of this bin" in said


def test_a_count_that_contradicts_a_training_photo_leaves_both_out(
    base: Dataset, abid: Path, ledger: Ledger, tmp_path: Path
) -> None:
    train, same, judge = (
        next(photo for photo in base.photos if photo.split == "train"),
        [photo for photo in base.photos if photo.split == "train"][1],
        next(photo for photo in base.photos if photo.split == "test"),
    )
    files = []
    for photo in (train, same, judge):
        files.append(tmp_path / f"{photo.photo}.jpg")
        shutil.copyfile(base.folder / photo.file, files[-1])
    counted(
        ledger,
        [(files[0], train.count + 1), (files[1], same.count), (files[2], judge.count + 1)],
        folder=tmp_path,
    )
    gathered(ledger, tmp_path / "counts")
    dataset, said = extended(base, base, tmp_path / "counts", tmp_path / "dataset")
    held = {photo.photo for photo in dataset.photos}
    assert held == {photo.photo for photo in base.photos} - {train.photo}
    assert {photo.extras[WEIGHT] for photo in dataset.photos} == {""}, "the recipe names a column that is not there"
    assert any("both stay out; count it again" in line for line in said)
    assert any("it is in the dataset already" in line or "already, with this count" in line for line in said)
    assert any(f"judges models, as {judge.photo} of test" in line for line in said)
    with (tmp_path / "stayed_out.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 3
