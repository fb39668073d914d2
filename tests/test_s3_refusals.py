"""A permission that is missing at S3 is named as IAM calls it, with the object or prefix, wherever objects are asked for.

IAM's part is done by moto, which evaluates a policy for every request; the words are AWS's own where it says more than
moto does (`refusing_server.py`).
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.aws_support import BUCKET, deployment
from tests.batch_support import parts, rows
from tests.iam_support import ALL, Guarded, guarded_bucket
from tests.refusing_server import error, running_refusing_server

from binsight.cli import cli
from binsight.counting import Bundle, default_bundle
from binsight.counting.registry import Registry
from binsight.dataset.pull import pull_dataset
from binsight.dataset.push import push_dataset
from binsight.engines.sagemaker.aws import Aws
from binsight.engines.sagemaker.calls import Call
from binsight.engines.sagemaker.parents import run_finder
from binsight.errors import AccessRefused, StorageFailure
from binsight.imaging.drawn import drawn_photo
from binsight.storage.captures.place import Place
from binsight.storage.objects import Objects, open_store

PHOTOS = f"s3://{BUCKET}/photos"
LARGE = 12_000_000
"""Bytes that go up in parts."""


@pytest.fixture(scope="module")
def running() -> Iterator[Guarded]:
    with pytest.MonkeyPatch.context() as patch, guarded_bucket(patch) as guarded:
        guarded.put({"photos/there": b"x", "photos/also": b"x"})
        yield guarded


@pytest.fixture
def guarded(running: Guarded) -> Guarded:
    running.give()
    return running


ASKED: dict[str, tuple[str, Callable[[Objects], object], str]] = {
    "read": ("s3:GetObject", lambda store: store.read("there"), "/there"),
    "read_async": ("s3:GetObject", lambda store: asyncio.run(store.read_async("there")), "/there"),
    "write": ("s3:PutObject", lambda store: store.write("new", b"x"), "/new"),
    "write in parts": ("s3:PutObject", lambda store: store.write("large", bytes(LARGE)), "/large"),
    "add": ("s3:PutObject", lambda store: store.add("new", b"x"), "/new"),
    "list": ("s3:ListBucket", lambda store: list(store.list("shelf")), "/shelf"),
    "remove": ("s3:DeleteObject", lambda store: store.remove(["gone", "gone too"]), "/gone"),
}


@pytest.mark.parametrize("asked", ASKED)
def test_each_permission_that_is_missing_is_named_with_what_it_is_missing_for(guarded: Guarded, asked: str) -> None:
    permission, ask, name = ASKED[asked]
    store = open_store(PHOTOS)
    guarded.give_all_but(permission)
    with pytest.raises(AccessRefused) as refused:
        ask(store)
    said = str(refused.value)
    assert said.startswith(f"access to {PHOTOS}{name} was refused (AccessDenied): the permission {permission}")
    assert refused.value.mend == "have it given to whom the credentials belong to, then try again"
    guarded.give(*ALL)
    ask(store)


def test_a_listing_that_is_refused_names_the_bucket_and_a_read_says_what_else_it_may_be(guarded: Guarded) -> None:
    with pytest.raises(AccessRefused, match=r"the permission s3:ListBucket on the bucket is missing;"):
        list(open_store(PHOTOS).list())
    with pytest.raises(AccessRefused, match="s3:GetObject, or, if there is no such object, s3:ListBucket on the b"):
        open_store(PHOTOS).read("nowhere")


WHO = "User: arn:aws:iam::123456789012:user/ann is not authorized to perform: "
KEY = "arn:aws:kms:eu-central-1:123456789012:key/0a1b"


@pytest.mark.parametrize(
    ("ask", "code", "message", "sentence"),
    [
        (
            "read",
            "AccessDenied",
            f'{WHO}s3:GetObject on resource: "arn:aws:s3:::b/k" because no identity-based policy allows the action',
            "/there was refused (AccessDenied): the permission s3:GetObject is missing; have it given",
        ),
        (
            "read",
            "AccessDenied",
            f'{WHO}s3:ListBucket on resource: "arn:aws:s3:::b" because no identity-based policy allows the action',
            "/there was refused (AccessDenied): the permission s3:ListBucket on the bucket, without which S3 does not say "
            "that there is no such object, is missing; have it given",
        ),
        (
            "read",
            "AccessDenied",
            f'{WHO}s3:GetObject on resource: "arn:aws:s3:::b/k" with an explicit deny in a resource-based policy',
            "the permission s3:GetObject is taken away with an explicit deny in a resource-based policy; have that policy "
            "changed",
        ),
        (
            "read",
            "AccessDenied",
            f'{WHO}kms:Decrypt on resource: "{KEY}" because no identity-based policy allows the action',
            f"the permission kms:Decrypt on {KEY} is missing; have it given",
        ),
        (
            "read",
            "AccessDenied",
            "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are "
            "not allowed to access.",
            "the permission kms:Decrypt on the key that it is encrypted with is missing; have it given",
        ),
        (
            "write",
            "AccessDenied",
            f"{WHO}kms:GenerateDataKey on this resource because the resource does not exist in this Region",
            "/new was refused (AccessDenied): the permission kms:GenerateDataKey on the key of the bucket is missing;",
        ),
        (
            "write in parts",
            "AccessDenied",
            f'{WHO}s3:AbortMultipartUpload on resource: "arn:aws:s3:::b/k" because no identity-based policy allows it',
            "the permission s3:AbortMultipartUpload is missing; have it given",
        ),
        (
            "read",
            "InvalidObjectState",
            "The operation is not valid for the object's storage class",
            "/there is archived and cannot be read (InvalidObjectState); restore it first",
        ),
        (
            "list",
            "AllAccessDisabled",
            "All access to this object has been disabled",
            "was refused (AllAccessDisabled: All access to this object has been disabled); check that it exists",
        ),
    ],
)
def test_what_amazon_says_of_it_is_told(guarded: Guarded, ask: str, code: str, message: str, sentence: str) -> None:
    with running_refusing_server(error(code, message)) as url, pytest.raises(AccessRefused) as refused:
        ASKED[ask][1](open_store(PHOTOS, endpoint_url=url))
    assert sentence in str(refused.value)


@pytest.mark.parametrize("ask", ASKED)
def test_a_bare_403_names_the_permission_too(guarded: Guarded, ask: str) -> None:
    with (
        running_refusing_server("") as url,
        pytest.raises(AccessRefused, match=rf"was refused \(403\): .*{ASKED[ask][0]}"),
    ):
        ASKED[ask][1](open_store(PHOTOS, endpoint_url=url))


def test_unsigned_requests_are_told_to_be_signed(guarded: Guarded) -> None:
    with pytest.raises(AccessRefused, match=r"unsigned requests lack the permission s3:PutObject; use credentials"):
        open_store(PHOTOS, anonymous=True).write("new", b"x")


def test_one_object_of_many_that_could_not_be_deleted_now_is_no_refusal(guarded: Guarded) -> None:
    fault = "<Error><Key>photos/gone</Key><Code>OperationAborted</Code><Message>again</Message></Error>"
    body = f"<DeleteResult>{fault}</DeleteResult>"
    with (
        running_refusing_server(body, status=200) as url,
        pytest.raises(StorageFailure, match=f"^{PHOTOS}/gone: http.* answered OperationAborted") as failure,
    ):
        open_store(PHOTOS, endpoint_url=url).remove(["gone", "gone too"])
    assert not isinstance(failure.value, AccessRefused)


def test_a_bare_403_to_boto3s_look_at_an_object_says_both(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HEAD has no body that would say more."""
    call = Call(service="s3", operation="HeadObject", arguments={"Bucket": BUCKET, "Key": "photos/there"})
    with running_refusing_server("") as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        with pytest.raises(
            AccessRefused, match="lack the permission s3:GetObject, or, if there is no such object, s3:L"
        ):
            Aws("eu-central-1").ask(call)


