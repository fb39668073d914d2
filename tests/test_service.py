"""The service over HTTP, in this process: what it takes, what it answers, what it refuses."""

import base64
import io
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from tests.service_support import client_of, gated, some_settings, until

from binsight.counting import Counter, default_bundle
from binsight.counting.cores import available_cores
from binsight.errors import BadInput
from binsight.imaging.drawn import drawn_photo
from binsight.service.app import make_app
from binsight.service.lanes import Lanes

PHOTO = drawn_photo(3, seed=3)
BASE64 = base64.b64encode(PHOTO).decode()
JPEG, JSON, LINES = ({"content-type": kind} for kind in ("image/jpeg", "application/json", "application/jsonlines"))


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return make_app(chosen=some_settings(max_request_bytes=400_000, max_request_photos=8))


@pytest.fixture(scope="module")
def client(app: FastAPI) -> Iterator[TestClient]:
    with client_of(app) as client:
        yield client


@pytest.fixture(scope="module")
def expected() -> list[float]:
    probs: list[float] = Counter.load(default_bundle()).probs([PHOTO])[0].tolist()
    return probs


def as_json(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def test_a_phone_s_photo_with_a_second_picture_behind_it_counts_as_a_jpeg(client: TestClient) -> None:
    file = io.BytesIO()
    photo = Image.open(io.BytesIO(PHOTO))
    photo.save(file, "MPO", save_all=True, append_images=[photo])
    response = client.post("/invocations", content=file.getvalue(), headers=JPEG)
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("endpoint", ["/invocations", "/v1/count"])
@pytest.mark.parametrize(
    "sent",
    [
        {"content": PHOTO, "headers": JPEG},
        {"content": PHOTO, "headers": {"content-type": "application/octet-stream"}},
        {"content": as_json(photo=BASE64), "headers": {"content-type": "application/json; charset=utf-8"}},
        {"files": {"photo": ("bin.jpg", PHOTO, "image/jpeg")}},
    ],
    ids=["jpeg", "bytes", "json", "form"],
)
def test_one_photo_gets_one_answer_however_it_is_sent(
    client: TestClient, endpoint: str, sent: dict[str, Any], expected: list[float]
) -> None:
    response = client.post(endpoint, **sent)
    answer = response.json()
    assert response.status_code == 200, answer
    np.testing.assert_allclose(answer["probs"], expected, atol=1e-5)
    assert answer["count"] == int(np.argmax(expected))
    assert list(answer)[:5] == ["count", "probs", "interval", "bin_label", "flags"], "as binsight count prints it"
    assert answer["model"].startswith("default:")
    assert answer["request_id"] == response.headers["x-request-id"]
    assert answer["timing"]["inference"] > 0
    assert answer["verdict"] is None


def test_several_photos_get_answers_in_order_with_errors_in_their_places(client: TestClient) -> None:
    photos = [
        {"photo": BASE64},
        {"photo": base64.b64encode(b"no photo").decode()},
        {"photo": BASE64, "expected": 9},
    ]
    results = client.post("/v1/count", content=as_json(photos=photos), headers=JSON).json()["results"]
    assert [sorted(result)[0] for result in results] == ["bin_label", "error", "bin_label"]
    assert results[1]["error"]["code"] == "bad_photo_format"
    assert results[2]["verdict"]["verdict"] == "suspect"


def test_json_lines_get_json_lines_even_where_one_is_broken(client: TestClient) -> None:
    body = b"\n".join([as_json(photo=BASE64), b"{broken", b"", as_json(photo="?"), as_json(photo=BASE64)])
    response = client.post("/invocations", content=body, headers=LINES)
    values = [json.loads(line) for line in response.text.splitlines()]
    assert response.headers["content-type"] == "application/jsonlines"
    assert ["count" in value for value in values] == [True, False, False, True]
    assert values[1]["error"]["message"].startswith("line 2: invalid JSON")
    assert values[2]["error"]["message"] == "line 4 is not base64"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json", "application/json"),
        ("application/jsonlines", "application/jsonlines"),
        ("text/html, application/*;q=0.8", "application/json"),
        ("image/png", None),
    ],
)
def test_the_accept_header_decides_the_answers_form(client: TestClient, accept: str, kind: str | None) -> None:
    response = client.post("/invocations", content=PHOTO, headers=JPEG | {"accept": accept})
    if kind is None:
        assert (response.status_code, response.json()["error"]["code"]) == (406, "not_offered")
    else:
        assert (response.status_code, response.headers["content-type"]) == (200, kind)


