"""Groups of a dataset: what any link ties together is one of them, whatever the labels call its parts."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.prepare_support import run, write_photo, write_record

from binsight.dataset.folds import deal
from binsight.dataset.groups import LABEL_GROUP, name_groups
from binsight.dataset.intake import SourcePhoto
from binsight.dataset.manifest import Dataset, LabelledPhoto
from binsight.decision.certify import certify
from binsight.decision.measures import count_prior


def labels_of(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def photos_of(dataset: Path) -> dict[str, LabelledPhoto]:
    return {photo.photo: photo for photo in Dataset.open(dataset).photos}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Sixty photos, each twice as the same file."""
    folder = tmp_path / "source"
    for n in range(60):
        write_photo(folder / f"a{n:03}.jpg", seed=n)
        shutil.copyfile(folder / f"a{n:03}.jpg", folder / f"b{n:03}.jpg")
    return folder


@pytest.fixture
def twins(source: Path, tmp_path: Path) -> dict[str, LabelledPhoto]:
    """The dataset of these photos whose labels call each file a group of its own."""
    rows = [
        {"image_id": f"{of}{n:03}", "count": str(n % 6), "group": f"bin-{of}{n}"} for n in range(60) for of in "ab"
    ]
    run(source, tmp_path / "bins", labels_of(tmp_path / "labels.csv", rows))
    return photos_of(tmp_path / "bins")


def test_copies_of_a_photo_are_one_group_though_the_labels_call_them_two(twins: dict[str, LabelledPhoto]) -> None:
    assert len({photo.group for photo in twins.values()}) == 60
    for n in range(60):
        one, other = twins[f"a{n:03}"], twins[f"b{n:03}"]
        assert one.group == other.group == f"bin-a{n}"
        assert (one.extras[LABEL_GROUP], other.extras[LABEL_GROUP]) == ("", f"bin-b{n}")


def test_no_fold_judges_a_copy_of_what_it_trained_on(twins: dict[str, LabelledPhoto]) -> None:
    fold_of = deal(list(twins.values()), num_folds=5, seed=0)
    assert len(fold_of) == 60
    assert all(fold_of[twins[f"a{n:03}"].group] == fold_of[twins[f"b{n:03}"].group] for n in range(60))


def test_copies_of_a_photo_are_one_case_of_a_certificate(twins: dict[str, LabelledPhoto]) -> None:
    counts = np.array([photo.count for photo in twins.values()])
    made = certify(np.eye(21)[counts], counts, [p.group for p in twins.values()], count_prior(counts, 21))
    assert made.num_groups == 60
    assert max(band.num_wrong for band in made.bands) <= 60


def test_neighbours_that_the_labels_tell_apart_stay_apart_where_nothing_else_links_them(tmp_path: Path) -> None:
    """Their groups are believed: neither record is needed to know that two bins are meant."""
    folder = tmp_path / "source"
    for n in range(1, 5):
        write_photo(folder / "bin-images" / f"{n:05}.jpg", seed=n)
    (folder / "metadata").mkdir()
    for photo in ("00001", "00004"):
        write_record(folder, photo, ["tea"])
    rows = [{"image_id": f"{n:05}", "count": "1", "group": f"bin {n}"} for n in range(1, 5)]
    run(folder, tmp_path / "bins", labels_of(tmp_path / "labels.csv", rows))
    found = photos_of(tmp_path / "bins")
    assert [photo.group for photo in found.values()] == ["bin 1", "bin 2", "bin 3", "bin 1"]
    assert found["00004"].extras[LABEL_GROUP] == "bin 4"


def test_groups_that_nothing_else_links_need_no_further_column(tmp_path: Path) -> None:
    for n in range(4):
        write_photo(tmp_path / "source" / f"{n}.jpg", seed=n)
    rows = [{"image_id": str(n), "count": "1", "group": f"bin {n // 2}"} for n in range(4)]
    run(tmp_path / "source", tmp_path / "bins", labels_of(tmp_path / "labels.csv", rows))
    assert [(p.group, dict(p.extras)) for p in photos_of(tmp_path / "bins").values()] == [
        (f"bin {n // 2}", {}) for n in range(4)
    ]


def test_a_datasets_rows_as_labels_keep_every_name_that_its_bins_had(
    source: Path, twins: dict[str, LabelledPhoto], tmp_path: Path
) -> None:
    """A new photo that the labels call as they once called a copy belongs to the copy's bin, and its split."""
    rows = [
        {"image_id": p.photo, "count": str(p.count), "group": p.group, "split": p.split, **p.extras}
        for p in twins.values()
    ]
    tested = next(photo for photo in twins.values() if photo.split == "test")
    write_photo(source / "c000.jpg", seed=900)
    rows.append({"image_id": "c000", "count": "1", "group": f"bin-b{int(tested.photo[1:])}"})
    run(source, tmp_path / "next", labels_of(tmp_path / "rows.csv", rows))
    found = photos_of(tmp_path / "next")
    assert (found["c000"].split, found["c000"].group) == ("test", tested.group)
    assert {name: photo.group for name, photo in found.items() if name != "c000"} == {
        name: photo.group for name, photo in twins.items()
    }


def test_a_name_of_the_labels_still_ties_where_the_photos_that_bore_it_are_gone(
    source: Path, twins: dict[str, LabelledPhoto], tmp_path: Path
) -> None:
    judged = [int(photo.photo[1:]) for photo in twins.values() if photo.split == "test"]
    for photo in source.iterdir():
        photo.unlink()
    new = [{"image_id": f"c{n:03}", "count": "1", "group": f"bin-b{n}"} for n in judged]
    for n in judged:
        write_photo(source / f"c{n:03}.jpg", seed=900 + n)
    labels = labels_of(tmp_path / "new.csv", new)
    run(source, tmp_path / "after", labels, extend=tmp_path / "bins", on_gone="reject", seed=7)
    assert judged and {photo.split for photo in photos_of(tmp_path / "after").values()} == {"test"}


def test_no_two_chains_are_called_the_same() -> None:
    """Labels may come from another dataset, and call a bin as a chain of this one is called."""
    group_of = {"1": "chain 3", "2": "x", "3": None, "4": "x", "5": "chain 5", "6": "y"}
    photos = [SourcePhoto(photo=photo, path=Path(photo), group=group) for photo, group in group_of.items()]
    chain_of = {"1": "1", "2": "2", "3": "3", "4": "4", "5": "5", "6": "5"}
    named = name_groups(photos, chain_of)
    assert named == {"1": "chain 1", "2": "x", "3": "chain 3", "4": "chain 4", "5": "chain 5", "6": "chain 5"}
