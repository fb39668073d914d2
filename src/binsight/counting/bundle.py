"""The bundle: a trained model as a self-contained, immutable folder.

```
BUNDLE/
├── bundle.json       the fields of `BundleSpec`, with a checksum of every other file
├── model.onnx        images_BCHW (float32, any B) → log_probs_BK; its weights may be stored as int8 or fp16
├── golden/           photos drawn by Binsight, and golden.json: the answers that they must get
├── certificate.json  which records it may verify, as the decision room reads it; older bundles have none
├── reference.json    what the photos it was calibrated on look like, as the decision room reads it; older ones have none
└── card.md           what the model was trained on, how good it is, what it must not be used for
```
A bundle's version is the checksum of its `bundle.json`: the same content has the same version anywhere.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from binsight import __version__
from binsight.errors import BadBundle, MissingObject
from binsight.imaging import Preprocessing
from binsight.settings import settings

SPEC_NAME = "bundle.json"
MODEL_NAME = "model.onnx"
GOLDEN_NAME = "golden/golden.json"
CERTIFICATE_NAME = "certificate.json"
REFERENCE_NAME = "reference.json"
UNKNOWN = "unknown"
"""In a lineage, for a dataset that nobody knows any more: its photos cannot be looked for in a promotion set."""
DEFAULT_FOLDER = Path(__file__).parent / "default_bundle"

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class BundleSpec(BaseModel):
    """`bundle.json`: everything that counting needs to know beside the network itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: str = Field(pattern=r"^[\w.\-]+$")
    num_counts: int = Field(ge=2, description="K: probs[n] for n = 0 … K-1, the last K-1 or more.")
    preprocessing: Preprocessing
    temperature: float = Field(gt=0, description="Log-probabilities are divided by it: >1 makes answers less sure.")
    readable_from: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="p(right or one off) below which a photo is flagged unreadable; None, as in older bundles: never.",
    )
    lineage: dict[str, Any] = Field(description="Recipe, dataset and code that the weights come from.")
    figures: dict[str, Any] = Field(description="What was measured when the bundle was made, and on which photos.")
    files: dict[str, Sha256] = Field(description="Every other file of the bundle and its checksum.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """An opened bundle whose files are all there and unchanged."""

    folder: Path
    spec: BundleSpec
    version: str

    @classmethod
    def open(cls, folder: Path) -> "Bundle":
        """Open and check a bundle. Raises `MissingObject` or `BadBundle`, naming the file that is wrong."""
        path = folder / SPEC_NAME
        try:
            data = path.read_bytes()
        except OSError:
            raise MissingObject(
                f"{folder} is not a bundle: it holds no {SPEC_NAME}; make one with: binsight export"
            ) from None
        try:
            spec = BundleSpec.model_validate_json(data)
        except ValidationError as error:
            if newer := _newer(data):
                raise BadBundle(f"{path} {newer}; install a newer Binsight") from None
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or "the file"
            raise BadBundle(f"{path}: {field}: {first['msg'].lower()}; export the bundle again") from None
        for name, digest in spec.files.items():
            _check_file(folder, name, digest)
        if MODEL_NAME not in spec.files:
            raise BadBundle(f"{path} must list {MODEL_NAME}; export the bundle again")
        return cls(folder=folder, spec=spec, version=sha256(data).hexdigest()[:12])

    @property
    def name(self) -> str:
        """NAME:VERSION, as the ledger and the service have it."""
        return f"{self.spec.name}:{self.version}"

    @property
    def model_path(self) -> Path:
        return self.folder / MODEL_NAME

    def golden(self) -> list[tuple[str, bytes, list[float]]]:
        """The golden photos: name, bytes and the probabilities that they must get."""
        answers = json.loads((self.folder / GOLDEN_NAME).read_text())
        return [
            (answer["photo"], (self.folder / "golden" / answer["photo"]).read_bytes(), answer["probs"])
            for answer in answers
        ]

    def certificate(self) -> bytes | None:
        """The text of the certificate, for `decision.certificate.read_certificate`; None where it was made without."""
        return self._optional(CERTIFICATE_NAME)

    def reference(self) -> bytes | None:
        """The text of the reference, for `decision.reference.read_reference`; None where it was made without."""
        return self._optional(REFERENCE_NAME)

    def _optional(self, name: str) -> bytes | None:
        return (self.folder / name).read_bytes() if name in self.spec.files else None


def _newer(data: bytes) -> str:
    """What a `bundle.json` has that only a later Binsight can have put there, as a clause; empty where nothing."""
    try:
        found = json.loads(data)
        form, preprocessing = found["format"], found["preprocessing"]
        by = found["lineage"].get("binsight") or "a later Binsight"
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""
    if isinstance(form, int) and form > 1:
        return f"must have the format 1, but has {form} and was made by {by}"
    unknown = (
        sorted(set(preprocessing) - set(Preprocessing.model_fields)) if isinstance(preprocessing, dict) else []
    )
    if unknown:
        return f"was made by {by}, whose preprocessing has {', '.join(unknown)}, which {__version__} does not know"
    return ""


def seal(folder: Path, spec: BundleSpec) -> None:
    """Write `bundle.json` with the checksums of all other files that are in the folder: from now on it never changes."""
    others = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SPEC_NAME)
    files = {path.relative_to(folder).as_posix(): file_digest(path) for path in others}
    write_spec(folder, spec.model_copy(update={"files": files}))


def write_spec(folder: Path, spec: BundleSpec) -> None:
    """Write `bundle.json` as it is given."""
    (folder / SPEC_NAME).write_text(spec.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _check_file(folder: Path, name: str, digest: str) -> None:
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise BadBundle(
            f"{folder / SPEC_NAME} names the file {name!r}, which is outside of the bundle; do not use it"
        )
    try:
        found = file_digest(folder / name)
    except OSError as error:
        raise BadBundle(f"{folder / name} cannot be read ({error.strerror}); copy the bundle again") from None
    if found != digest:
        raise BadBundle(
            f"{folder / name} must have the checksum {digest[:12]}…, but has {found[:12]}…; copy the bundle again"
        )


def file_digest(path: Path) -> str:
    """sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        digest = sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def default_bundle() -> Path:
    """The bundle that counts where none is named: `BINSIGHT_MODEL`, else the one inside the package."""
    return settings().model or DEFAULT_FOLDER


def is_shipped(lineage: Mapping[str, Any]) -> bool:
    """Whether a bundle with this lineage has the weights of the one inside the package, which says less of its training
    than bundles do now, and cannot be exported again."""
    shipped = json.loads((DEFAULT_FOLDER / SPEC_NAME).read_text(encoding="utf-8"))["lineage"]
    return bool(lineage.get("weights_sha256") == shipped["weights_sha256"])


def seen_by(lineage: Mapping[str, Any]) -> list[str]:
    """The hashes of the datasets that a bundle's weights have seen, `UNKNOWN` among them where one is not known."""
    began_with_run = str(lineage.get("first_weights", "")).startswith("run:")
    earlier = lineage.get("learned_from", [UNKNOWN] if began_with_run else [])
    return list(dict.fromkeys([str(lineage.get("dataset_sha256") or UNKNOWN), *earlier]))
