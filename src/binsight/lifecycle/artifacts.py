"""The identity of artifacts: a hash of what is in them, wherever they lie and whenever they were made."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from binsight.counting.bundle import Bundle, file_digest
from binsight.dataset.manifest import Dataset
from binsight.errors import MissingObject
from binsight.lifecycle.steps import Kind

ABSENT = "absent"
"""The identity of an artifact that is not needed and not there."""

MAIN_FILE: Mapping[Kind, str] = {
    "counts": "counts.csv",
    "run": "best.safetensors",
    "report": "metrics.json",
    "verdict": "decision.json",
    "outcome": "outcome.json",
}
"""The file that stands for a whole artifact: what steps after it read."""

_LIBRARIES = ("torch", "torchvision", "timm", "lightning-fabric", "numpy", "scipy", "pillow", "onnx", "onnxruntime")
"""Those whose arithmetic a result depends on."""


def identity(kind: Kind, path: Path | None) -> str:
    """What an artifact is. Raises `MissingObject` where it is not there, and as what opens it does."""
    if path is None:
        return ABSENT
    if kind in _OPENED:
        return _OPENED[kind](path)
    file = path / MAIN_FILE[kind]
    if not file.is_file():
        raise MissingObject(f"{file} is not there; remove {path}, and run the same command again")
    return file_digest(file)


_OPENED: Mapping[Kind, Callable[[Path], str]] = {
    "dataset": lambda path: Dataset.open(path).digest,
    "bundle": lambda path: Bundle.open(path).version,
    "recipe": file_digest,
}


def key_of(value: Mapping[str, Any]) -> str:
    """A hash of plain values, the same for the same values."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return sha256(text.encode()).hexdigest()


@cache
def code_digest() -> str:
    """This very code, and the libraries that compute: what was made by other code is made again."""
    digest = sha256()
    folder = Path(__file__).parents[1]
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    for library in _LIBRARIES:
        digest.update(f"{library} {_version(library)}\n".encode())
    return digest.hexdigest()


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ABSENT
