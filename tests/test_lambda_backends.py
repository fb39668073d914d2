"""What the Lambda function sends to a service, and what it makes of one that refuses: with answers of our own."""

import io
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from botocore import exceptions
from tests.s3_server import CREDENTIALS

from binsight.lambda_front import backends, handler
from binsight.lambda_front.events import asked_in

JSON = {"content-type": "application/json"}
BUSY = {"error": {"code": "overloaded", "message": "the queue is full", "mend": "try again", "request_id": "1"}}
PHOTO = json.dumps({"photo": "AAAA"})


def an_event(body: str = PHOTO, headers: Mapping[str, str] = JSON, **query: str) -> dict[str, Any]:
    """As a function URL sends it."""
    return {"requestContext": {"http": {"method": "POST"}}, "headers": headers, "body": body} | (
        {"queryStringParameters": query} if query else {}
    )


@contextmanager
def answering(status: int, answer: object, **headers: str) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A service with one answer: its address, and the headers of every request that came."""
    came: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            came.append({name.lower(): value for name, value in self.headers.items()})
            body = json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # what a client does that follows a redirect

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", came
        finally:
            server.shutdown()
            thread.join()


class Runtime:
    """SageMaker's client: what it was asked, and what it does."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.asked, self.within = error, dict[str, Any](), 0.0

    def invoke_endpoint(self, **arguments: Any) -> dict[str, Any]:
        self.asked = arguments
        if self.error:
            raise self.error
        return {"Body": io.BytesIO(b"{}"), "ContentType": "application/json"}


@pytest.fixture
def sagemaker(monkeypatch: pytest.MonkeyPatch) -> Runtime:
    runtime = Runtime()

    def opened(within: float) -> tuple[Runtime, Any]:
        runtime.within = within
        return runtime, exceptions

    monkeypatch.setattr(backends, "_sagemaker", opened)
    monkeypatch.setenv("BINSIGHT_ENDPOINT", "bins")
    return runtime


def refused(answer: dict[str, Any]) -> tuple[int, str]:
    return answer["statusCode"], json.loads(answer["body"])["error"]["code"]


def test_a_service_is_shown_the_key_and_what_the_caller_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(200, {"probs": []}) as (url, came):
        monkeypatch.setenv("BINSIGHT_URL", url)
        handler(an_event(), None)
        monkeypatch.setenv("BINSIGHT_KEY", "k3y")
        handler(an_event(headers=JSON | {"X-Amzn-SageMaker-Custom-Attributes": "bin 7", "X-Request-Id": "mine"}))
    assert "authorization" not in came[0] and "x-amzn-sagemaker-custom-attributes" not in came[0]
    assert came[1]["authorization"] == "Bearer k3y"
    assert came[1]["x-amzn-sagemaker-custom-attributes"] == "bin 7"
    assert came[1]["x-request-id"] == "mine"


def test_a_key_loses_its_lines_end_and_one_that_is_none_is_refused_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(200, {"probs": []}) as (url, came):
        monkeypatch.setenv("BINSIGHT_URL", url)
        monkeypatch.setenv("BINSIGHT_KEY", "k3y\n")
        assert handler(an_event())["statusCode"] == 200
        for wrong in ("k3y\nX-Other: 1", "k\u00e9y", "k3 y"):
            monkeypatch.setenv("BINSIGHT_KEY", wrong)
            answer = handler(an_event())
            assert refused(answer) == (400, "bad_input") and "k3" not in str(answer)
    assert [one["authorization"] for one in came] == ["Bearer k3y"]


def test_a_header_that_cannot_be_passed_on_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BINSIGHT_URL", "http://127.0.0.1:9")
    answer = handler(an_event(headers=JSON | {"Accept": "\u65e5"}))
    assert refused(answer) == (400, "bad_input") and "header accept" in answer["body"]


def test_a_redirect_is_not_followed_with_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(302, {}, Location="/elsewhere") as (url, came):
        monkeypatch.setenv("BINSIGHT_URL", url)
        assert refused(handler(an_event())) == (502, "failed")
    assert len(came) == 1


def test_a_busy_service_is_heard_and_says_when_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(503, BUSY) as (url, _):
        monkeypatch.setenv("BINSIGHT_URL", url)
        answer = handler(an_event())
    assert refused(answer) == (503, "overloaded")
    assert answer["headers"]["Retry-After"] == "1"


def test_an_endpoint_is_told_what_the_caller_noted_and_the_requests_name(sagemaker: Runtime) -> None:
    handler(an_event(headers=JSON | {"x-amzn-sagemaker-custom-attributes": "bin 7", "x-request-id": "mine"}))
    assert (sagemaker.asked["CustomAttributes"], sagemaker.asked["InferenceId"]) == ("bin 7", "mine")
    handler(an_event())
    assert "CustomAttributes" not in sagemaker.asked, "SageMaker takes no empty ones"