@pytest.mark.parametrize("endpoint", ["/v1/count", "/v2/models/default/infer"])
def test_more_photos_than_may_ever_wait_are_told_so_and_not_to_come_again(endpoint: str) -> None:
    photos = {"photos": [{"photo": BASE64}] * 3}
    inputs = {"inputs": [{"name": "photo", "shape": [3], "datatype": "BYTES", "data": [BASE64] * 3}]}
    with client_of(make_app(chosen=some_settings(queue_photos=2))) as client:
        refused = client.post(endpoint, json=photos if endpoint.startswith("/v1") else inputs)
    assert refused.status_code == 400 and "retry-after" not in refused.headers
    assert "2 photos" in refused.text or "at most 2" in refused.text


BAD_REQUESTS = [
    (b"", JPEG, 400, "bad_photo_empty", "is empty"),
    (b"GIF89a" + bytes(100), JPEG, 415, "bad_photo_format", "JPEG, PNG or WebP"),
    (PHOTO[: len(PHOTO) // 2], JPEG, 400, "bad_photo_truncated", ""),
    (b"{", JSON, 400, "bad_input", "the body: invalid JSON"),
    (b"{}", JSON, 400, "bad_input", "exactly one of photo, uri and url"),
    (as_json(photo=BASE64, url="s3://a/b"), JSON, 400, "bad_input", "exactly one of"),
    (as_json(photo=BASE64, photos=[{"photo": BASE64}]), JSON, 400, "bad_input", "not both"),
    (as_json(photo=BASE64, expected=-1), JSON, 400, "bad_input", "expected: input should be greater"),
    (as_json(photo=BASE64, expected=10**20), JSON, 400, "bad_input", "less than or equal to 999999999"),
    (as_json(photo=BASE64, extra=1), JSON, 400, "bad_input", "extra: extra inputs are not permitted"),
    (as_json(photos=[{"photo": "aaaa"}] * 9), JSON, 400, "bad_input", "1 to 8 photos, but holds 9"),
    (b"", LINES, 400, "bad_input", "holds 0"),
    (b"photo", {"content-type": "text/plain"}, 415, "unknown_type", "text/plain is not known"),
    (b"photo", {"content-type": ""}, 415, "unknown_type", "(none) is not known"),
    (PHOTO, {"content-type": "multipart/form-data"}, 400, "bad_request", "boundary"),
    (b"s3://bucket/photo.jpg", {"content-type": "string/url"}, 403, "not_allowed", "may read"),
]


@pytest.mark.parametrize(("body", "headers", "status", "code", "says"), BAD_REQUESTS)
def test_a_bad_request_is_explained_in_the_one_shape(
    client: TestClient, body: bytes, headers: dict[str, str], status: int, code: str, says: str
) -> None:
    response = client.post("/invocations", content=body, headers=headers)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code), error
    assert says in error["message"]
    assert error["mend"]
    assert error["request_id"] == response.headers["x-request-id"]


def test_a_body_beyond_the_limit_is_not_read(client: TestClient) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield bytes(50_000)

    for endpoint in ("/invocations", "/v2/models/default/infer"):
        response = client.post(endpoint, content=endless(), headers=JPEG)
        assert response.status_code == 413, response.text
        assert "must be at most 400,000 bytes" in response.text


def test_what_sagemaker_sends_along_comes_back(client: TestClient) -> None:
    headers = {"X-Amzn-SageMaker-Inference-Id": "bin-7", "X-Amzn-SageMaker-Custom-Attributes": "trace=1"}
    response = client.post("/invocations", content=PHOTO, headers=JPEG | headers)
    assert {name: response.headers[name] for name in headers} == headers
    assert response.json()["request_id"] == "bin-7"
    odd = client.get("/ping", headers={"X-Request-Id": "a b\tc"})
    assert odd.headers["x-request-id"] != "a b\tc", "what is not harmless to log is not taken over"


def test_execution_parameters_are_what_a_batch_transform_reads(client: TestClient, app: FastAPI) -> None:
    found = client.get("/execution-parameters").json()
    lanes = app.state.lanes.num_lanes
    assert found == {"MaxConcurrentTransforms": 2 * lanes, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 6}


def test_verify_wants_a_record_and_gives_a_verdict(client: TestClient) -> None:
    response = client.post("/v1/verify", content=PHOTO, headers=JPEG)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "bad_input")
    assert "needs expected" in response.json()["error"]["message"]
    verdict = client.post("/v1/verify?expected=17", content=PHOTO, headers=JPEG).json()["verdict"]
    assert (verdict["expected"], verdict["verdict"]) == (17, "suspect")
    assert client.post("/v1/verify?expected=2.5", content=PHOTO, headers=JPEG).status_code == 400
    photos = [{"photo": BASE64}, {"photo": BASE64, "expected": 0}]
    results = client.post("/v1/verify", content=as_json(photos=photos), headers=JSON).json()["results"]
    assert "needs expected" in results[0]["error"]["message"]
    assert results[1]["verdict"]["p_record"] == results[1]["probs"][0]


