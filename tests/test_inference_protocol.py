"""The Open Inference Protocol, as its clients write it."""

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from tests.service_support import client_of, some_settings

from binsight.counting import Counter, default_bundle
from binsight.imaging.drawn import drawn_photo
from binsight.service.app import make_app

PHOTO = drawn_photo(3, seed=3)
BASE64 = base64.b64encode(PHOTO).decode()


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with client_of(make_app(chosen=some_settings(max_request_photos=8))) as client:
        yield client


@pytest.fixture(scope="module")
def expected() -> list[float]:
    (probs,) = Counter.load(default_bundle()).probs([PHOTO])
    return [float(p) for p in probs]


def test_the_open_inference_protocol_gives_the_same_estimates(client: TestClient, expected: list[float]) -> None:
    assert client.get("/v2").json()["name"] == "binsight"
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    model = client.get("/v2/models/default").json()
    (version,) = model["versions"]
    assert client.get(f"/v2/models/default/versions/{version}/ready").json() == {"ready": True}
    body = {"id": "7", "inputs": [{"name": "photo", "shape": [2], "datatype": "BYTES", "data": [BASE64] * 2}]}
    found = client.post(f"/v2/models/default/versions/{version}/infer", json=body).json()
    probs, count = found["outputs"]
    assert (found["id"], found["model_version"], probs["shape"], count["shape"]) == ("7", version, [2, 21], [2])
    np.testing.assert_allclose(np.reshape(probs["data"], (2, 21)), [expected] * 2, atol=1e-5)
    assert count["data"] == [int(np.argmax(expected))] * 2


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("other/infer", {}, 404),
        ("default/versions/0/infer", {}, 404),
        ("default/infer", {"inputs": []}, 400),
        (
            "default/infer",
            {"inputs": [{"name": "photo", "shape": [2], "datatype": "BYTES", "data": [BASE64]}]},
            400,
        ),
        ("default/infer", {"inputs": [{"name": "photo", "shape": [1], "datatype": "FP32", "data": [BASE64]}]}, 400),
        (
            "default/infer",
            {"inputs": [{"name": "photo", "shape": [1], "datatype": "BYTES", "data": ["aaaa"]}]},
            415,
        ),
    ],
)
def test_the_protocols_errors_are_one_sentence(client: TestClient, path: str, body: Any, status: int) -> None:
    response = client.post(f"/v2/models/{path}", json=body)
    assert response.status_code == status
    assert isinstance(response.json()["error"], str)


def photos(shape: list[int], data: list[Any], **more: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "photo", "shape": shape, "datatype": "BYTES", "data": data}], **more}


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ([2], [BASE64] * 2),
        ([2, 1], [BASE64] * 2),
        ([2, 1], [[BASE64], [BASE64]]),
        ([1, 2], [[BASE64, BASE64]]),
        ([1, 2, 1], [[[BASE64], [BASE64]]]),
    ],
)
def test_data_may_be_flat_or_nested_as_its_shape(client: TestClient, shape: list[int], data: list[Any]) -> None:
    found = client.post("/v2/models/default/infer", json=photos(shape, data)).json()
    assert [one["shape"] for one in found["outputs"]] == [[2, 21], [2]]


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ([2, 1], [[BASE64, BASE64]]),
        ([2], [[BASE64], [BASE64]]),
        ([1, 1], [[[BASE64]]]),
        ([2, 1], [[BASE64], BASE64]),
        ([1, 1], [[7]]),
        ([3, 1], [BASE64] * 2),
        ([3, 3], [BASE64] * 9),
        ([1] * 9, [BASE64]),
        ([], []),
    ],
)
def test_data_of_another_shape_is_refused(client: TestClient, shape: list[int], data: list[Any]) -> None:
    refused = client.post("/v2/models/default/infer", json=photos(shape, data))
    assert refused.status_code == 400 and isinstance(refused.json()["error"], str)


def test_outputs_are_those_that_are_asked_for(client: TestClient) -> None:
    def names(*wanted: str) -> list[str]:
        body = photos([1], [BASE64], outputs=[{"name": name} for name in wanted])
        return [one["name"] for one in client.post("/v2/models/default/infer", json=body).json()["outputs"]]

    assert names() == names("count", "probs") == ["probs", "count"]
    assert names("count") == ["count"]
    refused = client.post("/v2/models/default/infer", json=photos([1], [BASE64], outputs=[{"name": "boxes"}]))
    assert refused.status_code == 400 and "'probs' or 'count'" in refused.json()["error"]
