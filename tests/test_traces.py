"""Traces: a span a request with queue, decoding and network below it, below the caller's own; nothing where off."""

import base64
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests.service_support import serving

from binsight.imaging.drawn import drawn_photo
from binsight.service.traces import Traces, traces_from_environment

JPEG = {"content-type": "image/jpeg"}
PHOTO = drawn_photo(3, seed=3)
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@contextmanager
def otlp_receiver() -> Iterator[tuple[str, list[Span], dict[str, str]]]:
    """A real receiver of OTLP over HTTP: its address, the spans that came, and what they say of their service."""
    spans: list[Span] = []
    resource: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            request = ExportTraceServiceRequest()
            request.ParseFromString(self.rfile.read(int(self.headers["content-length"])))
            for of_resource in request.resource_spans:
                resource.update({a.key: a.value.string_value for a in of_resource.resource.attributes})
                spans.extend(span for scope in of_resource.scope_spans for span in scope.spans)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", spans, resource
        server.shutdown()


def attributes(span: Span) -> dict[str, str | int]:
    return {a.key: a.value.string_value or a.value.int_value for a in span.attributes}


def test_a_request_is_a_span_below_its_callers_with_its_photos_times_below() -> None:
    """The real process, and OpenTelemetry's own exporter to a receiver on this machine."""
    two = {"photos": [{"photo": base64.b64encode(PHOTO).decode()}] * 2}
    with (
        otlp_receiver() as (url, spans, resource),
        serving("--json", env={"OTEL_EXPORTER_OTLP_ENDPOINT": url}) as served,
        served.client as client,
    ):
        headers = {**JPEG, "traceparent": PARENT, "x-request-id": "abc"}
        client.post("/v1/count", content=PHOTO, headers=headers)
        client.post("/v1/count", json=two)
        client.post("/v1/count", content=b"no photo", headers=JPEG)
        client.get("/ping")
        served.process.terminate()
        assert served.process.wait(60) == 0, "what was not sent yet is sent at the end"
        assert served.process.stderr is not None
        log = served.process.stderr.read()
    requests = [span for span in spans if span.kind == Span.SPAN_KIND_SERVER]
    assert [span.name for span in requests] == ["POST /v1/count"] * 3, "/ping is not traced"
    first, second, third = sorted(requests, key=lambda span: span.start_time_unix_nano)
    assert (first.trace_id.hex(), first.parent_span_id.hex()) == tuple(PARENT.split("-")[1:3])
    assert attributes(first)["binsight.request_id"] == "abc"
    assert [attributes(span)["http.response.status_code"] for span in (first, second, third)] == [200, 200, 415]
    assert resource["service.name"] == "binsight"
    below = [span for span in spans if span.parent_span_id == first.span_id]
    below.sort(key=lambda span: span.start_time_unix_nano)
    assert [span.name for span in below] == ["queue", "decode", "inference"]
    for before, after in zip([first, *below], below, strict=False):
        assert before.start_time_unix_nano <= after.start_time_unix_nano + 1_000_000
    for span in below:
        assert span.start_time_unix_nano < span.end_time_unix_nano <= first.end_time_unix_nano + 1_000_000
        assert str(attributes(span)["binsight.model"]).startswith("default:")
    assert sum(span.parent_span_id == second.span_id for span in spans) == 6, "three for each photo"
    assert not any(span.parent_span_id == third.span_id for span in spans)
    assert f'"trace_id": "{first.trace_id.hex()}"' in log


def test_nothing_is_traced_nor_imported_where_nobody_asked() -> None:
    code = (
        "import sys; from binsight.service.app import make_app; make_app();"
        "print('opentelemetry.sdk' in sys.modules, 'requests' in sys.modules)"
    )
    for env in ({}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}):
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **env}, capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == ["False", "False"]


def test_an_address_without_the_library_is_a_sentence_and_no_failure(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "binsight.service.open_telemetry", raising=False)
    assert type(traces_from_environment()) is Traces
    assert "pip install 'binsight[otel]'" in caplog.text
