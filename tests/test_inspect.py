"""`binsight data inspect`: a report on a folder of photos and records, whatever is in it."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from binsight.dataset.findings import find_twins
from binsight.dataset.inspect import inspect_folder
from binsight.dataset.intake import read_source
from binsight.dataset.scan import Scan, Unreadable, scan_photo, scan_photos
from binsight.imaging import Limits

COMMAND = (
    sys.executable,
    "-c",
    "from binsight.cli import main\nif __name__ == '__main__': main()",
    "data",
    "inspect",
)


def inspect(*arguments: object) -> "subprocess.CompletedProcess[str]":
    """Run the command as a person does."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], check=False, capture_output=True, text=True, timeout=300
    )


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture(scope="session")
def world(abid: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 80 photos of the collection with their records, in ABID's layout, and bad files of every kind."""
    root = tmp_path_factory.mktemp("inspect") / "bins"
    photos, records = root / "bin-images", root / "metadata"
    photos.mkdir(parents=True)
    with tarfile.open(abid / "metadata.tar.gz") as archive:
        names = [f"metadata/{number:05d}.json" for number in range(1, 81)]
        present = set(archive.getnames())
        members = [archive.getmember(name) for name in names if name in present]
        archive.extractall(root, members=members, filter="data")
    for number in range(1, 81):
        path = abid / "bin-images" / f"{number:05d}.jpg"
        if path.is_file():
            (photos / path.name).symlink_to(path)
    for name in ("00062", "00323", "00324"):  # at native resolution, so that their labels can be read
        (photos / f"{name}.jpg").unlink(missing_ok=True)
        (photos / f"{name}.jpg").symlink_to(abid / "originals" / f"{name}.jpg")

    data = (abid / "bin-images" / "00003.jpg").read_bytes()
    image = Image.open(io.BytesIO(data))
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    bad = {
        "bad-animated.webp": _encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
        "bad-bomb.png": _encoded(Image.new("1", (9000, 9000)), "PNG"),
        "bad-cut.jpg": data[:2000],
        "bad-empty.jpg": b"",
        "bad-text.jpg": b"not a photo",
        "bad-tiny.png": _encoded(Image.new("RGB", (4, 4)), "PNG"),
    }
    good = {
        "copy.jpg": data,
        "again.jpg": _encoded(image, "JPEG", quality=60),
        "cmyk.jpg": _encoded(image.convert("CMYK"), "JPEG", quality=60),
        "deep.png": _encoded(Image.effect_noise((200, 200), 90).convert("I;16"), "PNG"),
        "grey.png": _encoded(image.convert("L"), "PNG"),
    }
    for name, content in {**bad, **good}.items():
        (photos / name).write_bytes(content)
    (photos / "bad-gone.jpg").symlink_to(photos / "nowhere.jpg")
    (records / "copy.json").write_text("{")
    (records / "lonely.json").write_bytes((records / "00001.json").read_bytes())
    wrong = json.loads((records / "00005.json").read_text())
    wrong["EXPECTED_QUANTITY"] += 1
    (records / "00005.json").write_text(json.dumps(wrong))
    return root


@pytest.fixture(scope="session")
def report(world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The summary that the command prints, and the report's folder."""
    out = tmp_path_factory.mktemp("report") / "out"
    result = inspect(world, "--out", out, "--json", "--jobs", 2)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout), out


Report = tuple[dict[str, Any], Path]


def test_the_summary_counts_what_is_there(report: Report, world: Path) -> None:
    summary, out = report
    photos = len(list((world / "bin-images").iterdir()))
    assert summary["photos"] == photos
    assert summary["unreadable"] == 7
    assert summary["problems"]["broken_record"] == 1
    assert summary["problems"]["record_without_photo"] == 1
    assert summary["problems"]["photo_without_record"] >= 10
    assert summary["report"] == str(out / "index.html")


def test_unreadable_files_are_listed_with_their_reasons(report: Report) -> None:
    unreadable = {row["photo"]: row["error"] for row in rows_of(report[1] / "photos.csv") if row["error"]}
    listed = {(row["photo"], row["reason"]) for row in rows_of(report[1] / "problems.csv")}
    assert listed >= set(unreadable.items())
    assert unreadable == {
        "bad-animated": "animated",
        "bad-bomb": "too_many_pixels",
        "bad-cut": "truncated",
        "bad-empty": "empty",
        "bad-gone": "unreadable",
        "bad-text": "format",
        "bad-tiny": "too_small",
    }


def test_copies_and_photos_stored_again_are_found(report: Report) -> None:
    summary, out = report
    assert summary["exact_duplicates"] == 1
    assert [row["ids"] for row in rows_of(out / "exact_duplicates.csv")] == ["00003, copy"]
    linked = {frozenset((row["first"], row["second"])) for row in rows_of(out / "near_duplicates.csv")}
    assert {frozenset(("00003", other)) for other in ("again", "cmyk", "grey")} <= linked


def test_twins_share_an_item_and_neighbour_each_other(report: Report) -> None:
    summary, out = report
    twins = rows_of(out / "twins.csv")
    assert len(twins) == summary["twins"] > 15
    assert {int(row["second"]) - int(row["first"]) for row in twins} == {1}
    assert all(int(row["shared_items"]) >= 1 for row in twins)
    assert all(int(row["change"]) == int(row["second_count"]) - int(row["first_count"]) for row in twins)


def test_bin_labels_are_read_and_shared_ones_named(report: Report) -> None:
    read = {row["photo"]: row["bin_label"] for row in rows_of(report[1] / "bin_labels.csv")}
    assert read["00323"] == read["00324"] == "P-7-A495C230"
    shared = rows_of(report[1] / "bins_in_several_photos.csv")
    assert ("P-7-A495C230", "00323, 00324") in [(row["bin_label"], row["ids"]) for row in shared]


def test_records_that_do_not_add_up_are_listed(report: Report) -> None:
    rows = rows_of(report[1] / "records_not_adding_up.csv")
    assert [(row["photo"], int(row["expected"]) - int(row["sum_of_items"])) for row in rows] == [("00005", 1)]


def test_the_photos_per_count_are_all_photos_with_a_count(report: Report) -> None:
    summary, out = report
    rows = rows_of(out / "photos_per_count.csv")
    assert sum(int(row["photos"]) for row in rows) == summary["with_count"]
    weighted = sum(int(row["count"]) * int(row["photos"]) for row in rows)
    assert weighted / summary["with_count"] == pytest.approx(summary["mean_count"], abs=0.001)


def test_the_page_needs_no_other_file_and_is_small(report: Report) -> None:
    page = report[1] / "index.html"
    html = page.read_text(encoding="utf-8")
    assert page.stat().st_size < 6_000_000
    assert 'src="http' not in html
    assert html.count("data:image/jpeg;base64,") > 100
    for link in ("photos.csv", "twins.csv", "near_duplicates.csv", "sharpness.csv"):
        assert f'href="{link}"' in html
        assert (report[1] / link).is_file()


@pytest.fixture
def plain(abid: Path, tmp_path: Path) -> Path:
    """A plain folder of five photos without a record."""
    folder = tmp_path / "plain"
    folder.mkdir()
    for path in sorted((abid / "bin-images").iterdir())[:5]:
        (folder / path.name).symlink_to(path)
    return folder


def test_labels_from_a_csv_are_used_and_reading_from_photos_can_be_left_out(plain: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("image_id,count\n00001,99\n00002,x\nnobody,1\n")
    result = inspect(plain, "--labels", labels, "--no-labels", "--out", tmp_path / "out", "--json")
    summary = json.loads(result.stdout)
    assert summary["bin_labels"] == 0
    assert summary["problems"] == {"impossible_count": 1, "label_without_photo": 1, "photo_without_record": 3}
    assert [row["count"] for row in rows_of(tmp_path / "out" / "photos_per_count.csv")] == ["99"]


def test_the_report_lies_beside_the_folder_unless_told_otherwise(plain: Path) -> None:
    result = inspect(plain)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == str(plain.with_name("plain-report") / "index.html")
    assert "5 photos, 0 of them unreadable; 0 records" in result.stdout


def test_a_folder_of_nothing_but_bad_files_still_gives_a_report(tmp_path: Path) -> None:
    (tmp_path / "bins").mkdir()
    (tmp_path / "bins" / "1.jpg").write_bytes(b"no photo")
    summary = inspect_folder(tmp_path / "bins", tmp_path / "out")
    assert summary["unreadable"] == 1
    assert (tmp_path / "out" / "index.html").is_file()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: (root / "nowhere",), "is not a folder"),
        (lambda root: (root,), "holds no photos"),
        (lambda root: (root, "--out", sys.executable), "must be a folder for the report, but is a file"),
        (lambda root: (root, "--jobs", "0"), "--jobs"),
    ],
)
def test_what_cannot_be_inspected_is_one_clear_error(
    tmp_path: Path, make: Callable[[Path], tuple[object, ...]], message: str
) -> None:
    result = inspect(*make(tmp_path))
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_an_interrupt_leaves_nothing_half_written(abid: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, str(abid), "--out", str(tmp_path / "out"), "--jobs", "2"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while len(children.read_text().split()) < 3:  # two workers, and the tracker that Python starts first
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the parent and its workers alike
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.strip() == "error: interrupted; run the same command again to go on"
    assert not (tmp_path / "out").exists()


def test_ids_with_and_without_zeros_are_no_neighbours(tmp_path: Path) -> None:
    record = json.dumps({"BIN_FCSKU_DATA": {"A": {"quantity": 1}}, "EXPECTED_QUANTITY": 1})
    for name in ("9", "00010", "10", "00009", "x", "11-"):
        (tmp_path / f"{name}.jpg").write_bytes(b"")
        (tmp_path / f"{name}.json").write_text(record)
    photos = {photo.photo: photo for photo in read_source(tmp_path).photos}
    twins = {(twin.first.photo, twin.second.photo) for twin in find_twins(photos)}
    assert twins == {("00009", "00010"), ("9", "10")}


def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    result = scan_photo(path, read_labels=False, limits=Limits())
    assert isinstance(result, Unreadable)
    assert result.reason == "too_many_bytes"


def test_scans_come_in_the_order_of_the_photos(world: Path) -> None:
    photos = read_source(world).photos[:40]
    results = list(scan_photos(photos, jobs=2, read_labels=False))
    alone = [scan_photo(photo.path, read_labels=False, limits=Limits()) for photo in photos]
    assert results == alone
    assert sum(isinstance(result, Scan) for result in results) > 30
