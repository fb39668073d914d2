"""Captures that people labelled join a retraining: weighted by the share that was kept, and never beside what judges."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from hashlib import sha256
from json import dumps
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.captures_support import NOON, PHOTOS, a_capture
from tests.dataset_support import real_dataset
from tests.labelled_support import keep, label
from tests.ledger_support import Opener
from tests.retrain_support import counted, fresh_photos
from tests.s3_server import CREDENTIALS, S3Server
from tests.test_strip import tagged

from binsight.dataset.manifest import Dataset, write_manifest
from binsight.imaging.strip import stripped
from binsight.lifecycle.counted import CAPTURED, counted_bins, gather, read_gathered
from binsight.lifecycle.extended import WEIGHT, extend
from binsight.lifecycle.labelled import Labels, labels_of
from binsight.settings import settings
from binsight.storage.captures import Capture, open_captures, open_truths, prune
from binsight.storage.ledger import Ledger

SIZES = {"train": 12, "val": 4, "test": 4}


@pytest.fixture(scope="module")
def base(abid: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return real_dataset(abid, tmp_path_factory.mktemp("base") / "base", SIZES)  # type: ignore[arg-type]


@pytest.fixture
def ledger(opened: Opener, places: dict[str, str]) -> Ledger:
    return opened(places["BINSIGHT_LEDGER"])


def kept(photos: Sequence[tuple[Path, int]], *, minute: float = 0, **values: Any) -> list[Capture]:
    """Captures of files, labelled with their counts."""
    captures = [
        a_capture(minute + place, stripped(path.read_bytes()), **values) for place, (path, _) in enumerate(photos)
    ]
    keep(captures)
    label({one.event_id: count for one, (_, count) in zip(captures, photos, strict=True)})
    return captures


def gathered(folder: Path, ledger: Ledger | None = None) -> tuple[list[dict[str, str]], list[str]]:
    """What joins of the captures, and of the ledger's bins where one is given; and what is left out, as it was said."""
    said: list[str] = []
    bins = counted_bins(ledger) if ledger else []
    gather([asdict(one) for one in (*bins, *labels_of(settings()).rows)], folder / "counts", said.append)
    return read_gathered(folder / "counts"), said


def extended(base: Dataset, folder: Path, promotion: Dataset | None = None) -> tuple[Dataset, list[str]]:
    """The dataset that what was gathered joins, and what was said."""
    said: list[str] = []
    extend(
        base, promotion or base, "test", folder / "counts", folder / "new" / "dataset", columns={}, say=said.append
    )
    return Dataset.open(folder / "new" / "dataset"), said


def new_in(dataset: Dataset, base: Dataset) -> dict[str, Any]:
    before = {photo.photo for photo in base.photos}
    return {photo.photo: photo for photo in dataset.photos if photo.photo not in before}


def test_they_train_as_their_counts_say_and_weigh_by_the_share_that_was_kept(
    base: Dataset, abid: Path, captures_in: Path, tmp_path: Path
) -> None:
    photos = fresh_photos(abid, 4, not_in=base.folder, folder=tmp_path / "photos")
    kept(photos[:1], share=0.25)
    kept(photos[1:3], share=1.0, minute=70)
    kept(photos[3:], minute=80)  # of which nobody knows any more with which share
    rows, said = gathered(tmp_path)
    assert said == []
    assert [(row["count"], row["probability"], row["origin"]) for row in rows] == [
        (str(count), "0.25" if place == 0 else "1.0", CAPTURED) for place, (_, count) in enumerate(photos)
    ]
    for row, (path, _) in zip(rows, photos, strict=True):
        assert (tmp_path / "counts" / "photos" / row["file"]).read_bytes() == path.read_bytes()
    dataset, said = extended(base, tmp_path)
    new = new_in(dataset, base)
    assert sorted((photo.count, photo.split) for photo in new.values()) == sorted((n, "train") for _, n in photos)
    assert sorted(float(photo.extras[WEIGHT]) for photo in new.values()) == pytest.approx(
        [4 / 7] * 3 + [16 / 7], abs=1e-6
    )
    assert len({photo.group for photo in new.values()}) == 4
    assert said == [f"4 photos of counted bins train beside those of {base.folder}"]


def test_from_a_bucket_they_join_as_from_a_folder(
    base: Dataset, abid: Path, captures_in: Path, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**CREDENTIALS, "BINSIGHT_ENDPOINT_URL": s3.endpoint_url}.items():
        monkeypatch.setenv(name, value)
    s3.put("captured", {"made": b""})
    monkeypatch.setenv("BINSIGHT_CAPTURE", f"s3://captured/{tmp_path.name}")
    settings.cache_clear()
    photos = fresh_photos(abid, 2, not_in=base.folder, folder=tmp_path / "photos")
    kept(photos, share=0.5)
    rows, said = gathered(tmp_path)
    assert said == []
    assert [(int(row["count"]), row["probability"]) for row in rows] == [(count, "0.5") for _, count in photos]
    assert {row["file"] for row in rows} == {path.name for path in (tmp_path / "counts" / "photos").iterdir()}


