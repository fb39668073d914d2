"""The Lambda function with the events of its callers, in front of a real service, by SageMaker and by URL."""

import base64
import io
import json
import math
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.sagemaker_runtime import BUCKET, ENDPOINT, Runtime

from binsight.counting import Counter, default_bundle
from binsight.imaging.drawn import drawn_photo
from binsight.lambda_front import handler
from binsight.lambda_front.backends import _sagemaker
from binsight.lambda_front.events import MAX_BYTES
from binsight.lambda_front.pack import packed

PHOTO = drawn_photo(3, seed=3)
LINK = f"s3://{BUCKET}/drawn.jpg"
CONTEXT = SimpleNamespace(aws_request_id="8a1c-lambda")


@pytest.fixture(scope="module")
def runtime(sagemaker: Runtime) -> Runtime:
    sagemaker.s3.put(BUCKET, {"drawn.jpg": PHOTO})
    return sagemaker


@pytest.fixture(params=["sagemaker", "url"])
def configured(request: pytest.FixtureRequest, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """The function's environment; each test runs with either backend."""
    for name, value in runtime.environment.items():
        monkeypatch.setenv(name, value)
    if request.param == "sagemaker":
        monkeypatch.setenv("BINSIGHT_ENDPOINT", ENDPOINT)
    else:
        monkeypatch.setenv("BINSIGHT_URL", runtime.served.url)
    _sagemaker.cache_clear()


@pytest.fixture(scope="module")
def expected() -> list[float]:
    probs: list[float] = Counter.load(default_bundle()).probs([PHOTO])[0].tolist()
    return probs


def v2(body: bytes | str, kind: str, **query: str) -> dict[str, Any]:
    """As a function URL or an HTTP API sends it."""
    binary = isinstance(body, bytes)
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/",
        "rawQueryString": "&".join(f"{name}={value}" for name, value in query.items()),
        "headers": {"content-type": kind, "host": "abc.lambda-url.us-east-1.on.aws", "accept": "*/*"},
        **({"queryStringParameters": query} if query else {}),
        "requestContext": {"http": {"method": "POST", "path": "/"}, "requestId": "Jr-v2=", "stage": "$default"},
        "body": base64.b64encode(body).decode() if isinstance(body, bytes) else body,
        "isBase64Encoded": binary,
    }


def v1(body: bytes | str, kind: str, **query: str) -> dict[str, Any]:
    """As a REST API sends it."""
    event = v2(body, kind)
    return {
        "resource": "/count",
        "path": "/count",
        "httpMethod": "POST",
        "headers": {"Content-Type": kind, "Accept": "*/*", "X-Request-Id": "rest-1"},
        "multiValueHeaders": {"Content-Type": [kind]},
        "queryStringParameters": query or None,
        "requestContext": {"requestId": "c6af9ac6-7b61", "stage": "prod", "httpMethod": "POST"},
        "body": event["body"],
        "isBase64Encoded": event["isBase64Encoded"],
    }


