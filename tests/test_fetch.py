"""`binsight data fetch`: from a real S3 server seeded with ABID's first photos, through faults and kills."""

import csv
import hashlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.fault_server import running_fault_server
from tests.s3_server import PUBLIC_BUCKET, S3Server, abid_objects, running_s3_server

from binsight.dataset.fetch import FetchSummary, fetch
from binsight.dataset.selection import Selection, counts_of, ids_of
from binsight.errors import AccessRefused, BadDataset, BadInput, MissingObject, MissingStore, StorageFailure

pytestmark = pytest.mark.xdist_group("s3")

BINSIGHT = (sys.executable, "-c", "from binsight.cli import main; main()")
NUM_PHOTOS = 2000
SOME = [f"{number:05}" for number in range(1, 121)]


@pytest.fixture(scope="module")
def objects(abid: Path) -> dict[str, bytes]:
    """What the bucket holds: ABID's names → bytes. The first ids have gaps, as the shared photos do."""
    return abid_objects(abid, NUM_PHOTOS)


@pytest.fixture(scope="module")
def s3(objects: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with running_s3_server(tmp_path_factory.mktemp("s3")) as server:
        server.put(PUBLIC_BUCKET, objects)
        yield server


def tree(folder: Path) -> dict[str, bytes]:
    """The photos and records in a fetched folder."""
    return {
        f"{path.parent.name}/{path.name}": path.read_bytes()
        for name in ("bin-images", "metadata")
        if (folder / name).is_dir()
        for path in (folder / name).iterdir()
    }


def pairs_of(objects: dict[str, bytes], photos: list[str]) -> dict[str, bytes]:
    """The objects of some photos, where both photo and record are there."""
    names = [name for photo in photos for name in (f"bin-images/{photo}.jpg", f"metadata/{photo}.json")]
    return {name: objects[name] for name in names if name in objects}


def photos_in(objects: dict[str, bytes]) -> list[str]:
    return sorted(Path(name).stem for name in objects if name.startswith("bin-images/"))


def missing_rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "missing.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def journal_files(folder: Path) -> list[str]:
    """The files that the journal names, once for every time each was fetched."""
    entries = [json.loads(line) for line in (folder / "fetch.jsonl").read_bytes().splitlines()]
    return [entry["file"] for entry in entries if "file" in entry]


def quantity(record: bytes) -> int:
    return int(json.loads(record)["EXPECTED_QUANTITY"])


def run_cli(*arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*BINSIGHT, *arguments], check=False, capture_output=True, text=True, timeout=120, **options
    )


def abid_source(directory: Path, objects: dict[str, bytes]) -> Path:
    """A folder in ABID's layout."""
    for name, data in objects.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)
    return directory


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
    assert (summary.fetched, summary.missing, summary.files) == (NUM_PHOTOS, 0, 2 * NUM_PHOTOS)
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


# ── again, after interruptions ────────────────────────────────────────────────────────────────────────────────


