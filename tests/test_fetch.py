"""`binsight data fetch`: from a real S3 server seeded with ABID's first photos, through faults and kills."""

import hashlib
import json
import os
from pathlib import Path

import pytest
from tests.fetch_support import SOME, abid_source, journal_files, missing_rows, pairs_of, run_cli, tree
from tests.s3_server import PUBLIC_BUCKET, S3Server

from binsight.dataset.fetch import FetchSummary, fetch
from binsight.dataset.selection import Selection, counts_of, ids_of
from binsight.errors import BadInput, MissingObject


def photos_in(objects: dict[str, bytes]) -> list[str]:
    return sorted(Path(name).stem for name in objects if name.startswith("bin-images/"))


def quantity(record: bytes) -> int:
    return int(json.loads(record)["EXPECTED_QUANTITY"])


# ── which photos ──────────────────────────────────────────────────────────────────────────────────────────────


def test_an_id_range_is_fetched_photo_and_record_together(
    s3: S3Server, objects: dict[str, bytes], tmp_path: Path
) -> None:
    wanted = pairs_of(objects, SOME)
    summary = fetch("abid", tmp_path / "bins", Selection(ids=("00001-00120",)), endpoint_url=s3.endpoint_url)
    assert tree(tmp_path / "bins") == wanted
    num_there = len(wanted) // 2
    assert (summary.fetched, summary.missing) == (num_there, 120 - num_there)
    assert (summary.files, summary.bytes) == (len(wanted), sum(map(len, wanted.values())))
    gaps = {row["photo"] for row in missing_rows(tmp_path / "bins")}
    assert gaps == {photo for photo in SOME if f"bin-images/{photo}.jpg" not in objects}
    assert {row["what"] for row in missing_rows(tmp_path / "bins")} == {"both"}


def test_ids_are_strings(tmp_path: Path) -> None:
    """`1` and `00001` are different photos, and a range keeps the width of its ends."""
    source = abid_source(
        tmp_path / "source",
        {
            f"{folder}/{photo}{suffix}": f"{folder} {photo}".encode()
            for photo in ("1", "2", "00001", "00002", "10", "a-b")
            for folder, suffix in (("bin-images", ".jpg"), ("metadata", ".json"))
        },
    )
    for selection, photos in {
        "00001-00002": ["00001", "00002"],
        "1-2": ["1", "2"],
        "2-10": ["10", "2"],
        "00001": ["00001"],
        "a-b": ["a-b"],
    }.items():
        folder = tmp_path / selection
        fetch(str(source), folder, Selection(ids=(selection,)))
        assert sorted(path.stem for path in (folder / "bin-images").iterdir()) == photos


def test_id_ranges_say_what_is_wrong_with_them() -> None:
    assert list(ids_of("8-11")) == ["8", "9", "10", "11"]
    assert list(ids_of("098-101")) == ["098", "099", "100", "101"]
    with pytest.raises(BadInput, match=r"same number of digits.*got 00001-1200"):
        ids_of("00001-1200")
    with pytest.raises(BadInput, match="`first <= last` must hold in an id range, but got 9-8"):
        ids_of("9-8")
    for bad in ("../passwd", "", "a/b", ".hidden"):
        with pytest.raises(BadInput, match="cannot be a photo's id"):
            ids_of(bad)


def test_overlapping_ids_are_fetched_once(s3: S3Server, objects: dict[str, bytes], tmp_path: Path) -> None:
    selection = Selection(ids=("00100-00110", "00105", "00095-00115", "00105"))
    fetch("abid", tmp_path, selection, endpoint_url=s3.endpoint_url)
    files = journal_files(tmp_path)
    assert len(files) == len(set(files)) == len(pairs_of(objects, [f"{n:05}" for n in range(95, 116)]))


def test_counts_choose_by_the_record_and_cost_no_other_photo(
    s3: S3Server, objects: dict[str, bytes], tmp_path: Path
) -> None:
    selection = Selection(ids=("00001-00120",), counts=counts_of("2-3"))
    summary = fetch("abid", tmp_path, selection, endpoint_url=s3.endpoint_url)
    chosen = [
        photo for photo in SOME if (record := objects.get(f"metadata/{photo}.json")) and quantity(record) in (2, 3)
    ]
    assert tree(tmp_path) == pairs_of(objects, chosen)
    assert summary.fetched == len(chosen)
    assert summary.not_wanted == len(pairs_of(objects, SOME)) // 2 - len(chosen) > 0
    # A second run knows the records it did not keep, so that it sends no request for them: none can be answered.
    again = fetch("abid", tmp_path, _without_gaps(selection, objects), endpoint_url="http://127.0.0.1:9")
    assert (again.already_there, again.not_wanted, again.files) == (len(chosen), summary.not_wanted, 0)