def test_nothing_joins_without_a_count_a_photo_or_a_place(
    captures_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert labels_of(settings()) == Labels()
    answer_alone = a_capture(0, None)
    keep([a_capture(1), answer_alone])
    assert labels_of(settings()) == Labels(), "nobody counted any"
    label({answer_alone.event_id: 3})
    assert labels_of(settings()).number == 0
    monkeypatch.delenv("BINSIGHT_CAPTURE")
    settings.cache_clear()
    assert labels_of(settings()) == Labels()


def test_the_count_added_last_is_in_force(captures_in: Path) -> None:
    capture = a_capture()
    keep([capture])
    label({capture.event_id: 3}, now=NOON + timedelta(hours=1))
    label({capture.event_id: 4}, now=NOON + timedelta(hours=2))
    (row,) = labels_of(settings()).rows
    assert (row.quantity, row.task, row.photo_sha256) == (4, capture.event_id, capture.photo_sha256)


def test_contradictory_counts_of_one_photo_are_named_and_left_out(
    base: Dataset, abid: Path, captures_in: Path, ledger: Ledger, tmp_path: Path
) -> None:
    """One photo was sent twice; another was counted blind in an audit, with the metadata that its capture has lost."""
    (twice, count), (blind, other), (same, third) = fresh_photos(
        abid, 3, not_in=base.folder, folder=tmp_path / "photos"
    )
    kept([(twice, count), (twice, count + 1), (blind, other + 1), (same, third)], share=0.5)
    for path in (blind, same):
        path.write_bytes(tagged(path.read_bytes(), 1))
    counted(ledger, [(blind, other), (same, third)], folder=tmp_path)
    rows, said = gathered(tmp_path, ledger)
    assert [(int(row["count"]), row["origin"], row["probability"]) for row in rows] == [(third, "planned", "1.0")]
    assert (
        len(
            [
                line
                for line in said
                if line.endswith(f"its photo was counted as {count} and {count + 1}; count it again")
            ]
        )
        == 2
    )
    assert (
        len(
            [
                line
                for line in said
                if line.endswith(f"its photo was counted as {other} and {other + 1}; count it again")
            ]
        )
        == 2
    )


def test_photos_that_were_changed_or_are_gone_are_named_and_left_out(
    base: Dataset, abid: Path, captures_in: Path, tmp_path: Path
) -> None:
    photos = fresh_photos(abid, 2, not_in=base.folder, folder=tmp_path / "photos")
    first = kept(photos[:1])
    kept(photos[1:], minute=90)
    rows = [asdict(row) for row in labels_of(settings()).rows]
    old, new = sorted(
        path for path in captures_in.rglob("*") if path.is_file() and "ground_truth" not in path.parts
    )
    if old.suffix == ".jpg":
        old.write_bytes(photos[1][0].read_bytes())
    else:  # the line of another photo
        old.write_bytes(new.read_bytes())
    new.unlink()
    said: list[str] = []
    gather(rows, tmp_path / "counts", said.append)
    assert read_gathered(tmp_path / "counts") == []
    assert said[0].startswith(f"left out: bin {first[0].event_id}: ")
    assert said[0].endswith("is not the photo that was counted any more")
    assert len(said) == 2


@pytest.mark.parametrize("captures_in", ["sagemaker"], indirect=True)
def test_a_line_that_is_damaged_is_named_and_left_out(
    base: Dataset, abid: Path, captures_in: Path, tmp_path: Path
) -> None:
    kept(fresh_photos(abid, 3, not_in=base.folder, folder=tmp_path / "photos"))
    rows = [asdict(row) for row in labels_of(settings()).rows]
    (file,) = (path for path in captures_in.rglob("*.jsonl") if "ground_truth" not in path.parts)
    file.write_bytes(file.read_bytes().splitlines(keepends=True)[0].replace(b'"data":"', b'"data":"!', 1))
    said: list[str] = []
    gather(rows, tmp_path / "counts", said.append)
    assert read_gathered(tmp_path / "counts") == []
    assert [line.rpartition(": ")[2] for line in said] == [
        f"{file}:{number} holds no photo any more; binsight captures verify names what is damaged"
        for number in (1, 2, 3)
    ]


def test_photos_that_judge_never_train_stored_again_or_by_the_name_of_their_bin(
    base: Dataset, abid: Path, captures_in: Path, tmp_path: Path
) -> None:
    test, val = (next(photo for photo in base.photos if photo.split == split) for split in ("test", "val"))
    same, like = tmp_path / "same.jpg", tmp_path / "like.jpg"
    same.write_bytes(base.read_bytes(test))
    Image.open(base.folder / val.file).save(like, quality=60)
    ((elsewhere, count), *_) = fresh_photos(abid, 1, not_in=base.folder, folder=tmp_path / "photos")
    kept([(same, test.count + 1), (like, val.count)])
    answer = dumps({**a_capture().fields, "bin_label": "B-00007"})
    kept([(elsewhere, count)], minute=30, answer=answer)
    promotion = with_bin(base, tmp_path / "set", test.photo, "B-00007")
    gathered(tmp_path)
    dataset, said = extended(base, tmp_path, promotion)
    assert new_in(dataset, base) == {}
    assert "left out: bin B-00007: the promotion set has photos of this bin" in said
    assert any(f"its photo judges models, as {test.photo} of test" in line for line in said)
    assert any("is tied to photos that judge" in line for line in said)


def with_bin(base: Dataset, folder: Path, name: str, bin_id: str) -> Dataset:
    """The same photos, one of which says of which bin it is."""
    folder.mkdir()
    for split in ("train", "val", "test"):
        (folder / split).symlink_to(base.folder / split)
    photos = tuple(
        replace(photo, extras={**photo.extras, "site": "DC1", "bin_id": bin_id if photo.photo == name else ""})
        for photo in base.photos
    )
    digest = write_manifest(folder / "manifest.parquet", photos)
    (folder / "dataset.json").write_text(dumps({"sha256": digest}))
    return Dataset.open(folder)


def test_photos_of_the_dataset_are_known_by_what_their_captures_have_lost(
    abid: Path, captures_in: Path, tmp_path: Path
) -> None:
    """The dataset's own files have metadata, as cameras write them; their captures have none."""
    base = real_dataset(abid, tmp_path / "base", {"train": 3, "val": 1, "test": 1})
    photos = []
    for photo in base.photos:
        file = base.folder / photo.file
        file.write_bytes(tagged(file.read_bytes(), 1))
        photos.append(replace(photo, sha256=sha256(file.read_bytes()).hexdigest()))
    digest = write_manifest(base.folder / "manifest.parquet", tuple(photos))
    (base.folder / "dataset.json").write_text(dumps({"sha256": digest}))
    base = Dataset.open(base.folder)
    same, other, _ = (photo for photo in base.photos if photo.split == "train")
    kept([(base.folder / same.file, same.count), (base.folder / other.file, other.count + 1)])
    rows, _ = gathered(tmp_path)
    assert len(rows) == 2
    dataset, said = extended(base, tmp_path)
    assert {photo.photo for photo in dataset.photos} == {photo.photo for photo in base.photos} - {other.photo}
    assert any("in the dataset already, with this count" in line for line in said)
    assert any("both stay out; count it again" in line for line in said)


def test_a_count_is_not_about_the_photos_that_come_later_with_the_same_inference_id(captures_in: Path) -> None:
    """A bin's name as inference id comes again with each photo of the bin."""
    keep([a_capture(0, PHOTOS[0], inference_id="A-1")])
    label({"A-1": 3}, now=NOON + timedelta(minutes=10))
    keep([a_capture(20, PHOTOS[1], inference_id="A-1")])
    (row,) = labels_of(settings()).rows
    assert (row.photo_sha256, row.quantity, row.problem) == (a_capture(0, PHOTOS[0]).photo_sha256, 3, "")


def test_a_count_about_an_inference_id_that_several_have_is_nobodys(captures_in: Path, tmp_path: Path) -> None:
    """As another program may write it, which does not look."""
    keep([a_capture(place, PHOTOS[place], inference_id="A-1") for place in range(2)])
    keep([a_capture(5, PHOTOS[2], inference_id="A-2")])
    truth = {"groundTruthData": {"data": "3", "encoding": "CSV"}, "eventVersion": "0"}
    folder = captures_in / "binsight" / "ground_truth" / "2025" / "11" / "24" / "12"
    folder.mkdir(parents=True)
    lines = [dumps({**truth, "eventMetadata": {"eventId": name}}) for name in ("A-1", "A-2")]
    (folder / "theirs.jsonl").write_text("\n".join(lines))
    assert labels_of(settings()).number == 1
    rows, said = gathered(tmp_path)
    assert [row["bin_id"] for row in rows] == ["A-2"]
    assert said == ["left out: bin A-1: several captures have the inference id A-1; label it by its event id"] * 2


@pytest.mark.parametrize("share", [0.0, -1.0, 2.0, float("nan")])
def test_a_share_that_cannot_be_is_taken_as_unknown(captures_in: Path, share: float) -> None:
    capture = a_capture(share=share)
    keep([capture])
    label({capture.event_id: 3})
    assert [row.probability for row in labels_of(settings()).rows] == [1.0]


def test_new_ones_are_told_by_when_they_were_added_though_retention_deletes_old_ones(captures_in: Path) -> None:
    captures = [a_capture(60 * hour, PHOTOS[hour], inference_id=f"id-{hour}") for hour in range(4)]
    keep(captures)
    for hour in range(3):
        label({f"id-{hour}": hour}, now=NOON + timedelta(hours=hour, minutes=1))
    before = labels_of(settings())
    assert (before.number, before.number_since(None), before.number_since(before.until)) == (3, 3, 0)
    label({"id-3": 3}, now=NOON + timedelta(hours=3, minutes=1))
    store = open_captures(settings())
    prune(store, open_truths(settings()), now=NOON + timedelta(hours=26), keep_days=1, max_bytes=10**12)
    store.close()
    after = labels_of(settings())
    assert (after.number, after.number_since(before.until)) == (2, 1)
