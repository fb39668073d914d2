"""Photos by link: from the allowed places of a real bucket, and from nowhere else."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tests.s3_server import CREDENTIALS, PUBLIC_BUCKET, running_s3_server
from tests.service_support import client_of, some_settings

from binsight.counting import Counter, default_bundle
from binsight.errors import AccessRefused, BadInput, NotAllowed, StorageFailure, UnreadLink
from binsight.imaging.drawn import drawn_photo
from binsight.service.answers import error_for
from binsight.service.app import make_app
from binsight.service.links import Links
from binsight.settings import settings

PHOTO = drawn_photo(3, seed=3)
JSON = {"content-type": "application/json"}


def as_json(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


TRICKS = [
    "http://169.254.169.254/latest/meta-data/",
    "https://example.com/photo.jpg",
    "file:///etc/passwd",
    "S3://allowed/open/1.jpg",
    "s3://allowed/open/../closed/1.jpg",
    "s3://allowed/open//../../closed/1.jpg",
    "s3://allowed\\@closed/open/1.jpg",
    "s3://allowed@closed/open/1.jpg",
    "s3://allowed/open/%2e%2e/closed/1.jpg",
    "s3://allowed/open/1.jpg?versionId=x",
    "s3://allowed/open/1.jpg#x",
    "s3://allowed/open/",
    "s3://allowed",
    "s3:///open/1.jpg",
    "s3://allowed/öpen/1.jpg",
    "s3://allowed/open/1.jpg\nHost: closed",
    "//allowed/open/1.jpg",
    "",
]


@pytest.mark.parametrize(
    "link", [*TRICKS, "s3://closed/1.jpg", "s3://allowed/opening/1.jpg", "s3://allowed-too/open/1.jpg"]
)
def test_no_link_leads_elsewhere(link: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(url: str, **_: object) -> None:
        raise AssertionError(f"{url} was opened")

    monkeypatch.setattr("binsight.storage.objects.open_store", opened)
    links = Links(("s3://allowed/open/",), max_bytes=1000)
    with pytest.raises((BadInput, NotAllowed)) as refusal:
        asyncio.run(links.read(link))
    assert str(refusal.value).isascii()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("prefix", ["s3://bucket", "s3://bucket/prefix", "https://bucket/", "bucket/"])
def test_a_prefix_that_would_allow_more_than_it_seems_to_is_refused(prefix: str) -> None:
    with pytest.raises(BadInput):
        Links((prefix,), max_bytes=1000)


class Failing:
    """A store that fails at every object in one way."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def read_async(self, _name: str, *, max_bytes: int) -> bytes:
        raise self.error


@pytest.mark.parametrize(("error", "raised"), [(StorageFailure, UnreadLink), (AccessRefused, AccessRefused)])
def test_a_store_that_fails_is_no_failure_of_the_services(
    error: type[StorageFailure], raised: type[StorageFailure], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("binsight.storage.objects.open_store", lambda *_, **__: Failing(error("it is away; wait")))
    with pytest.raises(StorageFailure) as refusal:
        asyncio.run(Links(("s3://bucket/",), max_bytes=1000).read("s3://bucket/1.jpg"))
    assert type(refusal.value) is raised
    assert error_for(refusal.value, "id")[0] == {UnreadLink: 424, AccessRefused: 403}[raised]


def test_an_allowed_link_is_read_from_a_real_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_s3_server(tmp_path / "s3") as server:
        server.put(PUBLIC_BUCKET, {"open/1.jpg": PHOTO, "open/large.jpg": bytes(200_000), "closed/1.jpg": PHOTO})
        for name, value in {"ENDPOINT_URL": server.endpoint_url, "MAX_PHOTO_BYTES": "100000"}.items():
            monkeypatch.setenv(f"BINSIGHT_{name}", value)
        for name, value in CREDENTIALS.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        place = f"s3://{PUBLIC_BUCKET}"
        chosen = some_settings(allowed_links=(f"{place}/open/",))
        with client_of(make_app(chosen=chosen)) as client:

            def ask(link: str) -> httpx.Response:
                return client.post("/invocations", content=link, headers={"content-type": "string/url"})

            found = ask(f"{place}/open/1.jpg\n").json()
            (expected,) = Counter.load(default_bundle()).probs([PHOTO])
            np.testing.assert_allclose(found["probs"], expected, atol=1e-5)
            results = client.post(
                "/v1/count",
                content=as_json(photos=[{"uri": f"{place}/open/{n}.jpg"} for n in (1, 2)]),
                headers=JSON,
            ).json()["results"]
            assert results[0]["probs"] == found["probs"]
            assert results[1]["error"]["code"] == "not_found"
            assert ask(f"{place}/open/large.jpg").status_code == 413
            assert ask(f"{place}/closed/1.jpg").status_code == 403
    settings.cache_clear()
