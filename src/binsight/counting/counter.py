"""Counting photos with a bundle: decoding in a few threads, the network on whole batches, answers in order.

```
photos ─▶ decode, check, measure (threads, a bounded number ahead) ─▶ batches ─▶ ONNX Runtime ─▶ estimates
```
Axes: B photos, H rows, W columns, C colour channels, K counts.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import onnxruntime

from binsight.counting.bundle import Bundle
from binsight.counting.cores import available_cores
from binsight.counting.providers import CPU, candidates, open_session
from binsight.errors import BinsightError, GateFailed
from binsight.imaging import decode_photo, images_BCHW, limits_set
from binsight.imaging.bin_label import read_bin_label
from binsight.imaging.prepare import OVERSAMPLING, Pixels, fit_square, pixels_HWC
from binsight.imaging.quality import Quality, measure_quality
from binsight.records import UNREADABLE, CountEstimate, CountFailure
from binsight.settings import Provider, settings

log = logging.getLogger(__name__)

S = TypeVar("S")
T = TypeVar("T")

PhotoBytes = bytes | Callable[[], bytes]
"""A photo's bytes, or how to get them: called in a decoding thread, so that reading overlaps with counting."""

BATCH_SIZE = 8
"""On a CPU larger batches gain nothing and only delay the first answer."""

GOLDEN_TOLERANCE = 1e-3
"""Processors differ in the last digits of a probability; a changed file or preprocessing differs far more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one photo gave before the network looks at it."""

    photo: str
    pixels_HWC: Pixels
    quality: Quality
    num_bytes: int
    bin_label: str | None