@pytest.mark.usefixtures("configured")
def test_the_originals_event_is_answered_in_our_shape_by_default(expected: list[float]) -> None:
    answer = handler({"url": LINK}, CONTEXT)
    assert answer["statusCode"] == 200
    np.testing.assert_allclose(answer["body"]["probs"], expected, atol=1e-5)
    assert answer["body"]["request_id"] == "8a1c-lambda"
    judged = handler({"url": LINK, "expected": 9}, CONTEXT)["body"]
    assert judged["verdict"]["verdict"] == "suspect"


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize("asked_by", ["event", "environment", "query"])
def test_the_originals_shape_has_log_probabilities_of_one_to_five(
    asked_by: str, expected: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    if asked_by == "query":
        answer = handler(v2(PHOTO, "image/jpeg", shape="original"))
        rows = json.loads(answer["body"])
    else:
        if asked_by == "environment":
            monkeypatch.setenv("BINSIGHT_SHAPE", "original")
        answer = handler({"url": LINK} | ({"shape": "original"} if asked_by == "event" else {}), CONTEXT)
        assert list(answer) == ["statusCode", "body"]
        rows = answer["body"]
    assert answer["statusCode"] == 200
    (row,) = rows
    np.testing.assert_allclose(np.exp(row), np.maximum(expected[1:6], 5e-7), atol=1e-5)
    assert all(math.isfinite(value) for value in row)


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize("event", [v2, v1], ids=["v2", "v1"])
def test_http_events_carry_photos_links_and_json(event: Any, expected: list[float]) -> None:
    as_json = json.dumps({"photo": base64.b64encode(PHOTO).decode()})
    for body, kind in ((PHOTO, "image/jpeg"), (LINK, "application/x-s3-uri"), (as_json, "application/json")):
        answer = handler(event(body, kind), CONTEXT)
        assert (answer["statusCode"], answer["isBase64Encoded"]) == (200, False)
        assert answer["headers"]["Content-Type"] == "application/json"
        fields = json.loads(answer["body"])
        np.testing.assert_allclose(fields["probs"], expected, atol=1e-5)
        assert (
            fields["request_id"]
            == answer["headers"]["X-Request-Id"]
            == ("rest-1" if event is v1 else "8a1c-lambda")
        )
    lines = handler(event(f"{as_json}\n{as_json}\n", "application/jsonlines"))
    assert lines["headers"]["Content-Type"] == "application/jsonlines"
    assert [json.loads(line)["count"] for line in lines["body"].splitlines()] == [int(np.argmax(expected))] * 2


@pytest.mark.usefixtures("configured")
def test_what_the_query_says_reaches_the_service_though_sagemaker_has_none() -> None:
    for body, kind in ((PHOTO, "image/jpeg"), (LINK, "string/url")):
        answer = json.loads(handler(v2(body, kind, expected="9", read_labels="1"))["body"])
        assert answer["verdict"]["expected"] == 9
    for query in ({"expected": "many"}, {"expected": "-1"}):
        assert handler(v2(PHOTO, "image/jpeg", **query))["statusCode"] == 400
    refused = json.loads(handler(v2("{}", "application/json", expected="3"))["body"])["error"]
    assert refused["mend"] == "put it into the JSON"


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize(
    ("event", "status", "code"),
    [
        (v2(b"no photo", "image/jpeg"), 415, "bad_photo_format"),
        (v1(b"", "image/jpeg"), 400, "bad_photo_empty"),
        (v2("x", "text/plain"), 415, "unknown_type"),
        ({"url": f"s3://{BUCKET}/not-there.jpg"}, 404, "not_found"),
        ({"url": "http://169.254.169.254/"}, 400, "bad_input"),
        ({"url": LINK, "shape": "round"}, 400, "bad_input"),
        ({"name": "x"}, 400, "bad_input"),
        (v2(bytes(MAX_BYTES + 1), "image/jpeg"), 413, "too_large"),
        (v2(bytes(5_000_000), "image/jpeg", expected="3"), 413, "too_large"),
        (v2("s", "image/jpeg") | {"isBase64Encoded": True}, 400, "bad_input"),
        (v1(PHOTO, "image/jpeg") | {"httpMethod": "GET"}, 405, "bad_request"),
    ],
)
def test_every_error_is_an_answer_in_the_one_shape(event: dict[str, Any], status: int, code: str) -> None:
    answer = handler(event, CONTEXT)
    body = answer["body"]
    detail = (json.loads(body) if isinstance(body, str) else body)["error"]
    assert (answer["statusCode"], detail["code"]) == (status, code)
    assert detail["message"] and detail["request_id"]
    if status == 413:
        assert "presigned PUT" in detail["mend"] and "s3:// link" in detail["mend"]


def test_which_service_stands_in_the_environment_alone(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    def failed(**environment: str) -> tuple[int, str]:
        for name in ("BINSIGHT_ENDPOINT", "BINSIGHT_URL"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        _sagemaker.cache_clear()
        answer = handler({"url": LINK})
        return answer["statusCode"], str(answer["body"]["error"])

    assert "either BINSIGHT_ENDPOINT or BINSIGHT_URL" in failed()[1]
    assert failed(BINSIGHT_ENDPOINT="a", BINSIGHT_URL="http://b")[0] == 400
    status, said = failed(BINSIGHT_URL="http://127.0.0.1:9")
    assert status == 503 and "does not answer" in said
    status, said = failed(BINSIGHT_URL=f"{runtime.served.url}/elsewhere")
    assert status == 404, "the service itself says so"
    for name, value in runtime.environment.items():
        monkeypatch.setenv(name, value)
    status, said = failed(BINSIGHT_ENDPOINT="another")
    assert status == 502 and "Endpoint another" in said and "check BINSIGHT_ENDPOINT" in said


def test_the_archive_is_all_that_lambda_needs(runtime: Runtime, tmp_path: Path) -> None:
    """Its files alone, beside boto3, answer an event; nothing that counts is in it or loaded."""
    data = packed()
    assert data == packed() and len(data) < 50_000
    archive = tmp_path / "function.zip"
    archive.write_bytes(data)
    with zipfile.ZipFile(io.BytesIO(data)) as files:
        assert {"binsight/errors.py", "binsight/lambda_front/front.py"} <= set(files.namelist())
    program = (
        "import sys, json, binsight; from binsight.lambda_front import handler\n"
        f"answer = handler({{'url': '{LINK}'}})\n"
        "loaded = {'numpy', 'pydantic', 'onnxruntime', 'httpx', 'PIL'} & set(sys.modules)\n"
        "print(json.dumps([answer['statusCode'], binsight.__file__, sorted(loaded)]))"
    )
    environment = {"PYTHONPATH": str(archive), "BINSIGHT_ENDPOINT": ENDPOINT, **runtime.environment}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    status, file, loaded = json.loads(done.stdout)
    assert (status, loaded) == (200, []) and file.startswith(str(archive))
