"""Unmodified boto3 against the real service: every kind of body, its errors, and what is carried through."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.exceptions import ClientError
from tests.sagemaker_runtime import BUCKET, ENDPOINT, Runtime

from binsight.counting import Counter, default_bundle


@pytest.fixture(scope="module")
def photos(abid: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((abid / "bin-images").glob("*.jpg"))[:3]]


@pytest.fixture(scope="module")
def expected(photos: list[bytes]) -> Any:
    return Counter.load(default_bundle()).probs(photos)


@pytest.fixture(scope="module")
def runtime(sagemaker: Runtime, photos: list[bytes]) -> Iterator[Any]:
    sagemaker.s3.put(BUCKET, {f"{place}.jpg": photo for place, photo in enumerate(photos)})
    with pytest.MonkeyPatch.context() as patch:
        for name, value in sagemaker.environment.items():
            patch.setenv(name, value)
        yield boto3.client("sagemaker-runtime")


def test_a_photo_or_its_link_gets_the_counters_answer(runtime: Any, photos: list[bytes], expected: Any) -> None:
    link = f"s3://{BUCKET}/1.jpg".encode()
    for kind, body in (
        ("image/jpeg", photos[1]),
        ("application/x-image", photos[1]),
        ("string/url", link),
        ("application/x-s3-uri", link),
        ("application/json", json.dumps({"photo": base64.b64encode(photos[1]).decode()}).encode()),
        ("application/json", json.dumps({"url": link.decode()}).encode()),
    ):
        answer = runtime.invoke_endpoint(EndpointName=ENDPOINT, ContentType=kind, Body=body)
        assert answer["ContentType"] == "application/json"
        np.testing.assert_allclose(json.loads(answer["Body"].read())["probs"], expected[1], atol=1e-5)


def test_many_photos_get_as_many_answers_in_json_and_in_lines(
    runtime: Any, photos: list[bytes], expected: Any
) -> None:
    asked = [{"photo": base64.b64encode(photo).decode()} for photo in photos]
    asked[1] = {"uri": f"s3://{BUCKET}/1.jpg"}
    body = json.dumps({"photos": asked}).encode()
    answer = runtime.invoke_endpoint(EndpointName=ENDPOINT, ContentType="application/json", Body=body)
    results = json.loads(answer["Body"].read())["results"]
    np.testing.assert_allclose([result["probs"] for result in results], expected, atol=1e-5)

    lines = "\n".join(map(json.dumps, [*asked, {"photo": "?"}])).encode()
    answer = runtime.invoke_endpoint(
        EndpointName=ENDPOINT, ContentType="application/jsonlines", Accept="application/jsonlines", Body=lines
    )
    assert answer["ContentType"] == "application/jsonlines"
    values = [json.loads(line) for line in answer["Body"].read().splitlines()]
    np.testing.assert_allclose([value["probs"] for value in values[:3]], expected, atol=1e-5)
    assert values[3]["error"]["code"] == "bad_input"


def test_inference_id_and_custom_attributes_are_carried_through(runtime: Any, photos: list[bytes]) -> None:
    answer = runtime.invoke_endpoint(
        EndpointName=ENDPOINT,
        ContentType="image/jpeg",
        Body=photos[0],
        InferenceId="bin-17.photo-2",
        CustomAttributes="trace=1;site=north",
    )
    assert json.loads(answer["Body"].read())["request_id"] == "bin-17.photo-2"
    assert answer["CustomAttributes"] == "trace=1;site=north"
    assert answer["InvokedProductionVariant"] == "all"


@pytest.mark.parametrize(
    ("kind", "body", "status", "code"),
    [
        ("image/jpeg", b"no photo", 415, "bad_photo_format"),
        ("text/plain", b"photo", 415, "unknown_type"),
        ("application/json", b"{", 400, "bad_input"),
        ("string/url", b"s3://elsewhere/1.jpg", 403, "not_allowed"),
        ("string/url", f"s3://{BUCKET}/not-there.jpg".encode(), 404, "not_found"),
        ("string/url", b"http://169.254.169.254/latest/meta-data/", 400, "bad_input"),
    ],
)
def test_an_error_keeps_its_status_and_its_shape(
    runtime: Any, kind: str, body: bytes, status: int, code: str
) -> None:
    with pytest.raises(ClientError) as failed:
        runtime.invoke_endpoint(EndpointName=ENDPOINT, ContentType=kind, Body=body, InferenceId="bad-1")
    response = failed.value.response
    assert (response["Error"]["Code"], response["OriginalStatusCode"]) == ("ModelError", status)
    detail = json.loads(response["OriginalMessage"])["error"]
    assert (detail["code"], detail["request_id"]) == (code, "bad-1")
