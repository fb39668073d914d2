"""Estimates of a trained model, be it a run or a bundle, for the photos of a dataset.

Axes: B photos, K counts 0 … K-1, where the last one stands for "K-1 or more".
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from binsight.counting.bundle import CERTIFICATE_NAME
from binsight.dataset.manifest import Dataset, LabelledPhoto
from binsight.decision.certificate import Certificate, read_certificate
from binsight.decision.scores import Floats, checked_probs
from binsight.errors import BadDataset, BadInput, BadPhoto, MissingExtra, MissingObject
from binsight.imaging import Preprocessing, limits_set, pixels_HWC
from binsight.imaging.prepare import Pixels
from binsight.progress import progress_bar

if TYPE_CHECKING:
    from torch import nn

    from binsight.counting.counter import Counter

BUNDLE_MARKER = "bundle.json"
RUN_MARKER = "recipe.toml"

_CHUNK = 32
"""Photos asked for at a time: the step of the progress bar, and a bound on the pixels held."""


class Predictor(Protocol):
    """Something that estimates counts. This one method is the whole of its surface."""

    def predict(self, dataset: Dataset, photos: Sequence[LabelledPhoto]) -> npt.NDArray[np.floating]:
        """Distributions over counts, (B, K). Raises `BadPhoto` or `BadDataset` for a photo it cannot read."""
        ...


@dataclass(frozen=True, slots=True)
class BundlePredictor:
    """A bundle, by ONNX Runtime; no torch."""

    counter: "Counter"

    def predict(self, dataset: Dataset, photos: Sequence[LabelledPhoto]) -> npt.NDArray[np.floating]:
        return self.counter.probs_of_pixels(_pixels(dataset, photos, self.counter.bundle.spec.preprocessing))


@dataclass(frozen=True, slots=True)
class RunPredictor:
    """A run's best weights, by torch in full precision, untempered."""

    network: "nn.Module"
    preprocessing: Preprocessing

    @classmethod
    def open(cls, folder: Path) -> "RunPredictor":
        try:
            from binsight.model.run import Run
        except ImportError:
            raise MissingExtra("evaluating a run", extra="train") from None
        run = Run.open(folder)
        return cls(run.load_network(), run.recipe.data.preprocessing)

    def predict(self, dataset: Dataset, photos: Sequence[LabelledPhoto]) -> npt.NDArray[np.floating]:
        from binsight.model.run import predict

        return predict(self.network, _pixels(dataset, photos, self.preprocessing), self.preprocessing)


def _pixels(dataset: Dataset, photos: Sequence[LabelledPhoto], preprocessing: Preprocessing) -> Pixels:
    """The photos as the network takes them, (B, size, size, 3); each error names its photo."""
    datas, limits = dataset.files.read(photos), limits_set()
    return np.stack(
        [
            pixels_HWC(data, preprocessing, name=photo.photo, limits=limits)
            for photo, data in zip(photos, datas, strict=True)
        ]
    )


def predictor(model: Path) -> Predictor:
    """The model in a bundle folder (it holds bundle.json) or a run folder (it holds recipe.toml)."""
    if not model.is_dir():
        raise MissingObject(f"{model} is not a folder; name a run folder or a bundle folder")
    if (model / BUNDLE_MARKER).is_file():
        from binsight.counting.counter import Counter

        return BundlePredictor(Counter.load(model))
    if (model / RUN_MARKER).is_file():
        return RunPredictor.open(model)
    raise BadInput(
        f"{model} must hold {BUNDLE_MARKER} (a bundle) or {RUN_MARKER} (a run), but holds neither; "
        "make one with: binsight train, binsight export"
    )


def certificate_of(model: Predictor) -> Certificate | None:
    """The certificate in a bundle; None for a run and for a bundle that was made without one.

    Raises `BadCertificate` for one that does not hold together.
    """
    if not isinstance(model, BundlePredictor):
        return None
    bundle = model.counter.bundle
    data = bundle.certificate()
    return None if data is None else read_certificate(data, name=str(bundle.folder / CERTIFICATE_NAME))


def readable_from_of(model: Predictor) -> float | None:
    """Below which p(right or one off) a bundle flags a photo unreadable; None for a run and for one that never does."""
    return model.counter.bundle.spec.readable_from if isinstance(model, BundlePredictor) else None


def is_tempered(model: Predictor) -> bool:
    """Whether the answers are those that will be counted with; an export fits the temperature, so that a run has none."""
    return not isinstance(model, RunPredictor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A photo that the model could not be asked about, and why."""

    photo: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """Estimates for the photos that could be read, in their order, and the others with their reasons."""

    photos: tuple[LabelledPhoto, ...]
    probs_BK: Floats
    unreadable: tuple[Unreadable, ...]

    @property
    def counts_B(self) -> npt.NDArray[np.int64]:
        return np.array([photo.count for photo in self.photos], dtype=np.int64)

    @property
    def groups(self) -> tuple[str, ...]:
        return tuple(photo.group for photo in self.photos)


def predict_all(
    model: Predictor,
    dataset: Dataset,
    photos: Sequence[LabelledPhoto],
    *,
    chunk: int = _CHUNK,
    doing: str = "evaluating",
) -> Predictions:
    """Ask a model about every photo, with progress that says what one is `doing`.

    Raises `BadInput` where no photo can be read, or where what the model gives are not distributions.
    """
    answers = _Answers()
    with progress_bar("photos") as progress:
        task = progress.add_task(doing, total=len(photos))
        for start in range(0, len(photos), chunk):
            asked = photos[start : start + chunk]
            _ask(model, dataset, asked, answers)
            progress.advance(task, len(asked))
    if not answers.read:
        first = answers.unreadable[0]
        raise BadInput(f"none of the {len(photos)} photos can be read, first {first.photo}: {first.reason}")
    try:
        probs_BK = checked_probs(np.concatenate(answers.rows))
    except ValueError as error:
        raise BadInput(f"the model does not give distributions over counts: {error}; export it again") from None
    if len(probs_BK) != len(answers.read):
        raise BadInput(
            f"the model must give one row per photo ({len(answers.read)}), but gave {len(probs_BK)}; "
            "export it again"
        )
    return Predictions(photos=tuple(answers.read), probs_BK=probs_BK, unreadable=tuple(answers.unreadable))


@dataclass(slots=True)
class _Answers:
    """What a model has said so far."""

    read: list[LabelledPhoto] = field(default_factory=list)
    rows: list[npt.NDArray[np.floating]] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)


def _ask(model: Predictor, dataset: Dataset, photos: Sequence[LabelledPhoto], answers: _Answers) -> None:
    """Together where all can be read; otherwise one by one, so that one bad photo costs no other its answer."""
    try:
        answers.rows.append(model.predict(dataset, photos))
        answers.read += photos
    except (BadPhoto, BadDataset) as error:
        if len(photos) == 1:
            answers.unreadable.append(Unreadable(photo=photos[0].photo, reason=str(error)))
            return
        for photo in photos:
            _ask(model, dataset, [photo], answers)
