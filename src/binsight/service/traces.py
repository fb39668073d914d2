"""Where a request's time goes, for OpenTelemetry where it is installed and told where to send: a span a request, and
for each photo the queue, the decoding and the run of the network below it.

Its SDK is not imported otherwise. Where to send, how much and with which headers is read by OpenTelemetry
itself from its own variables (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_SAMPLER`, …).
"""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from binsight.service.served import Counted

log = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class Ended:
    """What a request's span learns at its end; `trace_id` is there from the start, and empty without traces."""

    def __init__(self, trace_id: str = "") -> None:
        self.trace_id = trace_id
        self.endpoint, self.status = "other", 500


class Traces:
    """No traces. `OpenTelemetry` overrides every method."""

    @contextmanager
    def request(self, method: str, path: str, headers: Mapping[str, str], request_id: str) -> Iterator[Ended]:
        """Around a request: its span, below the caller's where `headers` name one (W3C traceparent)."""
        yield Ended()

    def photo(self, counted: Counted) -> None:
        """A photo of the request around this call was counted."""

    def close(self) -> None:
        """Send what is not sent yet."""


def traces_from_environment() -> Traces:
    """Traces where OpenTelemetry is told where to send them, and none otherwise."""
    if not any(map(os.environ.get, ENDPOINTS)) or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return Traces()
    try:
        from binsight.service.open_telemetry import OpenTelemetry, exporting
    except ImportError:
        log.warning("%s is set, but traces need: pip install 'binsight[otel]'", ENDPOINTS[-1])
        return Traces()
    return OpenTelemetry(exporting())