def test_models_tells_what_answers_and_what_it_may_verify(client: TestClient) -> None:
    until(lambda: client.get("/v1/models").json()["models"][0]["certificate"])  # once the ledger was asked
    (model,) = client.get("/v1/models").json()["models"]
    bundle = Counter.load(default_bundle()).bundle
    assert (model["name"], model["version"], model["num_counts"]) == ("default", bundle.version, 21)
    assert (model["certificate"] is None) == (bundle.certificate() is None)
    assert model["figures"] == bundle.spec.figures


def form(*fields: tuple[str, Any]) -> list[tuple[str, Any]]:
    """Files and fields of a form, in their order."""
    return [
        (name, ("bin.jpg", value, "image/jpeg") if isinstance(value, bytes) else (None, value))
        for name, value in fields
    ]


def test_a_form_may_say_what_the_records_say(client: TestClient) -> None:
    """As curl -F photo=@bin.jpg -F expected=17 does: once for all, or for each photo in its place."""

    def records(*fields: tuple[str, Any], endpoint: str = "/v1/verify") -> list[int]:
        answer = client.post(endpoint, files=form(*fields)).json()
        return [one["verdict"]["expected"] for one in answer.get("results", [answer])]

    assert records(("photo", PHOTO), ("expected", "17"), endpoint="/v1/count") == [17]
    assert records(("photo", PHOTO), ("photo", PHOTO), ("expected", "17")) == [17, 17]
    assert records(("photo", PHOTO), ("expected", "1"), ("photo", PHOTO), ("expected", "2")) == [1, 2]
    assert records(("photo", PHOTO), ("photo", PHOTO), endpoint="/v1/verify?expected=4") == [4, 4]
    for wrong, said in (
        ([("expected", "three")], "a whole number"),
        ([("expected", "1")] * 3, "3 fields expected for 2 photos"),
    ):
        refused = client.post("/v1/count", files=form(("photo", PHOTO), ("photo", PHOTO), *wrong))
        assert refused.status_code == 400 and said in refused.json()["error"]["message"]
    twice = client.post("/v1/count?expected=1", files=form(("photo", PHOTO), ("expected", "2")))
    assert twice.status_code == 400


