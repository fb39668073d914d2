"""Export: a run in, a bundle out, published only when PyTorch and ONNX Runtime agree and storing it lost next to nothing.

```
run ─▶ ONNX in fp32 ─▶ parity gate ─▶ weights as they are stored ─▶ gate on what that loses (on val)
    ─▶ temperature, certificate, flag (on val) ─▶ golden photos' answers ─▶ card, reference, checksums ─▶ bundle
```
All that a bundle says of its answers comes from its network as it is stored.
"""

import json
import logging
import re
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import nn

from binsight import __version__
from binsight.counting.bundle import (
    CERTIFICATE_NAME,
    GOLDEN_NAME,
    MODEL_NAME,
    SPEC_NAME,
    Bundle,
    BundleSpec,
    file_digest,
    seal,
    write_spec,
)
from binsight.counting.counter import Counter
from binsight.counting.providers import CPU
from binsight.dataset.manifest import Dataset, LabelledPhoto
from binsight.decision.calibrate import fit_temperature, temper
from binsight.decision.certificate import Certificate
from binsight.decision.certify import certify
from binsight.decision.measures import count_prior
from binsight.decision.readable import fit_readable_from, unreadable_figures
from binsight.decision.reference import LEAST_PHOTOS
from binsight.decision.scores import Floats, Ints, score
from binsight.errors import BadDataset, BadInput, BinsightError, GateFailed, StorageFailure
from binsight.imaging.drawn import drawn_photo
from binsight.model.batches import wanted_photos
from binsight.model.card import render_card
from binsight.model.learned import learned_from
from binsight.model.network import check_takes
from binsight.model.quantise import Weights, check_storage_loss, storage_loss, store_weights
from binsight.model.recipe import Recipe, placeless
from binsight.model.reference import write_reference
from binsight.model.run import Run
from binsight.model.verification import CHOSEN_BY_COUNT, are_chosen_by_count

PARITY_TOLERANCE = 1e-4
"""PyTorch and ONNX Runtime may differ by so much in any probability."""
PARITY_PHOTOS = 200
GOLDEN_COUNTS = (0, 1, 2, 3, 4, 5, 8, 12)

CERTIFICATE_NOTE = (
    "Provisional: the photos that it was certified on chose the best epoch and the temperature too. Confirm it on "
    "photos that chose nothing (binsight evaluate on the split test) before anything is verified by it."
)


def export(
    run: Run,
    folder: Path,
    *,
    dataset: Dataset | None = None,
    name: str | None = None,
    weights: Weights = "fp32",
    size: int | None = None,
) -> Bundle:
    """Write the run's best weights as a bundle at `folder`, calibrated and certified on the dataset's `val` photos.

    `dataset` is where the run's own dataset lies now, if not where the recipe says; `weights` is how the larger
    weights are stored; `size` is the side in pixels that photos are asked about at, if not that of the training. Raises
    `BadInput` where `folder` is there already or `name`, by default the folder's, is none for a bundle, `MissingObject`
    where the run has no environment or no best weights, `BadDataset` where the dataset is not the run's, and `GateFailed`
    where PyTorch and ONNX Runtime differ by more than `PARITY_TOLERANCE` on real photos, or where weights stored as fp16
    or int8 lose more than `check_storage_loss` admits; nothing is published then.
    """
    if folder.exists():
        raise BadInput(f"{folder} is there already, and bundles never change; choose another folder")
    name = name or folder.name
    _check_name(name)
    dataset = dataset or Dataset.open(run.recipe.data.dataset)
    trained_on = run.environment()["dataset"]["sha256"]
    if dataset.digest != trained_on:
        raise BadDataset(
            f"{dataset.folder} must be the dataset of the run ({trained_on[:12]}…), but is {dataset.digest[:12]}…; "
            "give the right one with --dataset"
        )
    if size is not None:
        run = run.at_size(size)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as parent:
            part = Path(parent) / "bundle"
            _write_bundle(run, dataset, part, name, weights)
            part.replace(folder)
    except BinsightError:
        raise  # some are an OSError too, and name something else that failed
    except OSError as error:
        raise StorageFailure(f"{folder} could not be written ({error.strerror or error}); free space") from None
    return Bundle.open(folder)


