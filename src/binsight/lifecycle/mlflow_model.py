"""A bundle as an MLflow model, and back: the bundle's folder as it is, beside an MLmodel file that says how to load it.

No pickle is written or read: MLflow imports this module and hands it the folder. Whoever loads the model needs Binsight.
https://mlflow.org/docs/latest/ml/model
"""

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from binsight.counting.bundle import Bundle
from binsight.counting.counter import Counter
from binsight.errors import BadBundle, BadInput, MissingExtra, MissingObject, StorageFailure
from binsight.records import CountEstimate, CountFailure

LOADER = "binsight.lifecycle.mlflow_model"
_FLAVOUR = "python_function"


def export_mlflow(bundle: Bundle, folder: Path) -> Path:
    """Write the bundle as an MLflow model at `folder`, which must not be there yet.

    Raises `MissingExtra` without MLflow, `BadInput` where something is in the way, `StorageFailure` where the disk fails.
    """
    mlflow = _mlflow()
    if folder.exists():
        raise BadInput(f"{folder} is there already; choose another folder")
    metadata = {"binsight_version": bundle.version, "binsight_name": bundle.spec.name}
    requirements = ["binsight" if not (made := bundle.spec.lineage.get("binsight")) else f"binsight>={made}"]
    try:
        mlflow.pyfunc.save_model(
            str(folder),
            loader_module=LOADER,
            data_path=str(bundle.folder),
            metadata=metadata,
            pip_requirements=requirements,
        )
    except OSError as error:
        raise StorageFailure(f"{folder} cannot be written ({error.strerror or error}); free space") from None
    bundle_of(folder)
    return folder


def fetch_mlflow(address: str) -> Path:
    """The folder of an MLflow model: a local one, or one that MLflow fetches (`models:/NAME/1`, `runs:/ID/model`, …).

    Raises `MissingExtra` without MLflow, `MissingObject` where there is none.
    """
    mlflow = _mlflow()
    if Path(address).exists():
        return Path(address)
    if ":/" not in address:
        raise MissingObject(f"{address} is no folder; name one, or an address of MLflow's such as models:/NAME/1")
    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=address))
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise MissingObject(f"MLflow does not give {address} ({str(error).splitlines()[0]}); check it") from None


def bundle_of(folder: Path) -> Bundle:
    """The bundle in the folder of an MLflow model, checked as any other.

    Raises `MissingObject` where the folder is no MLflow model, `BadBundle` where no bundle of ours is in it.
    """
    mlflow = _mlflow()
    if not (folder / "MLmodel").is_file():
        raise MissingObject(f"{folder} is not an MLflow model: it holds no MLmodel; name the model's folder")
    try:
        model = mlflow.models.Model.load(str(folder))
        flavour = model.flavors.get(_FLAVOUR, {})
    except Exception as error:  # noqa: BLE001 - whatever the parser raises, the file is at fault
        raise BadBundle(
            f"{folder / 'MLmodel'} cannot be read ({str(error).splitlines()[0]}); export it again"
        ) from None
    if flavour.get("loader_module") != LOADER:
        raise BadBundle(
            f"{folder} holds a model of another kind, not a Binsight bundle; export one with export-mlflow"
        )
    inside = PurePosixPath(str(flavour.get("data", "")))
    if inside.is_absolute() or ".." in inside.parts:
        raise BadBundle(f"{folder / 'MLmodel'} names a bundle outside of its folder ({inside}); do not use it")
    bundle = Bundle.open(folder / inside)
    said = (model.metadata or {}).get("binsight_version")
    if said not in (None, bundle.version):
        raise BadBundle(f"{folder} must hold the bundle {said}, but holds {bundle.version}; export it again")
    return bundle


class Counting:
    """What MLflow calls: photos in, the lines of `binsight count --json` out."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """A line for each photo, in their order. A photo is bytes, or base64 text, by itself or in a column `photo`."""
        return [_line(result) for result in self._counter.count(_photos(model_input))]


def _load_pyfunc(data_path: str) -> Counting:
    """MLflow's entry: the folder of the bundle as something that predicts."""
    return Counting(Counter.load(Path(data_path)))


def _photos(model_input: Any) -> Iterator[tuple[str, bytes]]:
    photos = model_input["photo"] if _has_column(model_input) else model_input
    for number, photo in enumerate(photos):
        if isinstance(photo, str):
            try:
                yield f"photo {number}", base64.b64decode(photo, validate=True)
            except ValueError:
                raise BadInput(
                    f"photo {number} must be base64 text or bytes, but is other text; encode it"
                ) from None
        else:
            yield f"photo {number}", bytes(photo)


def _has_column(model_input: Any) -> bool:
    return "photo" in getattr(model_input, "columns", ()) or isinstance(model_input, Mapping)


def _line(result: CountEstimate | CountFailure) -> dict[str, Any]:
    if isinstance(result, CountFailure):
        return {"error": result.error}
    return {
        "count": result.count,
        "probs": list(result.probs),
        "interval": list(result.interval),
        "flags": list(result.flags),
    }


def _mlflow() -> Any:
    try:
        import mlflow.artifacts
        import mlflow.exceptions
        import mlflow.models
        import mlflow.pyfunc
    except ImportError:
        raise MissingExtra("MLflow models", extra="mlflow") from None
    return mlflow