def test_metrics_are_read_by_prometheus_own_parser(client: TestClient) -> None:
    def total(name: str, **labels: str) -> float:
        families = text_string_to_metric_families(client.get("/metrics").text)
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    before = {name: total(f"binsight_{name}_count") for name in ("queue_seconds", "decode_seconds", "batch_photos")}
    failed = total("binsight_photos_total", result="failed")
    client.post("/invocations", content=PHOTO, headers=JPEG)
    client.post("/invocations", content=b"no photo", headers=JPEG)
    client.get("/scanned/by/somebody")
    assert total("binsight_queue_seconds_count") == before["queue_seconds"] + 2
    assert total("binsight_decode_seconds_count") == before["decode_seconds"] + 1
    assert total("binsight_batch_photos_count") == before["batch_photos"] + 1
    assert total("binsight_photos_total", result="failed") == failed + 1
    assert total("binsight_requests_total", endpoint="/invocations", status="415") >= 1
    assert total("binsight_requests_total", endpoint="other", status="404") >= 1
    assert total("binsight_ready") == 1


def test_the_description_is_whole(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    references = set()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            references.update([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
            value = list(value.values())
        if isinstance(value, list):
            for each in value:
                walk(each)

    walk(document)
    assert "#/components/schemas/CountInput" in references
    for reference in references:
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
    assert {"/ping", "/invocations", "/v1/count", "/v1/verify", "/v1/models"} <= set(document["paths"])


def test_a_full_queue_answers_503_and_when_to_come_back() -> None:
    served, counter = gated(default_bundle())
    app = make_app()
    with client_of(app) as client:
        lanes = Lanes(served, num_lanes=1, queue_size=1)
        lanes.start()
        app.state.answering = replace(app.state.answering, lanes=lanes)
        held = lanes.submit([("held", PHOTO)], within=60)
        while counter.begun == 0:
            time.sleep(0.005)
        lanes.submit([("waiting", PHOTO)], within=60)
        response = client.post("/invocations", content=PHOTO, headers=JPEG)
        assert (response.status_code, response.json()["error"]["code"]) == (503, "overloaded")
        assert int(response.headers["retry-after"]) >= 1
        response = client.post("/v2/models/default/infer", content=b"no JSON at all", headers=JSON)
        assert response.status_code == 503, "before any sense is made of the body"
        counter.gate.set()
        assert held[0].result(60)
        lanes.close(within=60)


@pytest.mark.parametrize("error", [BadInput("the bundle is at fault"), RuntimeError("a bug")])
def test_a_service_that_cannot_start_says_so_and_is_never_ready(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(_: Path) -> None:
        raise error

    monkeypatch.setattr("binsight.service.app.Served.load", load)
    app = make_app()
    failed = Event()
    app.state.on_failure = failed.set
    with TestClient(app) as client:
        assert failed.wait(60)
        assert app.state.failure == str(error)
        assert client.get("/ping").status_code == 503
        assert str(error) in client.post("/invocations", content=PHOTO, headers=JPEG).json()["error"]["message"]


def test_an_error_of_our_own_tells_nothing_of_the_inside(client: TestClient, app: FastAPI) -> None:
    answering = app.state.answering
    try:
        app.state.answering = "secret"
        response = client.post("/invocations", content=PHOTO, headers=JPEG)
    finally:
        app.state.answering = answering
    assert (response.status_code, response.json()["error"]["code"]) == (500, "failed")
    assert "secret" not in response.text
    assert "str" not in response.text


def test_everything_that_ends_has_one_time_together() -> None:
    """SageMaker kills 30 s after it asked: what drains late leaves the less for what follows."""
    app = make_app(chosen=some_settings(drain_within_s=10))
    given: list[float] = []

    class Slow:
        def close(self, *, within: float) -> None:
            given.append(within)
            app.state.ends_at -= 4  # as if it had taken so long

        stop = close

    with client_of(app):
        kept, app.state.lanes, app.state.capturer, app.state.alerts = app.state.lanes, Slow(), Slow(), Slow()
    kept.close(within=1)
    assert given == [pytest.approx(left, abs=0.5) for left in (10, 6, 2)]


def test_where_photos_may_wait_for_long_there_is_one_lane_more() -> None:
    assert make_app(chosen=some_settings()).state.num_lanes == available_cores()
    assert make_app(chosen=some_settings(queue_wait_s=60)).state.num_lanes == available_cores() + 1
    assert make_app(chosen=some_settings(queue_wait_s=60), num_lanes=1).state.num_lanes == 1