def _check_name(name: str) -> None:
    """Raises `BadInput` for a name that `BundleSpec` would refuse, which comes only after the network was converted."""
    if not re.fullmatch(BundleSpec.model_json_schema()["properties"]["name"]["pattern"], name):
        raise BadInput(
            f"a bundle's name must be of letters, digits, underscores, dots and hyphens, but is {name!r}; give another "
            "with --name"
        )


def _write_bundle(run: Run, dataset: Dataset, folder: Path, name: str, weights: Weights) -> None:
    (folder / "golden").mkdir(parents=True)
    network, size = run.load_network(), run.recipe.data.preprocessing.size
    check_takes(network, size, backbone=run.recipe.model.backbone, mend="choose another --size, or none")
    export_onnx(network, folder / MODEL_NAME, size=size)
    photos = wanted_photos(dataset, run.recipe, "val")  # others may come in shares that no warehouse has
    counts = np.array([photo.count for photo in photos])
    spec = BundleSpec(
        name=name,
        num_counts=run.recipe.model.num_counts,
        preprocessing=run.recipe.data.preprocessing,
        temperature=1,
        lineage=_lineage(run),
        figures={},
        files={},
    )
    spec, probs_BK = _calibrated(folder, spec, dataset, photos)
    check_parity(run, _counter(folder), dataset, _parity_photos(dataset))
    stored = {}
    if weights != "fp32":
        whole_BK = probs_BK
        store_weights(folder / MODEL_NAME, weights)
        spec, probs_BK = _calibrated(folder, spec, dataset, photos)
        loss = storage_loss(weights, whole_BK, probs_BK, counts)
        check_storage_loss(loss)
        stored = {"stored": loss.as_json()}
    certificate = certify_val(probs_BK, counts, photos, dataset)
    (folder / CERTIFICATE_NAME).write_text(certificate.as_text(), encoding="utf-8")
    note = "temperature and best epoch were chosen on these photos; figures on unseen ones are lower"
    readable_from = fit_readable_from(probs_BK)
    figures = {
        "val": asdict(score(probs_BK, counts)) | {"note": note},
        "unreadable": unreadable_figures(probs_BK, counts, readable_from),
    }
    spec = spec.model_copy(update={"readable_from": readable_from, "figures": figures | stored})
    _write_golden(folder)
    (folder / "card.md").write_text(render_card(spec, run, dataset, certificate), encoding="utf-8")
    if len(photos) >= LEAST_PHOTOS:  # fewer say too little of what is usual
        write_reference(folder, _counter(folder), dataset, photos, split="val")
    seal(folder, spec)


def _calibrated(
    folder: Path, spec: BundleSpec, dataset: Dataset, photos: Sequence[LabelledPhoto]
) -> tuple[BundleSpec, Floats]:
    """Fit the temperature of the network in `folder`, and leave enough of a bundle there to count with.

    Gives the spec with that temperature, and the tempered probabilities (B, K) of the photos.
    """
    files = {MODEL_NAME: file_digest(folder / MODEL_NAME)}
    spec = spec.model_copy(update={"temperature": 1.0, "files": files})
    write_spec(folder, spec)
    probs_BK = _counter(folder).probs(partial(dataset.read_bytes, photo) for photo in photos)
    temperature = fit_temperature(probs_BK, [photo.count for photo in photos])
    spec = spec.model_copy(update={"temperature": temperature})
    write_spec(folder, spec)
    return spec, temper(probs_BK, temperature)


def _counter(folder: Path) -> Counter:
    """The bundle that is being made, run by the CPU whatever the setting: other providers are told whether they compute
    right by golden photos, whose answers are made here."""
    return Counter.load(folder, provider=CPU)


def certify_val(probs_BK: Floats, counts_B: Ints, photos: Sequence[LabelledPhoto], dataset: Dataset) -> Certificate:
    """The certificate on the `val` photos; its blind score knows how often each count occurs among these very photos."""
    by_count = are_chosen_by_count(photos, dataset.select("val"))
    return certify(
        probs_BK,
        counts_B,
        [photo.group for photo in photos],
        count_prior(counts_B, probs_BK.shape[1]),
        dataset_sha256=dataset.digest,
        split="val",
        note=f"{CERTIFICATE_NOTE} {CHOSEN_BY_COUNT}" if by_count else CERTIFICATE_NOTE,
    )


