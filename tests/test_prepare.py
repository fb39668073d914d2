"""`binsight data prepare`, from real photos and from photos that are wrong in every way."""

import csv
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mlcroissant
import pytest
from click.testing import CliRunner
from tests.prepare_support import CHAINS, drawn_source, real_source, run, tree, write_photo

import binsight.dataset.chains as chains_module
from binsight.cli.data_prepare import prepare as command
from binsight.dataset.check import by_processes
from binsight.dataset.manifest import SPLITS, Dataset
from binsight.dataset.publish import building, partial_folder
from binsight.errors import BadDataset, BadInput, GateFailed, StorageFailure

"""Sixty photos, two to a chain."""


def rejects(dataset: Path) -> dict[str, str]:
    with (dataset / "rejects.csv").open(newline="") as file:
        return {row["photo"]: row["reason"] for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_source(tmp_path_factory.mktemp("source"), CHAINS)


@pytest.fixture(scope="module")
def real(abid: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some 140 photos with the ids 00001 to 00150, and the few of the series 1 to 150."""
    ids = [f"{n:05}" for n in range(1, 151)] + [str(n) for n in range(1, 151)]
    return real_source(abid, tmp_path_factory.mktemp("real") / "abid", ids)


@pytest.fixture(scope="module")
def real_dataset(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "bins"
    run(real, folder, check=by_processes(2), licence="CC BY-NC-SA 3.0 US")
    return folder


def test_real_photos_become_a_dataset_with_their_bytes_unchanged(real: Path, real_dataset: Path) -> None:
    dataset = Dataset.open(real_dataset)
    dataset.verify()
    assert len(dataset.photos) > 120
    assert all(dataset.select(split) for split in SPLITS)
    for photo in dataset.photos:
        assert dataset.read_bytes(photo) == (real / "bin-images" / f"{photo.photo}.jpg").read_bytes()
        record = json.loads((real / "metadata" / f"{photo.photo}.json").read_bytes())
        assert photo.count == record["EXPECTED_QUANTITY"]


def test_a_dataset_holds_its_own_files_and_nothing_of_how_it_was_made(real_dataset: Path) -> None:
    files = {"dataset.json", "manifest.parquet", "rejects.csv", "croissant.json", "checks.parquet"}
    assert {path.name for path in real_dataset.iterdir()} == files | set(SPLITS)


def test_1_and_00001_are_different_photos(real_dataset: Path) -> None:
    photos = {photo.photo: photo for photo in Dataset.open(real_dataset).photos}
    assert photos["1"].count == 0
    assert photos["00001"].count == 12


def test_no_real_photos_that_share_an_item_lie_in_different_splits(real: Path, real_dataset: Path) -> None:
    """Looked up in the records themselves, without the code under test."""
    splits_by_sku: dict[str, set[str]] = {}
    for photo in Dataset.open(real_dataset).photos:
        record = json.loads((real / "metadata" / f"{photo.photo}.json").read_bytes())
        for sku in record["BIN_FCSKU_DATA"]:
            splits_by_sku.setdefault(sku, set()).add(photo.split)
    assert len(splits_by_sku) > 200
    assert all(len(splits) == 1 for splits in splits_by_sku.values())


def test_a_linking_rule_that_cuts_chains_wrongly_fails_the_gate(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chains_module, "merge", lambda sets, photos: None)
    with pytest.raises(GateFailed, match=r"links cross: \d+ \(t"):
        run(source, tmp_path / "bins")
    assert list(tmp_path.iterdir()) == []


def test_croissant_is_valid_and_joins_rows_with_pictures(real_dataset: Path) -> None:
    described = mlcroissant.Dataset(str(real_dataset / "croissant.json"))
    assert described.metadata.license == ["CC BY-NC-SA 3.0 US"]
    assert not described.metadata.ctx.issues.errors
    rows = list(described.records("photos"))
    photos = {photo.photo: photo for photo in Dataset.open(real_dataset).photos}
    assert len(rows) == len(photos)
    for row in rows:
        photo = photos[row["photos/photo"].decode()]
        assert row["photos/count"] == photo.count
        assert row["photos/image"].size == (photo.width, photo.height)


def test_every_split_is_an_hf_imagefolder(real_dataset: Path) -> None:
    """Its rules: metadata.jsonl beside the files; each row names by `file_name`, relative to itself, one file;
    every picture has a row; all rows of all splits have the same columns."""
    columns = set()
    for split in SPLITS:
        rows = [json.loads(line) for line in (real_dataset / split / "metadata.jsonl").read_text().splitlines()]
        assert all(next(iter(row)) == "file_name" for row in rows)
        columns |= {tuple(row) for row in rows}
        pictures = {path.name for path in (real_dataset / split).iterdir()} - {"metadata.jsonl"}
        assert sorted(row["file_name"] for row in rows) == sorted(pictures)
    of_records = ("item_lines", "items_volume", "largest_item")
    assert columns == {("file_name", "photo", "count", "group", *of_records)}


def test_two_runs_give_the_same_bytes_whatever_the_number_of_jobs(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "a" / "bins", check=by_processes(1))
    run(source, tmp_path / "b" / "bins", check=by_processes(3))
    assert tree(tmp_path / "a" / "bins") == tree(tmp_path / "b" / "bins")


def test_the_same_inputs_find_the_dataset_there_and_others_do_not_overwrite_it(
    source: Path, tmp_path: Path
) -> None:
    first = run(source, tmp_path / "bins")
    before = tree(tmp_path / "bins")
    assert not first.was_there
    assert run(source, tmp_path / "bins").was_there
    with pytest.raises(BadInput, match="never overwritten"):
        run(source, tmp_path / "bins", seed=1)
    assert tree(tmp_path / "bins") == before
    assert [path.name for path in tmp_path.iterdir()] == ["bins"]


def test_a_damaged_dataset_is_not_called_the_same(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "bins")
    next((tmp_path / "bins" / "train").glob("*.jpg")).write_bytes(b"")
    with pytest.raises(BadDataset, match="is damaged: remove it first"):
        run(source, tmp_path / "bins")


def test_adding_photos_moves_none(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "before")
    more = shutil.copytree(source, tmp_path / "more")
    drawn_source(more, {f"{n:05}": (f"new{n // 3}",) for n in range(100, 130)})
    run(more, tmp_path / "after")
    before = {photo.photo: photo.split for photo in Dataset.open(tmp_path / "before").photos}
    after = {photo.photo: photo.split for photo in Dataset.open(tmp_path / "after").photos}
    assert len(after) == len(before) + 30
    assert before.items() <= after.items()


def test_an_extended_dataset_keeps_its_splits_and_rejects_what_ties_them(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "before", seed=5)
    before = Dataset.open(tmp_path / "before")
    train, test = before.select("train")[0], before.select("test")[0]
    more = shutil.copytree(source, tmp_path / "more")
    tie = (f"item{int(train.photo) // 2}", f"item{int(test.photo) // 2}")
    drawn_source(more, {"00900": tie, "00950": tie[1:], "00990": ("fresh",)})
    run(more, tmp_path / "after", extend=tmp_path / "before")
    after = {photo.photo: photo for photo in Dataset.open(tmp_path / "after").photos}
    assert all(after[photo.photo].split == photo.split for photo in before.photos)
    assert rejects(tmp_path / "after") == {"00900": "ties_splits"}
    assert after["00950"].split == "test"
    assert after["00950"].group == after[test.photo].group
    assert "00990" in after


def write_labels(path: Path, rows: list[dict[str, object]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_the_labels_own_split_groups_and_columns_are_used_as_they_are(source: Path, tmp_path: Path) -> None:
    rows = [
        {"image_id": photo, "count": 7, "split": SPLITS[n // 20], "group": f"g{n // 10}", "kind": "original"}
        for n, photo in enumerate(CHAINS)
    ]
    run(source, tmp_path / "bins", write_labels(tmp_path / "labels.csv", rows))
    photos = {photo.photo: photo for photo in Dataset.open(tmp_path / "bins").photos}
    assert len(photos) == len(rows)
    for row in rows:
        photo = photos[str(row["image_id"])]
        assert (photo.count, photo.split, photo.group) == (7, row["split"], row["group"])
        assert photo.extras == {"kind": "original", "item_lines": "1"}


def test_a_given_split_that_leaks_fails_or_gives_up_its_training_photos(source: Path, tmp_path: Path) -> None:
    rows = [{"photo": photo, "count": 1, "split": SPLITS[n % 3]} for n, photo in enumerate(CHAINS)]
    labels = write_labels(tmp_path / "labels.csv", rows)
    with pytest.raises(
        GateFailed, match=r"30 links cross: 00002 \(train\) – 00003 \(val\) by item item1; .*reject"
    ):
        run(source, tmp_path / "bins", labels)
    assert not (tmp_path / "bins").exists()
    run(source, tmp_path / "bins", labels, on_leak="reject")
    dataset = Dataset.open(tmp_path / "bins")
    assert len(dataset.select("test")) == 20  # all that were given
    assert len(dataset.select("val")) == 10
    assert len(dataset.select("train")) == 0
    assert set(rejects(tmp_path / "bins").values()) == {"leak"}


def test_every_bad_photo_and_record_is_a_reject_and_the_rest_a_dataset(tmp_path: Path) -> None:
    folder = drawn_source(tmp_path / "source", {f"{n:05}": (f"item{n}",) for n in range(1, 30)})
    images = folder / "bin-images"
    (images / "00001.jpg").write_bytes(b"")
    (images / "00002.jpg").write_bytes((images / "00002.jpg").read_bytes()[:900])
    (images / "00003.jpg").write_text("<html>")
    (folder / "metadata" / "00004.json").write_text("{")
    (folder / "metadata" / "00005.json").unlink()
    (images / "00006.jpg").unlink()
    (images / "00007.jpg").unlink()
    os.mkfifo(images / "00007.jpg")
    run(folder, tmp_path / "bins", check=by_processes(2))
    assert rejects(tmp_path / "bins") == {
        "00001": "empty",
        "00002": "truncated",
        "00003": "format",
        "00004": "broken_record",
        "00005": "photo_without_record",
        "00006": "record_without_photo",
        "00007": "unreadable",
    }
    assert len(Dataset.open(tmp_path / "bins").photos) == 22


def test_two_photos_linked_through_a_bad_one_stay_together(tmp_path: Path) -> None:
    """00002 cannot be read, but its record ties its neighbours."""
    for seed in range(12):
        folder = drawn_source(tmp_path / f"s{seed}", {"00001": ("a",), "00002": ("a", "b"), "00003": ("b",)})
        (folder / "bin-images" / "00002.jpg").write_bytes(b"")
        run(folder, tmp_path / f"d{seed}", seed=seed)
        photos = Dataset.open(tmp_path / f"d{seed}").photos
        assert [photo.photo for photo in photos] == ["00001", "00003"]
        assert len({(photo.split, photo.group) for photo in photos}) == 1


def test_near_identical_pictures_stay_together(tmp_path: Path) -> None:
    folder = drawn_source(tmp_path / "source", CHAINS)
    drawn_source(folder, {"00100": ("other",)})
    shutil.copy(folder / "bin-images" / "00002.jpg", folder / "bin-images" / "00100.jpg")
    summary = run(folder, tmp_path / "bins").summary
    assert summary["links"]["pixels"] == 1
    groups = {photo.photo: photo.group for photo in Dataset.open(tmp_path / "bins").photos}
    assert groups["00100"] == groups["00002"]


def test_photos_in_folders_keep_their_ids_and_get_flat_names(tmp_path: Path) -> None:
    for n, name in enumerate(["a/1", "b/1", "a%2F1"]):
        write_photo(tmp_path / "source" / f"{name}.JPG", seed=n)
    labels = write_labels(
        tmp_path / "labels.csv", [{"photo": name, "count": 1} for name in ("a/1", "b/1", "a%2F1")]
    )
    run(tmp_path / "source", tmp_path / "bins", labels)
    dataset = Dataset.open(tmp_path / "bins")
    dataset.verify()
    assert {photo.photo: Path(photo.file).name for photo in dataset.photos} == {
        "a/1": "a%2F1.jpg",
        "b/1": "b%2F1.jpg",
        "a%2F1": "a%252F1.jpg",
    }


def test_an_empty_split_is_said_clearly(tmp_path: Path) -> None:
    folder = drawn_source(tmp_path / "source", {"00001": ("a",), "00002": ("a",)})
    notes = run(folder, tmp_path / "bins").summary["notes"]
    assert sum("is empty: too few chains" in note for note in notes) == 2


@pytest.mark.parametrize("column", ["file", "sha256", "width", "file_name"])
def test_a_column_of_the_labels_that_every_dataset_has_is_refused(
    source: Path, tmp_path: Path, column: str
) -> None:
    labels = write_labels(tmp_path / "labels.csv", [{"photo": "00002", "count": 1, column: "x"}])
    with pytest.raises(BadInput, match=f"may not have a column {column}"):
        run(source, tmp_path / "bins", labels)


def test_a_dataset_inside_its_source_or_in_place_of_something_else_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="must lie outside"):
        run(source, source / "bins")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BadInput, match="something that is not a dataset"):
        run(source, tmp_path)
    with pytest.raises(BadInput, match="is a file"):
        run(source, tmp_path / "notes.txt")


def test_a_source_without_one_usable_photo_is_no_dataset(tmp_path: Path) -> None:
    folder = drawn_source(tmp_path / "source", {"00001": ("a",)})
    (folder / "bin-images" / "00001.jpg").write_bytes(b"")
    with pytest.raises(BadDataset, match=r"no usable photo \(empty\)"):
        run(folder, tmp_path / "bins")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_second_run_beside_a_running_one_is_refused(source: Path, tmp_path: Path) -> None:
    with building(tmp_path / "bins"), pytest.raises(StorageFailure, match="in use by another run"):
        run(source, tmp_path / "bins")


def test_the_command_prints_a_summary_for_people_and_for_scripts(source: Path, tmp_path: Path) -> None:
    args = [str(source), str(tmp_path / "bins"), "--jobs", "1"]
    said = CliRunner().invoke(command, args, catch_exceptions=False)
    assert "60 photos in 30 chains" in said.output
    answer = json.loads(CliRunner().invoke(command, [*args, "--json"], catch_exceptions=False).stdout)
    assert answer["was_there"] is True
    assert answer["photos"] == 60
    assert answer["links_crossing"] == 0


COMMAND = [sys.executable, "-c", "from binsight.cli import main; main()", "data", "prepare"]


def wait_for(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_stopped_half_way_leaves_no_dataset_and_the_next_run_makes_one(
    real: Path, real_dataset: Path, tmp_path: Path, how: signal.Signals
) -> None:
    dataset = tmp_path / "bins"
    args = [*COMMAND, str(real), str(dataset), "--jobs", "2", "--license", "CC BY-NC-SA 3.0 US"]
    running = subprocess.Popen(args, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for(lambda: any(partial_folder(dataset).glob("staged/*")))
    if how is signal.SIGINT:
        os.killpg(running.pid, how)  # as a terminal does
    else:
        running.kill()
    _, said = running.communicate(timeout=60)
    assert running.returncode != 0
    assert not dataset.exists()
    if how is signal.SIGINT:
        assert said.strip() == "error: interrupted; run the same command again to go on"
        assert list(tmp_path.iterdir()) == []
    wait_for(lambda: not processes_of_group(running.pid))
    run(real, dataset, licence="CC BY-NC-SA 3.0 US")
    assert tree(dataset) == tree(real_dataset)
    assert [path.name for path in tmp_path.iterdir()] == ["bins"]


def processes_of_group(group: int) -> list[str]:
    """Processes that live on in a process group: none may, not even workers whose parent was killed."""
    listed = subprocess.run(["ps", "-eo", "pgid,stat"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if line.split()[0] == str(group) and "Z" not in line.split()[1]]


@pytest.mark.parametrize(("max_bytes", "what"), [(500, "a photo"), (20_000, "the rows of train")])
def test_a_disk_that_fills_up_is_one_sentence_and_leaves_nothing(
    source: Path, tmp_path: Path, max_bytes: int, what: str
) -> None:
    """A limit of file sizes stands in for the disk; in the second case photos fit, and the rows do not."""
    rows = [{"photo": photo, "count": 1, "note": 1000 * "x"} for photo in CHAINS]
    labels = write_labels(tmp_path / "labels.csv", rows)
    done = subprocess.run(
        [*COMMAND, str(source), str(tmp_path / "bins"), "--labels", str(labels), "--jobs", "2"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, max_bytes)),
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path / 'bins'} cannot be written (File too large)")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["labels.csv"]
