"""What a folder of photos, records and labels holds, and what is wrong with it."""

import json
from pathlib import Path

import pytest

from binsight.dataset.intake import Source, read_source
from binsight.errors import BadDataset, BadInput, MissingObject


def _record(expected: int, **items: int) -> str:
    lines = {sku: {"quantity": quantity, "name": f"thing {sku}"} for sku, quantity in items.items()}
    return json.dumps({"BIN_FCSKU_DATA": lines, "EXPECTED_QUANTITY": expected})


def _folder(root: Path, files: dict[str, str | bytes]) -> Path:
    """A folder with these files. Photos are not opened by intake, so that any bytes will do."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def _reasons(source: Source) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for problem in source.problems:
        reasons.setdefault(problem.reason, []).append(problem.photo)
    return reasons


def test_abid_layout_joins_photos_and_records_by_id(tmp_path: Path) -> None:
    folder = _folder(
        tmp_path,
        {
            "bin-images/00001.jpg": "x",
            "bin-images/1.jpg": "x",
            "metadata/00001.json": _record(3, A=2, B=1),
            "metadata/1.json": _record(7, A=7),
        },
    )
    source = read_source(folder)
    assert [(photo.photo, photo.count) for photo in source.photos] == [("00001", 3), ("1", 7)]
    assert source.photos[0].path == folder / "bin-images" / "00001.jpg"
    assert source.photos[0].record is not None
    assert source.photos[0].record.skus == {"A", "B"}
    assert source.problems == ()


def test_a_record_tells_how_many_items_and_how_large(tmp_path: Path) -> None:
    sides = {side: {"unit": "IN", "value": size} for side, size in (("length", 4), ("width", 2.5), ("height", 1))}
    item = {"quantity": 3, "name": "Blue pen, 12-pack, blue ink", **sides}
    bottle = {"quantity": 2, **sides, "name": "PEN é für Öl", "height": {"unit": "IN", "value": 8}}
    in_cm = {**item, "width": {"unit": "CM", "value": 6}}
    folder = _folder(
        tmp_path,
        {f"bin-images/{photo}.jpg": "x" for photo in "abcd"}
        | {
            f"metadata/{photo}.json": json.dumps({"BIN_FCSKU_DATA": lines, "EXPECTED_QUANTITY": 5})
            for photo, lines in {"a": {"A": item, "B": bottle}, "b": {"A": item, "B": in_cm}, "c": {}}.items()
        }
        | {"labels.csv": "image_id,count,item_lines\nd,5,\na,5,7\n"},
    )
    columns = {photo.photo: photo.extras for photo in read_source(folder).photos}
    volumes = {"items_volume": "190.0", "largest_item": "80.0"}
    assert columns["a"] == {"item_lines": "2", **volumes}
    assert columns["b"] == {"item_lines": "2"}
    assert columns["c"] == {"item_lines": "0"}
    assert columns["d"] == {}
    labelled = {photo.photo: photo.extras for photo in read_source(folder, folder / "labels.csv").photos}
    assert labelled["a"]["item_lines"] == "7", "the labels' own column comes before the record's"
    assert labelled["a"]["items_volume"] == "190.0"


def test_real_records_are_read(abid: Path, tmp_path: Path) -> None:
    import tarfile

    with tarfile.open(abid / "metadata.tar.gz") as archive:
        names = [name for name in archive.getnames() if name.endswith(".json")][:100]
        archive.extractall(tmp_path, members=[archive.getmember(name) for name in names], filter="data")
    (tmp_path / "bin-images").symlink_to(abid / "bin-images")
    source = read_source(tmp_path)
    with_record = [photo for photo in source.photos if photo.record]
    assert len(with_record) == 100
    assert all(photo.count == photo.record.expected for photo in with_record if photo.record)
    assert set(_reasons(source)) == {"photo_without_record"}


def test_the_shared_labels_are_read(abid: Path) -> None:
    source = read_source(abid, abid / "labels.csv")
    assert len(source.photos) == 13_979
    assert source.problems == ()
    assert sum(photo.count is None for photo in source.photos) == 32
    first = source.photos[0]
    assert (first.photo, first.count, first.split, first.group) == ("00001", 12, "train", "1")
    assert first.extras["kind"] == "original"
    assert "count" not in first.extras


def test_a_plain_folder_is_searched_with_all_below_it(tmp_path: Path) -> None:
    folder = _folder(
        tmp_path,
        {
            "b.PNG": "x",
            "a.b.jpeg": "x",
            "north/b.webp": "x",
            "north/b.json": _record(2, A=2),
            ".hidden.jpg": "x",
            ".git/c.jpg": "x",
            "notes.txt": "x",
            "jpg": "no ending, and no photo",
            "north.jpg/notes": "x",
            "dataset.json": "{}",
        },
    )
    source = read_source(folder)
    assert [photo.photo for photo in source.photos] == ["a.b", "b", "north/b"]
    assert [photo.path.relative_to(folder).as_posix() for photo in source.photos] == [
        "a.b.jpeg",
        "b.PNG",
        "north/b.webp",
    ]
    assert [photo.count for photo in source.photos] == [None, None, 2]
    assert _reasons(source) == {"photo_without_record": ["a.b", "b"]}


def test_photos_without_any_record_are_no_problem_where_there_are_none(tmp_path: Path) -> None:
    assert read_source(_folder(tmp_path, {"a.jpg": "x", "b.jpg": "x"})).problems == ()


def test_every_bad_file_is_named_with_a_reason(tmp_path: Path) -> None:
    folder = _folder(
        tmp_path,
        {
            "bin-images/1.jpg": "x",
            "bin-images/1.png": "x",
            "bin-images/2.jpg": "x",
            "bin-images/3.jpg": "x",
            "bin-images/4.jpg": "x",
            "bin-images/5.jpg": "x",
            "bin-images/6.tiff": "x",
            "metadata/1.json": _record(1, A=1),
            "metadata/2.json": "not json",
            "metadata/3.json": json.dumps({"BIN_FCSKU_DATA": {}}),
            "metadata/4.json": _record(-4),
            "metadata/9.json": _record(1, A=1),
        },
    )
    source = read_source(folder)
    assert _reasons(source) == {
        "duplicate_id": ["1.png"],
        "broken_record": ["2", "3", "4"],
        "photo_without_record": ["5"],
        "format": ["6.tiff"],
        "record_without_photo": ["9"],
    }
    assert [photo.count for photo in source.photos] == [1, None, None, None, None]


def test_labels_win_over_records(tmp_path: Path) -> None:
    folder = _folder(
        tmp_path,
        {
            "1.jpg": "x",
            "1.json": _record(3, A=3),
            "2.jpg": "x",
            "2.json": _record(3, A=3),
            "3.jpg": "x",
            "labels.csv": "photo,count,group,split,site\n1.jpg,5,g1,val,north\n2,,,,\n3,4.0,,,south\n",
        },
    )
    source = read_source(folder, folder / "labels.csv")
    assert [photo.count for photo in source.photos] == [5, 3, 4]
    assert (source.photos[0].group, source.photos[0].split) == ("g1", "val")
    assert [dict(photo.extras) for photo in source.photos] == [
        {"item_lines": "1", "site": "north"},
        {"item_lines": "1", "site": ""},
        {"site": "south"},
    ]
    assert source.problems == ()


def test_every_bad_row_of_labels_is_named_with_a_reason(tmp_path: Path) -> None:
    photos = {f"{n}.jpg": "x" for n in range(1, 7)}
    rows = ["1,1,train", "1,2,train", "2,-1,", "3,2.5,", "4,many,", "5,1,exam", "6", ",3,train", "77,1,train"]
    folder = _folder(tmp_path, {**photos, "labels.csv": "\n".join(["image_id,count,split", *rows])})
    source = read_source(folder, folder / "labels.csv")
    assert _reasons(source) == {
        "duplicate_label": ["1"],
        "impossible_count": ["2", "3", "4"],
        "impossible_split": ["5"],
        "malformed_label": ["6", "labels.csv line 9"],
        "label_without_photo": ["77"],
    }
    assert [photo.count for photo in source.photos] == [1, None, None, None, 1, None]


def test_an_impossible_count_is_not_replaced_by_the_record(tmp_path: Path) -> None:
    """Whoever labelled the photo meant to correct the record."""
    folder = _folder(tmp_path, {"1.jpg": "x", "1.json": _record(3, A=3), "l.csv": "photo,count\n1,4O\n"})
    assert read_source(folder, folder / "l.csv").photos[0].count is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must have a column image_id or photo, but is empty"),
        (b"name,count\n1,2\n", "must have a column image_id or photo, but has name, count"),
        (b"image_id,quantity\n1,2\n", "must have a column count, but has image_id, quantity"),
        (b"image_id;count\n1;2\n", "must have a column image_id or photo"),
        ("image_id,count,place\n1,2,Köln\n".encode("latin-1"), "must be UTF-8"),
        (b'image_id,count\n1,"2\n', "is not a CSV file"),
    ],
)
def test_labels_that_are_no_such_csv_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    folder = _folder(tmp_path, {"1.jpg": "x", "labels.csv": content})
    with pytest.raises(BadInput, match=message) as caught:
        read_source(folder, folder / "labels.csv")
    assert "labels.csv" in str(caught.value)


def test_labels_with_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    folder = _folder(tmp_path, {"1.jpg": "x", "labels.csv": "\ufeffimage_id,count\r\n1,2\r\n"})
    assert read_source(folder, folder / "labels.csv").photos[0].count == 2


def test_missing_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingObject, match="is not a folder"):
        read_source(tmp_path / "nowhere")
    with pytest.raises(BadDataset, match="holds no photos"):
        read_source(_folder(tmp_path, {"readme.txt": "x"}))
    with pytest.raises(MissingObject, match="labels"):
        read_source(_folder(tmp_path, {"1.jpg": "x"}), tmp_path / "nowhere.csv")