def _write_golden(folder: Path) -> None:
    names = [f"drawn-{count:02d}.jpg" for count in GOLDEN_COUNTS]
    for count, name in zip(GOLDEN_COUNTS, names, strict=True):
        (folder / "golden" / name).write_bytes(drawn_photo(count, seed=count))
    probs_BK = _counter(folder).probs([(folder / "golden" / name).read_bytes() for name in names])
    answers = [{"photo": name, "probs": row.round(7).tolist()} for name, row in zip(names, probs_BK, strict=True)]
    (folder / GOLDEN_NAME).write_text(json.dumps(answers) + "\n")


def _lineage(run: Run) -> dict[str, Any]:
    environment, trained = run.environment(), Run.open(run.folder).recipe
    first_weights = _first_weights(run)
    return {
        "recipe_sha256": _recipe_digest(trained, first_weights),
        "trained_size": trained.data.preprocessing.size,
        "weights_sha256": file_digest(run.folder / "best.safetensors"),
        "first_weights": first_weights,
        "backbone": run.recipe.model.backbone,
        "head": run.recipe.model.head,
        "dataset_sha256": environment["dataset"]["sha256"],
        "learned_from": learned_from(run),
        "git": environment["git"],
        "binsight": __version__,
    }


def _recipe_digest(recipe: Recipe, first_weights: str) -> str:
    """Of the recipe wherever its files lay: a training done again in another folder makes the very same bundle."""
    teachers = [_teacher_digest(folder) for folder in recipe.training.teachers]
    return sha256(placeless(recipe, weights=first_weights, teachers=teachers).encode()).hexdigest()


def _teacher_digest(folder: Path) -> str:
    """A teacher by its content; by where it lay, where that is gone by now."""
    for name in ("best.safetensors", SPEC_NAME):
        if (folder / name).is_file():
            return file_digest(folder / name)
    return str(folder)


def _first_weights(run: Run) -> str:
    """What the training began with; an earlier run by the checksum of its weights, wherever it lies."""
    source, _, where = run.recipe.model.weights.partition(":")
    path = Path(where) / "best.safetensors"
    if source != "run" or not path.is_file():
        return run.recipe.model.weights
    return f"run:{file_digest(path)}"


def export_onnx(network: nn.Module, path: Path, *, size: int) -> None:
    """Write the network as ONNX, `images` (B, 3, size, size) → `log_probs` (B, K), any B."""
    # Two photos, not one: a batch of one would be taken for a constant.
    example = torch.zeros(2, 3, size, size)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # operators of torchvision that nothing here uses
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations; the parity gate judges its result
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            input_names=["images"],
            output_names=["log_probs"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    # The exporter notes at every node which line of code it came from, with the paths of this machine.
    for noted in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        noted.ClearField("metadata_props")
    onnx.save_model(model, path)


def _parity_photos(dataset: Dataset) -> tuple[LabelledPhoto, ...]:
    photos = dataset.select("val")
    step = max(1, len(photos) // PARITY_PHOTOS)
    return photos[::step][:PARITY_PHOTOS]


def check_parity(run: Run, counter: Counter, dataset: Dataset, photos: Sequence[LabelledPhoto]) -> float:
    """The largest difference in any probability between PyTorch and the bundle, on photos read from their files.

    Raises `GateFailed` where it exceeds `PARITY_TOLERANCE`.
    """
    temperature = counter.bundle.spec.temperature
    expected: npt.NDArray[np.float64] = temper(run.predict(dataset, photos), temperature)
    found = counter.probs([dataset.read_bytes(photo) for photo in photos])
    off = np.abs(found - expected).max(axis=1)
    worst = int(off.argmax())
    if not off[worst] <= PARITY_TOLERANCE:
        raise GateFailed(
            f"PyTorch and ONNX Runtime must agree within {PARITY_TOLERANCE:g} in every probability, but differ by "
            f"{off[worst]:.2g} on photo {photos[worst].photo}; nothing was exported"
        )
    return float(off[worst])
