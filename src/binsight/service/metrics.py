"""What the service tells Prometheus. One registry an app, so that two in one process do not mix."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from binsight.decision.drift import Drift
from binsight.records import CHAMPION
from binsight.service.roles import RoleMetrics

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_BATCHES = (1, 2, 4, 8, 16, 32)

ALERT_RESULTS = ("sent", "refused", "given_up", "dropped")
"""What becomes of an alert: taken, not wanted, not taken in all tries, or driven out by newer ones."""


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
        self.captures = Counter(
            "binsight_captures", "Captures by what became of them.", ["result"], registry=self.registry
        )
        self.errors = Counter(
            "binsight_errors", "Errors answered, by their code.", ["code"], registry=self.registry
        )
        self.alerts = Counter(
            "binsight_alerts", "Alerts to webhooks, by what became of them.", ["result"], registry=self.registry
        )
        # There with nought from the start: Prometheus sees no increase in a series that begins with one.
        for result in ("done", "failed"):
            self.swaps.labels(CHAMPION, result)
        for result in ALERT_RESULTS:
            self.alerts.labels(result)
        self.drift = DriftMetrics(self.registry)
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

    def num_refused(self) -> float:
        """How many of the requests were turned away with 503, for want of room."""
        return self._num_requests(lambda status: status == "503")

    def num_requests(self) -> tuple[float, float]:
        """Requests but those that only watch, and how many of them failed through the service's own fault.

        503 is not counted as one: it is how a full queue and a starting service answer as they should. Nor is a link that
        cannot be read, which is 424: a caller's dead links must not ring for the service, or take a model back.
        """
        return self._num_requests(lambda _: True), self._num_requests(lambda one: one >= "500" and one != "503")

    def _num_requests(self, counts: Callable[[str], bool]) -> float:
        return sum(
            sample.value
            for sample in next(iter(self.requests.collect())).samples
            if sample.name.endswith("_total") and sample.labels["endpoint"] not in ("/ping", "/metrics")
            if counts(sample.labels["status"])
        )

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A figure that is asked for whenever Prometheus asks."""
        Gauge(name, text, registry=self.registry).set_function(value)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(name, text, buckets=_SECONDS, registry=self.registry)


class DriftMetrics:
    """The newest comparison of each bundle in service with its reference."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, ["model", *labels], registry=registry)

        self._psi = gauge("binsight_drift_psi", "Population stability index, less what chance adds.", "feature")
        self._ks = gauge("binsight_drift_ks", "Largest distance of the distribution functions.", "feature")
        self._auc = gauge("binsight_drift_auc", "How well a classifier tells photos now from the reference's.")
        self._photos = gauge("binsight_drift_photos", "Photos that were compared.")
        self._drifting = gauge("binsight_drifting", "1 while the photos differ from the reference's.")

    def tell(self, model: str, drift: Drift, *, is_drifting: bool) -> None:
        """Take a comparison, and what it and those before it come to."""
        for feature in drift.features:
            self._psi.labels(model, feature.name).set(feature.psi)
            self._ks.labels(model, feature.name).set(feature.ks)
        self._auc.labels(model).set(drift.separation.auc)
        self._photos.labels(model).set(drift.num_photos)
        self._drifting.labels(model).set(is_drifting)

    def forget(self, model: str) -> None:
        """Let the figures of a bundle go that is out of service."""
        for gauge in (self._psi, self._ks, self._auc, self._photos, self._drifting):
            gauge.remove_by_labels({"model": model})
