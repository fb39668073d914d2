"""Objects in folders and in buckets of a real S3 server: reading, listing, writing, and what goes wrong."""

import asyncio
import os
import re
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.fault_server import Fault, running_fault_server
from tests.refusing_server import running_refusing_server
from tests.s3_server import CREDENTIALS, PUBLIC_BUCKET, READER, S3Server, running_s3_server

from binsight.errors import AccessRefused, BadInput, MissingObject, MissingStore, StorageFailure
from binsight.storage import objects as objects_module
from binsight.storage.objects import Objects, open_store, read_bytes
from binsight.storage.upload import upload_folder

LARGE = bytes(range(256)) * 4000


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with running_s3_server(tmp_path_factory.mktemp("s3")) as server:
        server.put(PUBLIC_BUCKET, {"large.bin": LARGE})
        server.put(PUBLIC_BUCKET, {f"many/{number:04}.txt": b"x" for number in range(1200)})
        yield server


@pytest.fixture
def owner(monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner's credentials in the environment, where the library looks for them."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects_module, "_PAUSES_S", (0,) * 6)
    monkeypatch.setitem(objects_module._RETRY, "max_retries", 2)
    monkeypatch.setitem(objects_module._RETRY, "backoff", {"init_backoff": timedelta(milliseconds=1)})


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    """An empty store of each kind: one contract for both."""
    if request.param == "folder":
        return open_store(str(tmp_path / "store"), create=True)
    server: S3Server = request.getfixturevalue("s3")
    request.getfixturevalue("owner")
    return open_store(f"s3://contract/{tmp_path.name}", endpoint_url=server.endpoint_url)


def test_what_is_written_is_read_and_listed(store: Objects) -> None:
    store.write("a/b c%é#.jpg", b"photo")
    store.write("top.json", b"")
    assert store.read("a/b c%é#.jpg") == b"photo"
    assert asyncio.run(store.read_async("a/b c%é#.jpg")) == b"photo"
    assert {(info.name, info.size) for info in store.list()} == {("a/b c%é#.jpg", 5), ("top.json", 0)}
    assert [info.name for info in store.list("a")] == ["a/b c%é#.jpg"]


def test_writing_over_an_object_replaces_it(store: Objects, tmp_path: Path) -> None:
    store.write("a", b"first")
    (tmp_path / "second").write_bytes(b"second, from a file")
    store.write("a", tmp_path / "second")
    assert store.read("a") == b"second, from a file"


def test_an_object_is_added_once(store: Objects) -> None:
    assert store.add("look/01", b"first") is True
    assert store.add("look/01", b"second") is False
    assert store.read("look/01") == b"first"


def test_a_missing_object_is_named(store: Objects) -> None:
    store.write("there", b"x")
    with pytest.raises(MissingObject, match=r"/nowhere.jpg is not there"):
        store.read("nowhere.jpg")
    with pytest.raises(MissingObject, match=r"/nowhere.jpg is not there"):
        asyncio.run(store.read_async("nowhere.jpg"))
    assert list(store.list("nothing/below")) == []


def test_a_prefix_is_whole_name_parts(store: Objects) -> None:
    store.write("bin/1", b"x")
    store.write("bin-images/1", b"x")
    assert [info.name for info in store.list("bin")] == ["bin/1"]


def test_too_large_an_object_is_not_read(store: Objects) -> None:
    store.write("large", b"x" * 1001)
    with pytest.raises(BadInput, match="at most 1,000 bytes, but has 1,001"):
        store.read("large", max_bytes=1000)
    assert len(store.read("large", max_bytes=1001)) == 1001


def test_a_name_that_climbs_out_is_refused(store: Objects) -> None:
    with pytest.raises(BadInput, match="cannot be an object's name"):
        store.read("../outside")


@pytest.mark.parametrize("key", ["p/d//e.jpg", "p/x/../y.jpg", "p/./z.jpg", "p//lead.jpg", "p///"])
def test_an_object_that_cannot_be_listed_is_named_with_the_mend(key: str, owner: None) -> None:
    """As S3 takes it, and hardly any server of files."""
    listed = (
        f"<Contents><Key>{key}</Key><Size>1</Size><LastModified>2026-11-24T18:00:00.000Z</LastModified></Contents>"
    )
    body = f"<ListBucketResult><Name>bins</Name><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>"
    with running_refusing_server(body, status=200) as endpoint:
        store = open_store("s3://bins/p", endpoint_url=endpoint)
        with pytest.raises(
            BadInput, match=rf"^s3://bins/{re.escape(key)} cannot be listed: .*; rename that object"
        ):
            list(store.list())

        async def names() -> list[str]:
            return [info.name async for info in store.list()]

        with pytest.raises(BadInput, match="cannot be listed"):
            asyncio.run(names())


def test_listings_go_beyond_one_page_sync_and_async(s3: S3Server) -> None:
    store = open_store(f"s3://{PUBLIC_BUCKET}", endpoint_url=s3.endpoint_url, anonymous=True)

    async def names() -> list[str]:
        return [info.name async for info in store.list("many")]

    assert [info.name for info in store.list("many")] == [f"many/{number:04}.txt" for number in range(1200)]
    assert asyncio.run(names()) == [f"many/{number:04}.txt" for number in range(1200)]


def test_one_object_is_read_by_its_url(s3: S3Server, tmp_path: Path) -> None:
    url = f"s3://{PUBLIC_BUCKET}/many/0007.txt"
    assert read_bytes(url, endpoint_url=s3.endpoint_url, anonymous=True) == b"x"
    (tmp_path / "photo").write_bytes(b"y")
    assert read_bytes(str(tmp_path / "photo")) == b"y"
    assert read_bytes((tmp_path / "photo").as_uri()) == b"y"


def test_the_endpoint_comes_from_the_environment(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BINSIGHT_ENDPOINT_URL", s3.endpoint_url)
    objects_module.settings.cache_clear()
    try:
        assert open_store(f"s3://{PUBLIC_BUCKET}", anonymous=True).read("many/0000.txt") == b"x"
    finally:
        objects_module.settings.cache_clear()


def test_an_upload_arrives_byte_for_byte(s3: S3Server, owner: None, tmp_path: Path) -> None:
    """The round trip of `data prepare --push`, with one file beyond a single request's size."""
    folder = tmp_path / "dataset"
    files = {f"train/{number}.jpg": os.urandom(2000 + number) for number in range(40)}
    files |= {"dataset.json": b"{}", "val/deep/er/é x.jpg": b"", "train/large.bin": os.urandom(12_000_000)}
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    assert upload_folder(folder, "s3://pushed/some/dataset", endpoint_url=s3.endpoint_url) == len(files)
    store = open_store("s3://pushed/some/dataset", endpoint_url=s3.endpoint_url)
    assert {info.name: store.read(info.name) for info in store.list()} == files


def test_an_upload_writes_the_top_folder_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sees a dataset's summary must find the dataset."""
    for name in ("a.json", "train/1.jpg", "val/x/2.jpg"):
        (tmp_path / "dataset" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "dataset" / name).write_bytes(b"x")
    written: list[str] = []
    monkeypatch.setattr(Objects, "write", lambda self, name, data: written.append(name))
    upload_folder(tmp_path / "dataset", str(tmp_path / "copy"))
    assert written[-1] == "a.json" and len(written) == 3


def test_a_missing_bucket_is_named(s3: S3Server, owner: None) -> None:
    store = open_store("s3://no-such-bucket", endpoint_url=s3.endpoint_url)
    with pytest.raises(
        MissingStore, match=r"the bucket of s3://no-such-bucket is not at http://127.*check its name"
    ):
        store.read("x")
    with pytest.raises(MissingStore, match="the bucket of s3://no-such-bucket"):
        list(store.list())


def test_a_wrong_secret_is_refused(s3: S3Server, owner: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    store = open_store(f"s3://{PUBLIC_BUCKET}", endpoint_url=s3.endpoint_url)
    with pytest.raises(StorageFailure, match=r"refused the credentials.*AWS_ACCESS_KEY_ID"):
        store.read("many/0000.txt")
    with pytest.raises(StorageFailure, match="refused the credentials"):
        list(store.list())


def test_what_is_not_public_is_refused_unsigned(s3: S3Server) -> None:
    store = open_store(f"s3://{PUBLIC_BUCKET}", endpoint_url=s3.endpoint_url, anonymous=True)
    with pytest.raises(AccessRefused, match=r"access to s3://aft-vbi-pds/new was refused \(AccessDenied\)"):
        store.write("new", b"x")


def test_who_may_only_read_is_told_which_permission_is_missing(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in READER.items():
        monkeypatch.setenv(name, value)
    store = open_store(f"s3://{PUBLIC_BUCKET}", endpoint_url=s3.endpoint_url)
    assert store.read("many/0000.txt") == b"x" and list(store.list("many"))
    with pytest.raises(
        AccessRefused, match=r"aft-vbi-pds/new was refused .*the permission s3:PutObject is missing"
    ):
        store.write("new", b"x")
    with pytest.raises(AccessRefused, match=r"many/0000.txt was .*the permission s3:DeleteObject is missing"):
        store.remove(["many/0000.txt"])


def test_an_unreachable_endpoint_is_named(quick_retries: None) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(StorageFailure, match=f"{address} cannot be reached.*check the endpoint"):
            open_store("s3://bucket", endpoint_url=address, anonymous=True).read("x")


@pytest.mark.parametrize("fault", ["unavailable", "slow_down", "reset", "cut"])
def test_passing_faults_are_waited_out(s3: S3Server, quick_retries: None, fault: Fault) -> None:
    with running_fault_server(s3.endpoint_url, [fault, "none"]) as faulty:
        store = open_store(f"s3://{PUBLIC_BUCKET}", endpoint_url=faulty.endpoint_url, anonymous=True)
        assert store.read("large.bin") == LARGE
        assert asyncio.run(store.read_async("large.bin")) == LARGE
        assert faulty.num_faults >= 2


def test_lasting_faults_are_told(s3: S3Server, quick_retries: None) -> None:
    with running_fault_server(s3.endpoint_url, ["unavailable"]) as faulty:
        store = open_store(f"s3://{PUBLIC_BUCKET}", endpoint_url=faulty.endpoint_url, anonymous=True)
        with pytest.raises(StorageFailure, match="answered 503, also when asked again; try again later"):
            store.read("many/0000.txt")


def test_bytes_changed_on_the_way_are_read_again(s3: S3Server) -> None:
    with running_fault_server(s3.endpoint_url, ["garbled", "none"]) as faulty:
        store = open_store(f"s3://{PUBLIC_BUCKET}", endpoint_url=faulty.endpoint_url, anonymous=True)
        assert store.read("many/0000.txt") == b"x"
        assert asyncio.run(store.read_async("many/0001.txt")) == b"x"
        assert faulty.num_faults == 2


def test_bytes_that_never_match_their_checksum_are_refused(s3: S3Server, quick_retries: None) -> None:
    with running_fault_server(s3.endpoint_url, ["garbled"]) as faulty:
        store = open_store(f"s3://{PUBLIC_BUCKET}", endpoint_url=faulty.endpoint_url, anonymous=True)
        with pytest.raises(StorageFailure, match="arrived 6 times with bytes that do not match its checksum"):
            store.read("many/0000.txt")


def test_a_tag_that_only_looks_like_a_checksum_is_outvoted(s3: S3Server) -> None:
    """Buckets that encrypt with keys of their own give 32 hexadecimal digits that are no MD5."""
    with running_fault_server(s3.endpoint_url, ["other_tag"]) as faulty:
        store = open_store(f"s3://{PUBLIC_BUCKET}", endpoint_url=faulty.endpoint_url, anonymous=True)
        assert store.read("many/0000.txt") == b"x"
        assert faulty.num_requests == 2
        assert store.read("many/0001.txt") == b"x"
        assert faulty.num_requests == 3


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("gs://bucket", "must be s3://bucket/prefix, file:///folder or a folder"),
        ("s3://", "must name a bucket"),
    ],
)
def test_other_urls_are_refused(url: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        open_store(url)


def test_an_endpoint_needs_its_scheme() -> None:
    with pytest.raises(BadInput, match="must start with https:// or http://, but is minio:9000"):
        open_store("s3://bucket", endpoint_url="minio:9000")


def test_a_folder_must_be_there_and_be_one(tmp_path: Path) -> None:
    with pytest.raises(MissingStore, match="nowhere is not there"):
        open_store(str(tmp_path / "nowhere"))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadInput, match="must be a folder, but is a file"):
        open_store(str(tmp_path / "file"))


def test_a_folder_that_another_process_makes_meanwhile_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, is_dir = tmp_path / "shared", Path.is_dir

    def made_after_the_first_look(path: Path) -> bool:
        was_there = is_dir(path)
        if not was_there:
            path.mkdir()
        return was_there

    monkeypatch.setattr(Path, "is_dir", made_after_the_first_look)
    assert open_store(str(folder)).url == str(folder)