class Counter:
    """A bundle ready to count. Safe to use from several threads."""

    def __init__(
        self, bundle: Bundle, session: onnxruntime.InferenceSession, *, threads: int, provider: Provider = CPU
    ) -> None:
        self.bundle, self.provider = bundle, provider
        self.limits = limits_set()
        self._session = session
        self._threads = threads

    @classmethod
    def load(cls, folder: Path, *, threads: int | None = None, provider: Provider | None = None) -> "Counter":
        """Open a bundle folder and its network, to run on `threads` cores (default: all it may use).

        `provider` (default: the setting) is what runs it; `auto` takes the first whose golden photos get their answers.
        Raises `MissingObject`, `BadBundle`, `BadInput` for a provider that is not there, and `GateFailed` for one that
        gives other answers.
        """
        bundle, threads, wanted = Bundle.open(folder), threads or available_cores(), provider or settings().provider
        *others, last = candidates(wanted)
        for one in others:
            try:
                return cls._checked(bundle, threads, one)
            except Exception as error:  # noqa: BLE001 - whatever a driver does, the next provider may do
                log.warning("%s is not run by %s: %s", bundle.spec.name, one, error)
        return cls._checked(bundle, threads, last)

    @classmethod
    def _checked(cls, bundle: Bundle, threads: int, provider: Provider) -> "Counter":
        session = open_session(bundle.model_path, threads=threads, provider=provider)
        counter = cls(bundle, session, threads=threads, provider=provider)
        if provider != CPU:  # the CPU computes as the bundle's maker did; others may round more, without a word
            counter.check_golden()
        return counter

    def count(
        self,
        photos: Iterable[tuple[str, PhotoBytes]],
        *,
        read_labels: bool = False,
        note: Callable[[Seen, CountEstimate], None] | None = None,
    ) -> Iterator[CountEstimate | CountFailure]:
        """An estimate, or the reason why not, for every (name, photo) in their order.

        Only a bounded number of photos is held at a time, however many there are. `read_labels` looks for the
        bin's label in each photo, which costs about as much as counting it. `note` is told of each photo that was counted.
        Where `photos` itself ends in an error of Binsight's, that is raised after all photos before it.
        """
        stopped: list[BinsightError] = []

        def see(name: str, photo: PhotoBytes) -> Seen | CountFailure:
            try:
                return self.see(name, photo() if callable(photo) else photo, read_labels=read_labels)
            except BinsightError as error:
                return CountFailure(photo=name, error=str(error))

        with ThreadPoolExecutor(self._threads, thread_name_prefix="decode") as pool:
            seen = _in_order(pool, see, _until_stopped(photos, stopped), ahead=4 * BATCH_SIZE)
            while batch := list(islice(seen, BATCH_SIZE)):
                yield from self._answered(batch, note)
        for error in stopped:
            raise error

    def probs(self, photos: Iterable[PhotoBytes]) -> npt.NDArray[np.float64]:
        """Probabilities (B, K) for photos that can all be read; raises `BadPhoto` for the first that cannot."""

        def pixels(number: str, photo: PhotoBytes) -> Pixels:
            data = photo() if callable(photo) else photo
            return pixels_HWC(data, self.bundle.spec.preprocessing, name=f"photo {number}", limits=self.limits)

        numbered = ((str(number), photo) for number, photo in enumerate(photos))
        rows = [np.empty((0, self.bundle.spec.num_counts))]
        with ThreadPoolExecutor(self._threads, thread_name_prefix="decode") as pool:
            decoded = _in_order(pool, pixels, numbered, ahead=4 * BATCH_SIZE)
            while batch := list(islice(decoded, BATCH_SIZE)):
                rows.append(self.probs_of_pixels(np.stack(batch)))
        return np.concatenate(rows)

    def probs_of_pixels(self, pixels_BHWC: Pixels) -> npt.NDArray[np.float64]:
        """Tempered probabilities (B, K) for uint8 pixels (B, size, size, 3) as `pixels_HWC` gives them."""
        images = images_BCHW(pixels_BHWC, self.bundle.spec.preprocessing)
        (log_probs_BK,) = self._session.run(None, {"images": images})
        return temper_log_probs(log_probs_BK, self.bundle.spec.temperature)

    def check_golden(self) -> None:
        """Count the bundle's golden photos. Raises `GateFailed` where an answer is not the recorded one."""
        golden = self.bundle.golden()
        probs_BK = self.probs([data for _, data, _ in golden])
        for (name, _, expected), probs in zip(golden, probs_BK, strict=True):
            off = float(np.abs(probs - expected).max())
            if off > GOLDEN_TOLERANCE:
                raise GateFailed(
                    f"{self.bundle.folder}: golden photo {name} must get its recorded answer within "
                    f"{GOLDEN_TOLERANCE:g}, but differs by {off:.4f}; export the bundle again"
                )

    def see(self, name: str, data: bytes, *, read_labels: bool = False) -> Seen:
        """Decode, check and measure one photo. Raises `BadPhoto`."""
        preprocessing = self.bundle.spec.preprocessing
        enough_side = OVERSAMPLING * preprocessing.size
        image = decode_photo(data, name=name, limits=self.limits, enough_side=enough_side)
        pixels, quality, label = np.asarray(fit_square(image, preprocessing)), measure_quality(image), None
        if read_labels:
            if min(image.size) >= enough_side:  # or it was not scaled
                # A label needs every pixel that the camera gave. Counting goes by the same ones with labels and without.
                del image  # a photo may take 120 MB
                image = decode_photo(data, name=name, limits=self.limits)
            label = read_bin_label(image, edges_only=True)
        return Seen(photo=name, pixels_HWC=pixels, quality=quality, num_bytes=len(data), bin_label=label)

    def estimate(self, seen: Sequence[Seen]) -> list[CountEstimate]:
        """Estimates for photos that were seen, in their order: one run of the network."""
        if not seen:
            return []
        rows = self.probs_of_pixels(np.stack([one.pixels_HWC for one in seen])).tolist()
        return [
            _flagged(
                CountEstimate(photo=one.photo, probs=tuple(row), bin_label=one.bin_label, flags=one.quality.flags),
                self.bundle.spec.readable_from,
            )
            for one, row in zip(seen, rows, strict=True)
        ]

    def _answered(
        self, batch: Sequence[Seen | CountFailure], note: Callable[[Seen, CountEstimate], None] | None
    ) -> Iterator[CountEstimate | CountFailure]:
        estimates = iter(self.estimate([seen for seen in batch if isinstance(seen, Seen)]))
        for seen in batch:
            if isinstance(seen, CountFailure):
                yield seen
                continue
            estimate = next(estimates)
            if note is not None:
                note(seen, estimate)
            yield estimate


def _flagged(estimate: CountEstimate, readable_from: float | None) -> CountEstimate:
    """The estimate with `UNREADABLE` among its flags where the counter is too unsure of its answer."""
    if readable_from is None or estimate.within_one >= readable_from:
        return estimate
    return replace(estimate, flags=(*estimate.flags, UNREADABLE))


def temper_log_probs(log_probs_BK: npt.NDArray[np.float32], temperature: float) -> npt.NDArray[np.float64]:
    """softmax(log p / T) by row: temperature scaling (Guo et al. 2017), for any head that gives log-probabilities."""
    scaled = log_probs_BK.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    weights = np.exp(scaled)
    probs: npt.NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return probs


def _until_stopped(items: Iterable[S], stopped: list[BinsightError]) -> Iterator[S]:
    """The items, up to the error that ends them, which is kept: items ahead of it are under way when it comes."""
    try:
        yield from items
    except BinsightError as error:
        stopped.append(error)


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[str, S], T], items: Iterable[tuple[str, S]], *, ahead: int
) -> Iterator[T]:
    """Results of `work` in the order of `items`, at most `ahead` of them begun and not yet taken."""
    begun: deque[Future[T]] = deque()
    for name, item in items:
        begun.append(pool.submit(work, name, item))
        if len(begun) >= ahead:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()