def error_of(code: str, **more: object) -> exceptions.ClientError:
    response: Any = {"Error": {"Code": code, "Message": "no"}, **more}
    return exceptions.ClientError(response, "InvokeEndpoint")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (error_of("ServiceUnavailable"), 503, "not_ready"),
        (error_of("ThrottlingException"), 503, "not_ready"),
        (error_of("ModelNotReadyException"), 503, "not_ready"),
        (error_of("InternalDependencyException"), 503, "not_ready"),
        (error_of("ValidationError"), 502, "failed"),
        (error_of("ModelError", OriginalStatusCode=503, OriginalMessage=json.dumps(BUSY)), 503, "overloaded"),
        (error_of("ModelError", OriginalStatusCode=500, OriginalMessage="<html>"), 502, "failed"),
        (exceptions.ReadTimeoutError(endpoint_url="x"), 503, "not_ready"),
        (exceptions.ConnectTimeoutError(endpoint_url="x"), 503, "not_ready"),
        (exceptions.NoCredentialsError(), 502, "failed"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_sagemaker_says_becomes_an_answer(
    sagemaker: Runtime, error: Exception, status: int, code: str
) -> None:
    sagemaker.error = error
    assert refused(handler(an_event())) == (status, code)


def test_how_long_to_wait_is_a_setting(sagemaker: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    handler(an_event())
    assert sagemaker.within == 25
    monkeypatch.setenv("BINSIGHT_WITHIN_S", "7.5")
    handler(an_event())
    assert sagemaker.within == 7.5
    for wrong in ("soon", "0", "-1", "nan", "inf", ""):
        monkeypatch.setenv("BINSIGHT_WITHIN_S", wrong)
        answer = handler(an_event())
        assert refused(answer) == (400, "bad_input")
        said = json.loads(answer["body"])["error"]["message"]
        assert said == f"BINSIGHT_WITHIN_S must be a number of seconds above 0 and at most 900, but is {wrong!r}"


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=10) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("by", ["url", "endpoint"])
def test_a_service_that_hangs_is_given_up_in_the_time_that_was_set(
    silent: str, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {
        **{"BINSIGHT_WITHIN_S": "1", "AWS_DEFAULT_REGION": "us-east-1", **CREDENTIALS},
        **({"BINSIGHT_URL": silent} if by == "url" else {"BINSIGHT_ENDPOINT": "bins"}),
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": silent,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    backends._sagemaker.cache_clear()
    if by == "endpoint":
        backends._sagemaker(1.0)  # boto3 takes its time to be loaded
    begin = time.monotonic()
    assert refused(handler(an_event())) == (503, "not_ready")
    assert 0.7 < time.monotonic() - begin < 1.7
    backends._sagemaker.cache_clear()


def test_an_endpoint_whose_connection_broke_at_once_is_asked_again(
    sagemaker: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoke, broken = sagemaker.invoke_endpoint, [exceptions.ConnectionClosedError(endpoint_url="x")]

    def once(**arguments: Any) -> dict[str, Any]:
        if broken:
            raise broken.pop()
        return invoke(**arguments)

    monkeypatch.setattr(sagemaker, "invoke_endpoint", once)
    assert handler(an_event())["statusCode"] == 200


def test_a_kept_connection_that_a_service_closed_meanwhile_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def serve() -> None:
        for num_answers in (1, 2):  # the second request finds the first connection open, and then closed
            with listening.accept()[0] as connection, connection.makefile("rwb") as file:
                for number in range(2):
                    while (line := file.readline()) not in (b"\r\n", b""):
                        if line.lower().startswith(b"content-length:"):
                            length = int(line.split(b":")[1])
                    file.read(length)
                    if number == num_answers:
                        break
                    file.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                    file.flush()

    backends._http.cache_clear()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        monkeypatch.setenv("BINSIGHT_URL", f"http://127.0.0.1:{listening.getsockname()[1]}")
        assert [handler(an_event())["statusCode"] for _ in range(3)] == [200, 200, 200]
        thread.join()


@pytest.mark.parametrize(
    "event",
    [
        *(["x"], "text", None, 7),
        *({**an_event(), name: "x"} for name in ("headers", "queryStringParameters", "requestContext")),
        {**an_event(), "requestContext": {"http": "x"}},
        {**an_event(), "body": {"photo": "AAAA"}},
        {"url": "s3://b/a.jpg", "headers": "x"},
    ],
    ids=str,
)
def test_an_event_of_another_shape_is_refused_as_any_other_bad_input(event: object) -> None:
    answer = handler(event)
    body = answer["body"] if isinstance(answer["body"], dict) else json.loads(answer["body"])
    assert (answer["statusCode"], body["error"]["code"]) == (400, "bad_input")
    assert body["error"]["mend"].startswith("send ")


def test_what_the_query_asks_is_in_the_json_that_is_sent() -> None:
    link = an_event("s3://b/a.jpg", {"content-type": "string/url"}, read_labels="1", expected="3")
    asked = asked_in(link, request_id="1", shape="binsight")
    assert json.loads(asked.body) == {"uri": "s3://b/a.jpg", "expected": 3, "read_labels": True}


def test_the_originals_shape_is_made_of_json_whatever_the_caller_accepts() -> None:
    for shape, accept in (("original", "application/json"), ("binsight", "text/csv")):
        asked = asked_in(an_event(headers=JSON | {"Accept": "text/csv"}), request_id="1", shape=shape)
        assert asked.accept == accept
