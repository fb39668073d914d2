"""`binsight count --out`: a folder or bucket into Parquet, exactly one row a photo, whatever happens meanwhile."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from tests.batch_support import NUM_PHOTOS, SHARD, drawn_folder, parts, rows
from tests.bundle_support import bundle_with_other_answers
from tests.fault_server import running_fault_server
from tests.s3_server import CREDENTIALS, PUBLIC_BUCKET, S3Server, running_s3_server

from binsight.batch import Places, begin, engine_here, plan, run
from binsight.batch import photos as batch_photos
from binsight.batch.photos import Listed
from binsight.batch.plan import JOB_FILE
from binsight.batch.rows import list_bytes, row_bytes
from binsight.cli import cli
from binsight.counting import Bundle, Counter, default_bundle
from binsight.errors import BadInput, MissingObject, MissingStore, StorageFailure
from binsight.imaging.drawn import drawn_photo
from binsight.records import CountFailure
from binsight.storage.objects import open_store

CLOSING = ["out", "photos", "failed", "shards", "now", "seconds", "photos_per_s", "cost", "cost_per_million"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_folder(tmp_path_factory.mktemp("drawn") / "photos")


@pytest.fixture
def photos(drawn: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(drawn, tmp_path / "photos"))


def count(place: object, out: object, *options: object) -> Result:
    arguments = ["count", place, "--out", out, "--shard-photos", SHARD, *options]
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def only_list(place: object, out: object, endpoint_url: str | None = None) -> None:
    """What is there of a job that is killed right after its listing."""
    places = Places.of(str(place), str(out), endpoint_url=endpoint_url, anonymous=False)
    begin(places, model=Bundle.open(default_bundle()).name, read_labels=False, shard_photos=SHARD)


def closing(result: Result) -> dict[str, Any]:
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    (line,) = result.stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def test_rows_are_the_lines_of_counting_photo_by_photo(photos: Path, tmp_path: Path) -> None:
    said = closing(count(photos, tmp_path / "out", "--json", "--price-per-hour", "3.6"))
    assert list(said) == CLOSING
    assert (said["photos"], said["now"], said["failed"], said["shards"]) == (NUM_PHOTOS, NUM_PHOTOS, 0, 4)
    assert said["cost"] == pytest.approx(said["seconds"] / 1000, abs=1e-5)
    assert said["cost_per_million"] == pytest.approx(said["cost"] / NUM_PHOTOS * 1e6, rel=0.01)
    lines = [
        json.loads(line) for line in CliRunner().invoke(cli, ["count", str(photos), "--json"]).stdout.splitlines()
    ]
    found = rows(tmp_path / "out")
    assert [row["photo"] for row in found] == [line["photo"] for line in lines]
    for row, line in zip(found, lines, strict=True):
        assert row.pop("error") is None
        assert row.pop("model") == Bundle.open(default_bundle()).name
        assert row.pop("probs") == pytest.approx(line.pop("probs"), abs=1e-5)
        assert row == line


def test_the_output_folder_is_one_table_to_others(photos: Path, tmp_path: Path) -> None:
    """Without the job's own files, which a reader of a whole folder must pass over."""
    count(photos, tmp_path / "out")
    assert pq.read_table(tmp_path / "out").num_rows == NUM_PHOTOS


def test_a_photo_that_cannot_be_read_is_a_row_with_its_error(photos: Path, tmp_path: Path) -> None:
    (photos / "02.jpg").write_bytes(drawn_photo(1, seed=1)[:3000])
    (photos / "03.jpg").unlink()
    (photos / "03.jpg").symlink_to(tmp_path / "nothing")
    result = count(photos, tmp_path / "out", "--json")
    assert result.exit_code == 1
    assert closing(result)["failed"] == 2
    assert "2 photos could not be counted" in result.stderr
    found = rows(tmp_path / "out")
    assert len(found) == NUM_PHOTOS
    assert "is cut off" in found[2]["error"]
    assert "cannot be read" in found[3]["error"]
    assert (found[2]["count"], found[2]["probs"]) == (None, None)
    again = closing(count(photos, tmp_path / "out", "--json"))
    assert (again["now"], again["failed"]) == (0, 2)


def begun(photos: Path, out: Path) -> subprocess.Popen[bytes]:
    """The command as a process, to be killed."""
    command = ["count", str(photos), "--out", str(out), "--shard-photos", str(SHARD)]
    return subprocess.Popen([sys.executable, "-m", "binsight", *command], stdout=subprocess.DEVNULL)


def test_a_job_that_was_killed_goes_on_and_ends_with_the_same_bytes(photos: Path, tmp_path: Path) -> None:
    """A real SIGKILL, once rows are there and before all are."""
    count(photos, tmp_path / "whole")
    out = tmp_path / "out"
    process = begun(photos, out)
    while not parts(out):
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(rows(out))
    said = closing(count(photos, out, "--json"))
    assert (said["photos"], said["now"]) == (NUM_PHOTOS, NUM_PHOTOS - done)
    assert parts(out) == parts(tmp_path / "whole")