def test_a_dataset_that_may_not_be_pushed_or_pulled_says_why_and_then_goes(
    guarded: Guarded, tmp_path: Path
) -> None:
    dataset = tmp_path / "dataset"
    for name in ("dataset.json", "train/1.jpg"):
        (dataset / name).parent.mkdir(parents=True, exist_ok=True)
        (dataset / name).write_text('{"sha256": "0"}')
    place = f"s3://{BUCKET}/datasets/first"
    guarded.give_all_but("s3:PutObject")
    with pytest.raises(AccessRefused, match=f"{place}/train/1.jpg was .*the permission s3:PutObject is missing"):
        push_dataset(dataset, place)
    guarded.give(*ALL)
    assert push_dataset(dataset, place) == 2
    guarded.give_all_but("s3:GetObject")
    with pytest.raises(AccessRefused, match=f"access to {place}/.*the permission s3:GetObject"):
        pull_dataset(place, tmp_path / "pulled", sha256="0")


def test_bundles_and_captures_in_a_bucket_say_so_too(
    guarded: Guarded, tmp_path: Path, places: dict[str, str]
) -> None:
    url = f"s3://{BUCKET}/bundles"
    registry = Registry.open(bundles_url=url)
    guarded.give_all_but("s3:PutObject")
    with pytest.raises(AccessRefused, match=f"{url}/.*the permission s3:PutObject is missing"):
        registry.register(default_bundle(), by="ann")
    guarded.give(*ALL)
    version = registry.register(default_bundle(), by="ann").version
    guarded.give_all_but("s3:DeleteObject")
    with pytest.raises(AccessRefused, match=f"{url}/{version}/.*the permission s3:DeleteObject is missing"):
        registry.remove_files(version)
    registry.close()
    captures = Place.of(f"s3://{BUCKET}/captures")
    guarded.give("s3:ListBucket")
    with pytest.raises(AccessRefused, match=f"{captures.url}/2026/11/26/10/a was .*s3:PutObject is missing"):
        captures.put({"2026/11/26/10/a": b"x"})
    guarded.give(*ALL)
    captures.put({"2026/11/26/10/a": b"x"})
    guarded.give_all_but("s3:DeleteObject")
    with pytest.raises(AccessRefused, match=f"{captures.url}/2026/11/26/10/a was .*s3:DeleteObject is missing"):
        captures.remove_before(datetime(2026, 11, 27, tzinfo=UTC))


