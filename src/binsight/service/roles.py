"""What the champion, the canary and the shadow do, as figures for Prometheus."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Histogram, Summary

from binsight.records import CANARY, CountEstimate
from binsight.service.served import Counted, Served

MOST_MODELS = 8
"""Bundles that have figures of their own at a time: a service that runs for a year sees more than it should show."""
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleFigures:
    """What a bundle did in a role: photos, those it failed on, and photos by the most seconds that they took."""

    counted: float = 0.0
    failed: float = 0.0
    buckets: Mapping[float, float] = field(default_factory=dict)

    def since(self, before: "RoleFigures") -> "RoleFigures":
        """What of it was done after an earlier look."""
        return RoleFigures(
            counted=self.counted - before.counted,
            failed=self.failed - before.failed,
            buckets={most: number - before.buckets.get(most, 0.0) for most, number in self.buckets.items()},
        )

    def quantile_s(self, share: float) -> float | None:
        """The time within which so large a share of the photos was counted, within a bucket as if they lay evenly in it;
        the largest bound for what lies beyond all of them. None without photos."""
        bounds = sorted(self.buckets)
        total = self.buckets[bounds[-1]] if bounds else 0.0
        if total <= 0:
            return None
        wanted, low, below = share * total, 0.0, 0.0
        for most in bounds:
            number = self.buckets[most]
            if number >= wanted and number > below:
                return low if most == float("inf") else low + (most - low) * (wanted - below) / (number - below)
            low, below = most, number
        return low


class RoleMetrics:
    """What each role's bundle does, by role and version; and how far the shadow's answers are from the champion's."""

    def __init__(self, registry: CollectorRegistry) -> None:
        by, pair = ["role", "model"], ["model", "champion"]
        self.photos = Counter(
            "binsight_role_photos", "Photos by who counted them.", [*by, "result"], registry=registry
        )
        self.seconds = Histogram(
            "binsight_role_seconds", "Decoding and network.", by, buckets=_SECONDS, registry=registry
        )
        self.counts = Summary("binsight_role_count", "Counts; sum by count is their mean.", by, registry=registry)
        self.verdicts = Counter(
            "binsight_role_verdicts", "Verdicts by who gave them.", [*by, "verdict"], registry=registry
        )
        self.same = Counter(
            "binsight_shadow_same", "Photos that the shadow counted as the champion did.", pair, registry=registry
        )
        self.difference = Summary(
            "binsight_shadow_difference", "Shadow's count off the champion's, absolute.", pair, registry=registry
        )
        self.variation = Summary(
            "binsight_shadow_total_variation", "Between the two distributions, 0 to 1.", pair, registry=registry
        )
        self.dropped = Counter(
            "binsight_shadow_dropped", "Photos that the shadow had no time for.", registry=registry
        )
        self._known: dict[str, None] = {}
        self._lock = threading.Lock()

    def counted(self, counted: Counted, *, verdict: str | None) -> None:
        """A photo was counted, in whatever role."""
        labels = (counted.role, self._version(counted.served))
        self.photos.labels(*labels, "counted").inc()
        self.seconds.labels(*labels).observe(counted.timing.decode + counted.timing.inference)
        self.counts.labels(*labels).observe(counted.estimate.count)
        if verdict is not None:
            self.verdicts.labels(*labels, verdict).inc()
        if counted.stood_in_for is not None:
            self.failed(CANARY, counted.stood_in_for)

    def failed(self, role: str, served: Served) -> None:
        """A bundle failed on a photo that was in order."""
        self.photos.labels(role, self._version(served), "failed").inc()

    def compared(self, shadow: Counted, champion: Counted) -> None:
        """Both counted the same photo."""
        pair = (self._version(shadow.served), self._version(champion.served))
        off = abs(shadow.estimate.count - champion.estimate.count)
        self.same.labels(*pair).inc(off == 0)
        self.difference.labels(*pair).observe(off)
        self.variation.labels(*pair).observe(total_variation(shadow.estimate, champion.estimate))

    def figures(self, role: str, version: str) -> "RoleFigures":
        """What a bundle has done in a role since the process began; nothing of one that is forgotten by now."""
        wanted = {"role": role, "model": version}
        numbers = {"counted": 0.0, "failed": 0.0}
        for sample in next(iter(self.photos.collect())).samples:
            if sample.name.endswith("_total") and wanted.items() <= sample.labels.items():
                numbers[sample.labels["result"]] = sample.value
        buckets = {
            float(sample.labels["le"]): sample.value
            for sample in next(iter(self.seconds.collect())).samples
            if sample.name.endswith("_bucket") and wanted.items() <= sample.labels.items()
        }
        return RoleFigures(counted=numbers["counted"], failed=numbers["failed"], buckets=buckets)

    def _version(self, served: Served) -> str:
        """The bundle's version, as a label; the one heard of longest ago is forgotten where there are too many."""
        version = served.version
        with self._lock:
            self._known[version] = self._known.pop(version, None)
            while len(self._known) > MOST_MODELS:
                self._forget(next(iter(self._known)))
        return version

    def _forget(self, version: str) -> None:
        del self._known[version]
        for metric in (self.photos, self.seconds, self.counts, self.verdicts):
            metric.remove_by_labels({"model": version})
        for pair in (self.same, self.difference, self.variation):
            pair.remove_by_labels({"model": version})
            pair.remove_by_labels({"champion": version})


def total_variation(one: CountEstimate, other: CountEstimate) -> float:
    """Half the sum of |p(n) − q(n)|: the most by which the two differ on any set of counts."""
    length = max(len(one.probs), len(other.probs))
    first, second = (probs + (0.0,) * (length - len(probs)) for probs in (one.probs, other.probs))
    return sum(abs(p - q) for p, q in zip(first, second, strict=True)) / 2