def start_fetch(s3: S3Server, folder: Path, *more: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [
            *(*BINSIGHT, "data", "fetch", "abid", str(folder)),
            *("--ids", "00001-02500", "--endpoint-url", s3.endpoint_url, *more),
        ],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def wait_for_files(folder: Path, num_files: int) -> None:
    journal = folder / "fetch.jsonl"
    deadline = time.monotonic() + 60
    while not journal.exists() or journal.read_bytes().count(b"\n") < num_files:
        assert time.monotonic() < deadline, "the fetch did not begin"
        time.sleep(0.01)


def test_a_killed_fetch_goes_on_where_it_was(s3: S3Server, objects: dict[str, bytes], tmp_path: Path) -> None:
    """Two kills at some moment: the end is the same, byte for byte, and only what was in flight came twice."""
    jobs = 16
    for num_files in (200, 500):
        process = start_fetch(s3, tmp_path, "--jobs", str(jobs))
        wait_for_files(tmp_path, num_files)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    with (tmp_path / "fetch.jsonl").open("ab") as journal:
        journal.write(b'{"file": "bin-images/000')  # as a kill in the middle of a write leaves it
    num_before = len(journal_files_but_torn(tmp_path))
    summary = fetch("abid", tmp_path, Selection(ids=("00001-02500",)), endpoint_url=s3.endpoint_url)
    assert tree(tmp_path) == pairs_of(objects, [f"{number:05}" for number in range(1, 2501)])
    assert summary.files == len(tree(tmp_path)) - num_before
    files = journal_files(tmp_path)
    assert sorted(files) == sorted(tree(tmp_path)), "the journal names every file once"
    assert {path.name for path in tmp_path.iterdir()} == {"bin-images", "metadata", "fetch.jsonl", "missing.csv"}


def journal_files_but_torn(folder: Path) -> list[bytes]:
    return [line for line in (folder / "fetch.jsonl").read_bytes().splitlines()[1:] if line.endswith(b"}")]


def test_ctrl_c_stops_at_once_and_leaves_nothing_half_written(s3: S3Server, tmp_path: Path) -> None:
    process = start_fetch(s3, tmp_path)
    wait_for_files(tmp_path, 200)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert time.monotonic() - started < 10
    assert stderr.decode().strip() == "error: interrupted; run the same command again to go on"
    assert not (tmp_path / ".fetching").exists()
    assert sorted(journal_files(tmp_path)) == sorted(tree(tmp_path))


def test_a_second_run_fetches_nothing(s3: S3Server, tmp_path: Path) -> None:
    selection = Selection(ids=("00001-00040",))
    first = fetch("abid", tmp_path, selection, endpoint_url=s3.endpoint_url)
    second = fetch("abid", tmp_path, selection, endpoint_url=s3.endpoint_url)
    assert (second.fetched, second.already_there, second.files, second.bytes) == (0, first.fetched, 0, 0)
    assert second.missing == first.missing


def test_files_cut_short_or_gone_are_fetched_again(s3: S3Server, objects: dict[str, bytes], tmp_path: Path) -> None:
    selection = Selection(ids=("00001-00040",))
    fetch("abid", tmp_path, selection, endpoint_url=s3.endpoint_url)
    names = sorted(pairs_of(objects, SOME[:40]))
    (tmp_path / names[0]).write_bytes(objects[names[0]][:100])
    (tmp_path / names[-1]).unlink()
    summary = fetch("abid", tmp_path, selection, endpoint_url=s3.endpoint_url)
    assert (summary.files, summary.fetched) == (2, 2)
    assert tree(tmp_path) == pairs_of(objects, SOME[:40])


def test_verify_finds_changed_bytes_of_the_same_size(
    s3: S3Server, objects: dict[str, bytes], tmp_path: Path
) -> None:
    selection = Selection(ids=("00001-00040",))
    fetch("abid", tmp_path, selection, endpoint_url=s3.endpoint_url)
    name = sorted(pairs_of(objects, SOME[:40]))[0]
    (tmp_path / name).write_bytes(bytes(len(objects[name])))
    assert fetch("abid", tmp_path, selection, endpoint_url=s3.endpoint_url).files == 0
    assert fetch("abid", tmp_path, selection, endpoint_url=s3.endpoint_url, verify=True).files == 1
    assert (tmp_path / name).read_bytes() == objects[name]


def test_a_folder_belongs_to_one_source(tmp_path: Path) -> None:
    one = abid_source(tmp_path / "one", {"bin-images/1.jpg": b"one"})
    other = abid_source(tmp_path / "other", {"bin-images/1.jpg": b"other"})
    fetch(str(one), tmp_path / "bins")
    with pytest.raises(BadDataset, match=r"holds what was fetched from .*one, not from .*other"):
        fetch(str(other), tmp_path / "bins")
    with pytest.raises(BadInput, match="lies in the source"):
        fetch(str(one), one / "bin-images")


def test_two_fetches_do_not_write_into_one_folder(s3: S3Server, tmp_path: Path) -> None:
    process = start_fetch(s3, tmp_path)
    wait_for_files(tmp_path, 2)
    try:
        with pytest.raises(BadInput, match="another fetch is writing into"):
            fetch("abid", tmp_path, Selection(ids=("00001",)), endpoint_url=s3.endpoint_url)
    finally:
        process.kill()
        process.communicate()


# ── what goes wrong ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_flaky_server_changes_nothing_in_the_result(
    s3: S3Server, objects: dict[str, bytes], tmp_path: Path
) -> None:
    faults = ["none", "unavailable", "none", "cut", "none", "none", "reset", "none", "none", "slow_down", "none"]
    faults += ["none", "unavailable", "none", "garbled", "none", "none", "reset", "none", "none", "none"]
    with running_fault_server(s3.endpoint_url, faults) as faulty:  # type: ignore[arg-type]
        fetch("abid", tmp_path, Selection(ids=("00001-00120",)), endpoint_url=faulty.endpoint_url)
        assert faulty.num_faults > 40
    assert tree(tmp_path) == pairs_of(objects, SOME)