@pytest.mark.slow
def test_any_number_of_kills_leave_one_row_a_photo(photos: Path, tmp_path: Path) -> None:
    """SIGKILL at moments that grow from before the listing to after the last shard."""
    count(photos, tmp_path / "whole")
    out = tmp_path / "out"
    for tenths in range(1, 25):
        process = begun(photos, out)
        time.sleep(tenths / 10)
        process.kill()
        process.wait()
        assert parts(out).items() <= parts(tmp_path / "whole").items()
    count(photos, out)
    assert parts(out) == parts(tmp_path / "whole")


def test_what_goes_or_changes_after_the_listing_is_a_row_that_says_so(photos: Path, tmp_path: Path) -> None:
    """And what comes later is not counted: the listing is the job."""
    out = tmp_path / "out"
    only_list(photos, out)
    (photos / "00.jpg").unlink()
    (photos / "01.jpg").write_bytes(drawn_photo(9, seed=99))
    (photos / "99.jpg").write_bytes(drawn_photo(9, seed=99))
    assert closing(count(photos, out, "--json"))["failed"] == 2
    found = rows(out)
    assert len(found) == NUM_PHOTOS
    assert "00.jpg cannot be read" in found[0]["error"]
    assert "was changed since it was listed" in found[1]["error"]


def test_a_store_that_fails_ends_the_run_and_writes_no_error_into_rows(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = batch_photos._Folder.read

    def fails_once(self: batch_photos._Folder, photo: batch_photos.Listed) -> bytes:
        if photo.name == "03.jpg":
            raise StorageFailure("the store answered 503, also when asked again; try again later")
        return read(self, photo)

    with monkeypatch.context() as patch:
        patch.setattr(batch_photos._Folder, "read", fails_once)
        assert "answered 503" in str(count(photos, tmp_path / "out").exception)
    assert all(row["error"] is None for row in rows(tmp_path / "out"))
    assert closing(count(photos, tmp_path / "out", "--json"))["failed"] == 0
    assert len(rows(tmp_path / "out")) == NUM_PHOTOS


@pytest.mark.parametrize("name", ["read_bytes", "stat"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
def test_a_disk_that_fails_ends_the_run_and_is_in_no_row(
    photos: Path, tmp_path: Path, name: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_list(photos, tmp_path / "out")
    works = getattr(Path, name)

    def fails(self: Path, **options: Any) -> Any:
        if self.name == "03.jpg":
            raise OSError(number, os.strerror(number))
        return works(self, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, name, fails)
        result = count(photos, tmp_path / "out")
        assert isinstance(result.exception, StorageFailure)
        assert "03.jpg cannot be read" in str(result.exception) and "the mount" in str(result.exception)
    assert closing(count(photos, tmp_path / "out", "--json"))["failed"] == 0


def test_a_disk_that_fails_while_it_is_listed_begins_no_job(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even one without the photos of a folder that could not be looked into."""
    (photos / "more").mkdir()
    scandir = os.scandir

    def fails(path: Any) -> Any:
        if str(path).endswith("more"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return scandir(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", fails)
        with pytest.raises(StorageFailure, match=r"/more cannot be read"):
            list(batch_photos.open_photos(str(photos)).list())


def test_a_place_that_is_gone_ends_the_run(photos: Path, tmp_path: Path) -> None:
    """As a disk that is no longer mounted does, where every single photo has gone."""
    only_list(photos, tmp_path / "out")
    for photo in photos.iterdir():
        photo.unlink()
    result = count(photos, tmp_path / "out")
    assert isinstance(result.exception, StorageFailure)
    assert "holds no photo any more" in str(result.exception)
    assert parts(tmp_path / "out") == {}


def test_a_full_disk_is_said_and_leaves_no_half_part(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", _full)
        result = count(photos, tmp_path / "out")
    assert "No space left on device" in str(result.exception)
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []
    assert count(photos, tmp_path / "out").exit_code == 0


def _full(_: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_part_that_is_not_whole_is_counted_anew(photos: Path, tmp_path: Path) -> None:
    count(photos, tmp_path / "out")
    whole = parts(tmp_path / "out")
    (first, data), (second, _), (third, _), *_ = whole.items()
    (tmp_path / "out" / first).write_bytes(data[: len(data) // 2])
    (tmp_path / "out" / third).write_bytes(
        list_bytes([Listed("00.jpg", 1, "")] * SHARD)
    )  # a table, but no rows of counts
    (tmp_path / "out" / second).write_bytes(row_bytes([CountFailure(photo="one", error="alone")], "model"))
    assert closing(count(photos, tmp_path / "out", "--json"))["now"] == 3 * SHARD
    assert parts(tmp_path / "out") == whole


def test_an_output_takes_one_job(photos: Path, tmp_path: Path) -> None:
    """Not one of another model, of other photos, or of another question: their rows would be mixed."""
    out = tmp_path / "out"
    count(photos, out)
    before = parts(out)
    other = bundle_with_other_answers(tmp_path / "other")
    elsewhere = shutil.copytree(photos, tmp_path / "elsewhere")
    for result in (
        count(photos, out, "--model", other),
        count(elsewhere, out),
        count(photos, out, "--read-labels"),
    ):
        assert isinstance(result.exception, BadInput)
        assert "choose another --out" in str(result.exception)
    (out / JOB_FILE).write_text("{}")
    assert "is not a job that this Binsight knows" in str(count(photos, out).exception)
    assert parts(out) == before


def test_two_at_once_share_a_job(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both begin in an empty output: one listing becomes the job, and each shard has one part."""
    ready = threading.Barrier(2)
    frozen = plan._frozen

    def together(*arguments: Any) -> Iterator[plan.Shard]:
        ready.wait(timeout=30)
        yield from frozen(*arguments)

    monkeypatch.setattr(plan, "_frozen", together)
    counter = Counter.load(default_bundle())
    places = Places.of(str(photos), str(tmp_path / "out"), endpoint_url=None, anonymous=False)
    said = []

    def work() -> None:
        job = begin(places, model=counter.bundle.name, read_labels=False, shard_photos=SHARD)
        said.append(run(job, places, engine_here(places, counter), began=time.monotonic(), price_per_hour=None))

    both = [threading.Thread(target=work) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert [one.photos for one in said] == [NUM_PHOTOS, NUM_PHOTOS]
    assert len(rows(tmp_path / "out")) == NUM_PHOTOS


def test_what_cannot_be_meant_is_refused(photos: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    assert isinstance(count(tmp_path / "nowhere", out).exception, MissingStore)
    (tmp_path / "empty").mkdir()
    assert isinstance(count(tmp_path / "empty", out).exception, MissingObject)
    assert isinstance(count(photos, "gs://bucket/x").exception, BadInput)
    for words in (["count", str(photos), out, "--out", out], ["count", str(photos), "--on", "ray"]):
        assert isinstance(CliRunner().invoke(cli, words).exception, BadInput), words
    assert not (tmp_path / "out" / JOB_FILE).exists()


@pytest.fixture(scope="module")
def bucket(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[S3Server, Path]]:
    with running_s3_server(tmp_path_factory.mktemp("s3")) as server:
        server.put(PUBLIC_BUCKET, {f"shelf/{path.name}": path.read_bytes() for path in drawn.iterdir()})
        yield server, drawn


def test_a_bucket_is_counted_into_a_bucket(
    bucket: tuple[S3Server, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are those of the same photos on a disk; and a photo that was replaced since the listing is not counted."""
    server, folder = bucket
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    place, out = f"s3://{PUBLIC_BUCKET}/shelf", f"s3://{PUBLIC_BUCKET}/estimates/"
    only_list(place, out, server.endpoint_url)
    server.put(PUBLIC_BUCKET, {"shelf/01.jpg": drawn_photo(9, seed=99)})
    result = count(place, out, "--endpoint-url", server.endpoint_url, "--json")
    assert (closing(result)["photos"], closing(result)["failed"]) == (NUM_PHOTOS, 1)
    store = open_store(out, endpoint_url=server.endpoint_url)
    for info in store.list():
        if not info.name.startswith("_"):
            (tmp_path / info.name).write_bytes(store.read(info.name))
    found = rows(tmp_path)
    assert "was changed since it was listed" in found.pop(1)["error"]
    count(folder, tmp_path / "local")
    local = rows(tmp_path / "local")
    del local[1]
    assert [row.pop("photo") for row in found] == [f"{place}/{Path(row.pop('photo')).name}" for row in local]
    assert [row["probs"] for row in found] == [pytest.approx(row["probs"], abs=1e-5) for row in local]
    server.put(PUBLIC_BUCKET, {"shelf/01.jpg": (folder / "01.jpg").read_bytes()})


def test_answers_of_503_and_bodies_cut_short_cost_nothing_but_time(
    bucket: tuple[S3Server, Path], tmp_path: Path
) -> None:
    server, _ = bucket
    with running_fault_server(server.endpoint_url, ["none", "unavailable", "none", "slow_down", "cut"]) as faulty:
        place = f"s3://{PUBLIC_BUCKET}/shelf"
        result = count(place, tmp_path, "--endpoint-url", faulty.endpoint_url, "--anonymous", "--json")
        assert faulty.num_faults > 5
    assert (closing(result)["photos"], closing(result)["failed"]) == (NUM_PHOTOS, 0)


def test_missing_credentials_are_said_before_any_work(
    bucket: tuple[S3Server, Path], monkeypatch: pytest.MonkeyPatch, photos: Path
) -> None:
    """Also where the photos are public: nobody writes unsigned."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    result = count(photos, f"s3://{PUBLIC_BUCKET}/other", "--endpoint-url", bucket[0].endpoint_url)
    assert isinstance(result.exception, StorageFailure)
    assert "check AWS_ACCESS_KEY_ID" in str(result.exception)


def test_a_list_that_somebody_changed_is_not_counted(photos: Path, tmp_path: Path) -> None:
    only_list(photos, tmp_path / "out")
    first = next((tmp_path / "out" / "_job").glob("photos-*.parquet"))
    first.write_bytes(list_bytes([]))
    result = count(photos, tmp_path / "out")
    assert isinstance(result.exception, StorageFailure)
    assert "was changed; begin again in another --out" in str(result.exception)
