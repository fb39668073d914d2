"""What the service tells Prometheus. One registry an app, so that two in one process do not mix."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from binsight.service.roles import RoleMetrics

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_BATCHES = (1, 2, 4, 8, 16, 32)


class Metrics:
    """The figures of one app; names begin with `binsight_`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "binsight_requests", "Requests answered.", ["endpoint", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "binsight_request_seconds",
            "From a request's first byte to its answer.",
            ["endpoint"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.photos = Counter(
            "binsight_photos", "Photos asked for, by what became of them.", ["result"], registry=self.registry
        )
        self.verdicts = Counter("binsight_verdicts", "Verdicts on records.", ["verdict"], registry=self.registry)
        self.swaps = Counter(
            "binsight_swaps", "Changes of the bundle in service.", ["role", "result"], registry=self.registry
        )
        self.roles = RoleMetrics(self.registry)
        self._by_name = {
            "queue": self._histogram("binsight_queue_seconds", "A photo's wait for a lane."),
            "decode": self._histogram("binsight_decode_seconds", "Decoding and measuring one photo."),
            "inference": self._histogram("binsight_inference_seconds", "One run of the network."),
            "batch": Histogram(
                "binsight_batch_photos",
                "Photos in one run of the network.",
                buckets=_BATCHES,
                registry=self.registry,
            ),
        }

    def watch(self, name: str, value: float) -> None:
        """Take what a lane reports."""
        self._by_name[name].observe(value)

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A figure that is asked for whenever Prometheus asks."""
        Gauge(name, text, registry=self.registry).set_function(value)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(name, text, buckets=_SECONDS, registry=self.registry)