def test_what_a_job_left_is_not_called_damaged_where_it_may_not_be_read(guarded: Guarded, tmp_path: Path) -> None:
    d = deployment()
    job = d.s3("runs", "one", "output", "model.tar.gz")
    find = run_finder(d, [job], tmp_path)
    with pytest.raises(AccessRefused, match=r"output\.tar\.gz was refused .*the permission s3:GetObject"):
        find(Bundle.open(default_bundle()).folder, [])


NUM_PHOTOS = 5


@pytest.fixture(scope="module")
def shelf(running: Guarded) -> str:
    """Photos in the bucket."""
    photo = drawn_photo(3, seed=3)
    running.put({f"shelf/{number}.jpg": photo for number in range(NUM_PHOTOS)})
    return f"s3://{BUCKET}/shelf"


def count(place: str, out: str) -> Result:
    return CliRunner().invoke(cli, ["count", place, "--out", out, "--shard-photos", "2"])


def test_photos_that_may_not_be_read_end_the_count_and_are_counted_once_they_may(
    guarded: Guarded, shelf: str, tmp_path: Path
) -> None:
    """Rows that say so would stay, as their shards would be done."""
    guarded.give_all_but("s3:GetObject")
    refused = count(shelf, str(tmp_path / "out"))
    assert isinstance(refused.exception, AccessRefused)
    assert re.search(rf"{shelf}/\d.jpg was refused .*the permission s3:GetObject", str(refused.exception))
    assert not parts(tmp_path / "out")
    guarded.give(*ALL)
    assert count(shelf, str(tmp_path / "out")).exit_code == 0
    assert [row["error"] for row in rows(tmp_path / "out")] == [None] * NUM_PHOTOS


def test_single_photos_that_may_not_be_read_are_rows_that_say_so(
    guarded: Guarded, shelf: str, tmp_path: Path
) -> None:
    """Also where a shard has no other: the last one here."""
    guarded.give(*ALL, but_on=f"shelf/{NUM_PHOTOS - 1}.jpg")
    assert count(shelf, str(tmp_path / "out")).exit_code == 1
    *others, last = [row["error"] for row in rows(tmp_path / "out")]
    assert others == [None] * (NUM_PHOTOS - 1)
    assert f"{shelf}/{NUM_PHOTOS - 1}.jpg was refused (AccessDenied): the permission s3:GetObject" in last


def test_an_output_that_may_not_be_written_to_ends_it(guarded: Guarded, shelf: str) -> None:
    guarded.give_all_but("s3:PutObject")
    refused = count(shelf, f"s3://{BUCKET}/elsewhere")
    assert isinstance(refused.exception, AccessRefused)
    assert "/elsewhere/_job/" in str(refused.exception) and "s3:PutObject is missing" in str(refused.exception)
    assert not [name for name in guarded.names() if name.startswith("elsewhere/")]