def _without_gaps(selection: Selection, objects: dict[str, bytes]) -> Selection:
    photos = tuple(photo for photo in SOME if f"metadata/{photo}.json" in objects)
    return Selection(ids=photos, counts=selection.counts)


def test_counts_that_no_record_says_fail(s3: S3Server, tmp_path: Path) -> None:
    with pytest.raises(MissingObject, match=r"none of the .* records .* says such a count"):
        fetch(
            "abid",
            tmp_path,
            Selection(ids=("00001", "00002"), counts=counts_of("900")),
            endpoint_url=s3.endpoint_url,
        )


def test_a_limit_keeps_the_first(s3: S3Server, objects: dict[str, bytes], tmp_path: Path) -> None:
    """The same photos in every run, whatever order the answers come in, and with gaps not counted."""
    there = [photo for photo in SOME if f"bin-images/{photo}.jpg" in objects]
    summary = fetch("abid", tmp_path, Selection(ids=("00001-00120",), limit=37), endpoint_url=s3.endpoint_url)
    assert summary.fetched == 37
    assert tree(tmp_path) == pairs_of(objects, there[:37])
    beyond = fetch("abid", tmp_path, Selection(ids=("00001-00003",), limit=900), endpoint_url=s3.endpoint_url)
    assert beyond.already_there + beyond.missing == 3