def test_a_bucket_that_is_not_there_fails_at_once(s3: S3Server, tmp_path: Path) -> None:
    environment = os.environ | {"AWS_ACCESS_KEY_ID": "binsight", "AWS_SECRET_ACCESS_KEY": "binsight-secret"}
    result = run_cli(
        *("data", "fetch", "s3://no-such-bucket", str(tmp_path / "bins"), "--endpoint-url", s3.endpoint_url),
        env=environment,
    )
    assert result.returncode == 1
    assert result.stderr.startswith("error: the bucket of s3://no-such-bucket is not at ")
    assert not (tmp_path / "bins").exists()


def test_a_wrong_secret_fails_at_once(s3: S3Server, tmp_path: Path) -> None:
    environment = os.environ | {"AWS_ACCESS_KEY_ID": "binsight", "AWS_SECRET_ACCESS_KEY": "wrong"}
    source = f"s3://{PUBLIC_BUCKET}"
    result = run_cli(
        *("data", "fetch", source, str(tmp_path), "--ids", "00001", "--endpoint-url", s3.endpoint_url),
        env=environment,
    )
    assert result.returncode == 1
    assert "refused the credentials" in result.stderr and "Traceback" not in result.stderr


def test_an_unreachable_endpoint_fails_and_leaves_the_folder_to_any_source(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(_retry(), "max_retries", 2)
            with pytest.raises(StorageFailure, match="cannot be reached"):
                fetch("abid", tmp_path, Selection(ids=("00001-99999",)), endpoint_url=address)
    assert list(tmp_path.iterdir()) == []


def _retry() -> dict[str, Any]:
    from binsight.storage import objects

    retry: dict[str, Any] = objects._RETRY
    return retry


def test_no_photo_at_all_is_a_failure(s3: S3Server, tmp_path: Path) -> None:
    with pytest.raises(MissingObject, match=r"none of 3 photos could be had from s3://aft-vbi-pds"):
        fetch("abid", tmp_path, Selection(ids=("99990-99992",)), endpoint_url=s3.endpoint_url)
    assert len(missing_rows(tmp_path)) == 3


def test_a_store_that_refuses_everything_is_not_asked_for_all(s3: S3Server, tmp_path: Path) -> None:
    s3.put("private", {"bin-images/1.jpg": b"x"})
    with running_fault_server(s3.endpoint_url, ["none"]) as counting:
        with pytest.raises(AccessRefused):
            fetch(
                "s3://private",
                tmp_path,
                Selection(ids=("1-9999",)),
                endpoint_url=counting.endpoint_url,
                anonymous=True,
            )
        assert counting.num_requests < 300


@pytest.mark.parametrize("make", ["nothing", "folder"])
def test_a_source_without_photos_fails(make: str, tmp_path: Path) -> None:
    if make == "folder":
        (tmp_path / "source").mkdir()
    with pytest.raises((MissingStore, MissingObject), match=r"is not there|holds no photos"):
        fetch(str(tmp_path / "source"), tmp_path / "bins")


def test_a_full_disk_is_told_and_nothing_is_half_written(
    s3: S3Server, objects: dict[str, bytes], tmp_path: Path
) -> None:
    """A real file system of 400 KB, or, where mounting is not allowed, a cap on the size of any file."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", folder], check=False, capture_output=True
    )
    cap = None if mounted.returncode == 0 else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))
    try:
        result = run_cli(
            *("data", "fetch", "abid", str(folder), "--ids", "00001-00120", "--endpoint-url", s3.endpoint_url),
            preexec_fn=cap,
        )
        assert result.returncode == 1
        assert result.stderr.startswith("error: ") and "cannot be written" in result.stderr
        assert "free space" in result.stderr and result.stderr.count("\n") == 1
        assert not (folder / ".fetching").exists()
        assert all(data == objects[name] for name, data in tree(folder).items())
        assert tree(folder)
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", folder], check=True)


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
