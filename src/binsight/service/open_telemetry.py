"""Traces by OpenTelemetry's own library; the only file that imports it, behind the extra `otel`."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, format_trace_id
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from binsight import __version__
from binsight.service.served import Counted
from binsight.service.traces import Ended, Traces

UNTRACED = frozenset({"/ping", "/metrics", "/v2/health/live", "/v2/health/ready"})
"""What is asked every few seconds by those who only watch."""


def exporting() -> TracerProvider:
    """A provider that sends by OTLP over HTTP, in batches, from a thread of its own."""
    resource = Resource.create({"service.name": "binsight", "service.version": __version__})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class OpenTelemetry(Traces):
    """Traces by a provider of its own, so that two apps in one process do not mix."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("binsight", __version__)
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def request(self, method: str, path: str, headers: Mapping[str, str], request_id: str) -> Iterator[Ended]:
        """Names and attributes as OpenTelemetry's conventions for HTTP have them."""
        if path in UNTRACED:
            yield Ended()
            return
        parent = self._propagator.extract(carrier=headers)
        attributes = {"http.request.method": method, "url.path": path, "binsight.request_id": request_id}
        with self._tracer.start_as_current_span(
            method, context=parent, kind=SpanKind.SERVER, attributes=attributes
        ) as span:
            ended = Ended(format_trace_id(span.get_span_context().trace_id))
            try:
                yield ended
            finally:
                span.update_name(f"{method} {ended.endpoint}")
                span.set_attributes({"http.route": ended.endpoint, "http.response.status_code": ended.status})
                if ended.status >= 500:
                    span.set_status(Status(StatusCode.ERROR))

    def photo(self, counted: Counted) -> None:
        """Three spans, after the fact: a lane knows nothing of requests, and the times are what it measured."""
        timing = counted.timing
        monotonic_to_epoch_ns = time.time_ns() - time.monotonic_ns()
        attributes: dict[str, str | int] = {
            "binsight.model": counted.served.name,
            "binsight.count": counted.estimate.count,
        }
        lasted = (timing.queue, timing.decode, timing.inference)
        for name, start, seconds in zip(("queue", "decode", "inference"), timing.starts, lasted, strict=True):
            start_ns = int(start * 1e9) + monotonic_to_epoch_ns
            span = self._tracer.start_span(name, start_time=start_ns, attributes=attributes)
            span.end(start_ns + int(seconds * 1e9))

    def close(self) -> None:
        """Send what is not sent yet, and end the thread that does."""
        self._provider.shutdown()