def test_the_original_list_is_fetched(s3: S3Server, objects: dict[str, bytes], tmp_path: Path) -> None:
    file_list = tmp_path / "file_list.json"
    paths = {"1": ["data/metadata/00023.json", "data/metadata/00017.json"], "4": ["data/metadata/00100.json"]}
    file_list.write_text(json.dumps(paths))
    summary = fetch("abid", tmp_path / "all", Selection(list_file=file_list), endpoint_url=s3.endpoint_url)
    assert tree(tmp_path / "all") == pairs_of(objects, ["00023", "00017", "00100"])
    assert summary.fetched == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "must be a JSON object"),
        ('{"one": []}', "must map counts to lists"),
        ('{"1": ["data/metadata/"]}', None),
        ('{"1": [".."]}', "cannot be a photo's id"),
    ],
)
def test_a_list_that_cannot_be_one_is_refused(text: str, message: str | None, tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text(text)
    if message is None:
        assert [*next(iter(Selection(list_file=path).known_ids() or ()))] == ["metadata"]
        return
    with pytest.raises(BadInput, match=message):
        Selection(list_file=path).known_ids()


def test_everything_is_fetched_by_listing(s3: S3Server, objects: dict[str, bytes], tmp_path: Path) -> None:
    summary = fetch(f"s3://{PUBLIC_BUCKET}", tmp_path, endpoint_url=s3.endpoint_url, anonymous=True, jobs=64)
    assert tree(tmp_path) == objects
    assert (summary.fetched, summary.missing, summary.files) == (len(objects) // 2, 0, len(objects))
    for line in (tmp_path / "fetch.jsonl").read_bytes().splitlines()[1:]:
        entry = json.loads(line)
        assert hashlib.sha256(objects[entry["file"]]).hexdigest() == entry["sha256"]


# ── other sources ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_folder_is_a_source(objects: dict[str, bytes], tmp_path: Path) -> None:
    wanted = pairs_of(objects, SOME[:40])
    summary = fetch(str(abid_source(tmp_path / "source", wanted)), tmp_path / "bins")
    assert tree(tmp_path / "bins") == wanted
    assert summary.fetched == len(wanted) // 2


@pytest.mark.parametrize("with_records", [True, False])
def test_photos_lying_directly_in_a_folder_are_fetched(with_records: bool, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("a.jpg", "b.PNG", "c.webp", "._a.jpg", "notes.txt"):
        (source / name).write_bytes(name.encode())
        if with_records:
            (source / name).with_suffix(".json").write_bytes(b"record of " + name.encode())
    summary = fetch(str(source), tmp_path / "bins")
    expected = {"bin-images/a.jpg": b"a.jpg", "bin-images/b.png": b"b.PNG", "bin-images/c.webp": b"c.webp"}
    if with_records:
        names = ("a.jpg", "b.PNG", "c.webp")
        expected |= {f"metadata/{name[0]}.json": b"record of " + name.encode() for name in names}
    assert tree(tmp_path / "bins") == expected
    assert (summary.fetched, summary.missing) == (3, 0)


def test_ids_find_photos_of_any_ending(tmp_path: Path) -> None:
    source = abid_source(tmp_path / "source", {"bin-images/1.webp": b"w", "bin-images/2.jpeg": b"j"})
    assert fetch(str(source), tmp_path / "bins", Selection(ids=("1-3",))).fetched == 2
    assert tree(tmp_path / "bins") == {"bin-images/1.webp": b"w", "bin-images/2.jpeg": b"j"}


def test_what_lacks_its_other_half_is_reported(s3: S3Server, tmp_path: Path) -> None:
    """A photo without a record and a record without a photo: each is fetched, reported, and ends nothing."""
    s3.put("halves", {"x/bin-images/1.jpg": b"1", "x/bin-images/2.jpg": b"2"})
    s3.put("halves", {"x/metadata/2.json": b"{}", "x/metadata/3.json": b"{}"})
    s3.put("halves", {f"x/{name}": b"more" for name in ("bin-images/4.jpg", "metadata/4.json")})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "binsight")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "binsight-secret")
        for _ in ("first run", "second run"):
            summary = fetch("s3://halves/x", tmp_path, endpoint_url=s3.endpoint_url)
            rows = sorted((row["photo"], row["what"]) for row in missing_rows(tmp_path))
            assert rows == [("1", "record"), ("3", "photo")]
            assert summary.missing == 2
    assert sorted(tree(tmp_path)) == [
        *("bin-images/1.jpg", "bin-images/2.jpg", "bin-images/4.jpg"),
        *("metadata/2.json", "metadata/3.json", "metadata/4.json"),
    ]


def test_records_that_cannot_be_read_are_reported_where_counts_are_asked_for(tmp_path: Path) -> None:
    source = abid_source(
        tmp_path / "source",
        {
            "bin-images/1.jpg": b"1",
            "metadata/1.json": b"no json",
            "bin-images/2.jpg": b"2",
            "metadata/2.json": b'{"BIN_FCSKU_DATA": {}, "EXPECTED_QUANTITY": 0}',
        },
    )
    summary = fetch(str(source), tmp_path / "bins", Selection(counts=counts_of("0")))
    assert (summary.fetched, summary.missing) == (1, 1)
    assert "is not JSON" in missing_rows(tmp_path / "bins")[0]["reason"]


def test_a_photo_beyond_the_size_limit_is_reported_and_not_read(tmp_path: Path) -> None:
    source = abid_source(tmp_path / "source", {"bin-images/1.jpg": b"1", "bin-images/2.jpg": b"2" * 5000})
    environment = os.environ | {"BINSIGHT_MAX_PHOTO_BYTES": "4000"}
    result = run_cli("data", "fetch", str(source), str(tmp_path / "bins"), "--json", env=environment)
    assert json.loads(result.stdout)["missing"] == 1
    assert "at most 4,000 bytes, but has 5,000" in missing_rows(tmp_path / "bins")[0]["reason"]


# ── the command ───────────────────────────────────────────────────────────────────────────────────────────────


def test_the_command_prints_one_summary(s3: S3Server, objects: dict[str, bytes], tmp_path: Path) -> None:
    environment = os.environ | {"BINSIGHT_ENDPOINT_URL": s3.endpoint_url}
    command = ("data", "fetch", "abid", str(tmp_path / "bins"), "--ids", "00001-00040", "--ids", "00050")
    result = run_cli(*command, "--json", env=environment)
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    wanted = pairs_of(objects, [*SOME[:40], "00050"])
    assert summary["fetched"] == len(wanted) // 2 and summary["bytes"] == sum(map(len, wanted.values()))
    assert set(summary) == set(FetchSummary.__dataclass_fields__)
    assert f"{len(wanted) // 2} already there" in run_cli(*command, env=environment).stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ids", "00009-1"], "same number of digits"),
        (["--counts", "many"], "counts must be a number or a range"),
        (["--ids", "1", "--list", "list.json"], "by ids or by a list, not by both"),
        (["--list", "nowhere.json"], "the list nowhere.json cannot be read"),
        (["--limit", "0"], "0 is not in the range"),
    ],
)
def test_bad_options_are_explained(options: list[str], message: str, tmp_path: Path) -> None:
    result = run_cli("data", "fetch", "abid", str(tmp_path), *options)
    assert result.returncode in (1, 2)
    assert message in result.stderr and "Traceback" not in result.stderr
