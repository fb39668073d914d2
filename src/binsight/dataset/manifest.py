"""The dataset artifact: an immutable folder of split, labelled photos.

```
DATASET/
├── dataset.json        identity (sha256 of the manifest), seed, shares, counts, where it came from
├── manifest.parquet    one row a photo: Photo's fields, then any further columns of the labels
├── rejects.csv         photo, reason, detail
├── croissant.json      Croissant metadata
└── train | val | test
    ├── metadata.jsonl  HF ImageFolder: {"file_name", "count", …}
    └── <photo>.jpg
```
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, get_args

from binsight.errors import BadDataset, MissingExtra, MissingObject

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
MANIFEST_NAME = "manifest.parquet"
SUMMARY_NAME = "dataset.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPhoto:
    """One photo of a dataset and what its record says.

    `file` is relative to the dataset folder. `group` names the chain of linked photos: photos that share a
    group share a split, and intervals are resampled by group. `extras` holds the further columns of the
    labels (`kind`, `collection`, …) as strings; they slice reports and never reach the network.
    """

    photo: str
    file: str
    count: int
    split: Split
    group: str
    sha256: str
    width: int
    height: int
    extras: Mapping[str, str] = field(default_factory=dict)


_COLUMNS = ("photo", "file", "count", "split", "group", "sha256", "width", "height")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """An opened dataset: its folder, its identity and its photos in manifest order."""

    folder: Path
    digest: str
    photos: tuple[LabelledPhoto, ...]

    @classmethod
    def open(cls, folder: Path) -> "Dataset":
        """Open a dataset folder. Raises `MissingObject` or `BadDataset`, naming what is wrong with it."""
        manifest = folder / MANIFEST_NAME
        if not manifest.is_file():
            raise MissingObject(f"{folder} holds no {MANIFEST_NAME}; make a dataset with: binsight data prepare")
        photos = read_manifest(manifest)
        digest = sha256(manifest.read_bytes()).hexdigest()
        recorded = _summary(folder).get("sha256")
        if recorded != digest:
            raise BadDataset(
                f"{manifest} must have the checksum that {SUMMARY_NAME} names ({recorded}), but has {digest}; "
                "prepare the dataset again"
            )
        return cls(folder=folder, digest=digest, photos=photos)

    def select(
        self, split: Split | None = None, *, where: Callable[[LabelledPhoto], bool] | None = None
    ) -> tuple[LabelledPhoto, ...]:
        """The photos of a split (or of all) for which `where` holds."""
        return tuple(
            photo
            for photo in self.photos
            if (split is None or photo.split == split) and (where is None or where(photo))
        )

    def read_bytes(self, photo: LabelledPhoto) -> bytes:
        """The photo's file. Raises `BadDataset` where it is gone."""
        try:
            return (self.folder / photo.file).read_bytes()
        except OSError as error:
            raise BadDataset(
                f"{self.folder / photo.file} is in the manifest but cannot be read ({error.strerror}); "
                "prepare the dataset again"
            ) from None


def _summary(folder: Path) -> dict[str, Any]:
    path = folder / SUMMARY_NAME
    try:
        summary = json.loads(path.read_text())
    except FileNotFoundError:
        raise BadDataset(f"{path} is missing: {folder} is half-written; prepare the dataset again") from None
    except ValueError as error:
        raise BadDataset(f"{path} is not JSON ({error}); prepare the dataset again") from None
    if not isinstance(summary, dict):
        raise BadDataset(f"{path} must be a JSON object; prepare the dataset again")
    return summary


def write_manifest(path: Path, photos: tuple[LabelledPhoto, ...]) -> str:
    """Write the manifest and return its sha256. The same photos give the same bytes."""
    pa, parquet = _pyarrow()
    extra_names = sorted({name for photo in photos for name in photo.extras})
    rows = [asdict(photo) for photo in photos]
    columns = {name: [row[name] for row in rows] for name in _COLUMNS}
    columns |= {name: [photo.extras.get(name, "") for photo in photos] for name in extra_names}
    parquet.write_table(pa.table(columns), path, compression="zstd")
    return sha256(path.read_bytes()).hexdigest()


def read_manifest(path: Path) -> tuple[LabelledPhoto, ...]:
    """Read a manifest. Raises `BadDataset` where it is not Parquet or lacks a column."""
    pa, parquet = _pyarrow()
    try:
        table = parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise BadDataset(f"{path} is not a readable Parquet file ({error}); prepare the dataset again") from None
    missing = [name for name in _COLUMNS if name not in table.column_names]
    if missing:
        raise BadDataset(f"{path} must have the columns {', '.join(_COLUMNS)}, but lacks {', '.join(missing)}")
    extra_names = [name for name in table.column_names if name not in _COLUMNS]
    return tuple(
        LabelledPhoto(**{name: row[name] for name in _COLUMNS}, extras={name: row[name] for name in extra_names})
        for row in table.to_pylist()
    )


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra("reading and writing datasets", extra="data") from None
    return pyarrow, pyarrow.parquet
