"""`binsight data fetch` through kills, changed folders, faulty servers and full disks."""

import asyncio
import os
import resource
import signal
import socket
import subprocess
import time
from pathlib import Path
from threading import Event
from typing import Any

import obstore
import pytest
from obstore.store import HTTPStore
from tests.fault_server import running_fault_server
from tests.fetch_support import BINSIGHT, SOME, abid_source, journal_files, missing_rows, pairs_of, run_cli, tree
from tests.s3_server import PUBLIC_BUCKET, S3Server

from binsight.dataset.event_loop import new_loop
from binsight.dataset.fetch import fetch
from binsight.dataset.selection import Selection
from binsight.errors import AccessRefused, BadDataset, BadInput, MissingObject, MissingStore, StorageFailure


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


def test_an_answer_that_comes_once_the_fetch_is_given_up_is_not_told(capfd: pytest.CaptureFixture[str]) -> None:
    """As happens now and then on a full disk, when one of obstore's threads has its answer at that very moment."""
    loop, answered = new_loop(), Event()
    hand_over = loop.call_soon_threadsafe

    def noted(*args: Any, **options: Any) -> object:
        try:
            return hand_over(*args, **options)
        finally:
            answered.set()

    loop.call_soon_threadsafe = noted  # type: ignore[assignment, method-assign]
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        store = HTTPStore.from_url(url, client_options={"allow_http": True})

        async def ask() -> None:
            asked.append(asyncio.ensure_future(obstore.get_async(store, "photo.jpg")))
            await asyncio.sleep(0)

        asked: list[asyncio.Future[Any]] = []
        loop.run_until_complete(ask())
        connection, _ = server.accept()
        loop.close()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            assert answered.wait(60)
    time.sleep(0.1)  # what it has to say, it says after that
    assert "closed" not in capfd.readouterr().err
