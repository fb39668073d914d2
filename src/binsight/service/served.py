"""A bundle in service, and what it says of a photo."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from binsight.counting import Counter
from binsight.counting.bundle import CERTIFICATE_NAME, REFERENCE_NAME
from binsight.counting.providers import CPU
from binsight.decision.certificate import Certificate, read_certificate
from binsight.decision.reference import Reference, read_reference
from binsight.records import CHAMPION, CountEstimate

MAX_BATCH = 2
"""Photos in one run of the network, at most, on a CPU (docs/decisions/0015)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds that one photo spent waiting, being decoded, and in the network (with its whole batch).

    `starts` is when each of the three began, by `time.monotonic`.
    """

    queue: float
    decode: float
    inference: float
    starts: tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A bundle in service: its counter, and its certificate (with its file's hash) and its reference where it has them."""

    counter: Counter
    certificate: Certificate | None
    certificate_sha256: str = ""
    reference: Reference | None = None

    @classmethod
    def load(cls, folder: Path) -> "Served":
        """Open a bundle whose network runs on the one thread that asks. Raises as `Counter.load`, `read_certificate` and
        `read_reference` do."""
        counter = Counter.load(folder, threads=1)
        data, seen = counter.bundle.certificate(), counter.bundle.reference()
        certificate = None if data is None else read_certificate(data, name=f"{folder}/{CERTIFICATE_NAME}")
        reference = None if seen is None else read_reference(seen, name=f"{folder}/{REFERENCE_NAME}")
        digest = "" if data is None else sha256(data).hexdigest()
        return cls(counter=counter, certificate=certificate, certificate_sha256=digest, reference=reference)

    @property
    def version(self) -> str:
        """The bundle's version, by content."""
        return self.counter.bundle.version

    @property
    def name(self) -> str:
        """NAME:VERSION."""
        return self.counter.bundle.name

    @classmethod
    def begin_loading(cls, folder: Path) -> "Future[Served]":
        """Load and warm a bundle on a thread, while the caller imports what serves it; its network needs no import."""
        with_one = ThreadPoolExecutor(1, thread_name_prefix="load")

        def loaded() -> Served:
            served = cls.load(folder)
            served.warm()
            return served

        loading = with_one.submit(loaded)
        with_one.shutdown(wait=False)
        return loading

    def warm(self, max_batch: int = MAX_BATCH) -> None:
        """Count the golden photos, and run the smallest and the largest batch, on a GPU every size.

        On the CPU a size's first run takes no longer than its second (bench/start.py --first-runs); only the memory for
        the largest has to be there. Raises `GateFailed` where a golden photo does not get its answer.
        """
        self.counter.check_golden()
        seen = [self.counter.see("warm-up", data) for _, data, _ in self.counter.bundle.golden()[:max_batch]]
        sizes = (1, max_batch) if self.counter.provider == CPU else range(1, max_batch + 1)
        for size in sizes:
            self.counter.estimate([seen[i % len(seen)] for i in range(size)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """An estimate, the bundle that made it and as what, and how long that took.

    `stood_in_for`: the canary that should have made it, and failed.
    """

    estimate: CountEstimate
    served: Served
    timing: Timing
    role: str = CHAMPION
    stood_in_for: Served | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """A counted photo and its answer as JSON."""

    photo: bytes
    answer: str
