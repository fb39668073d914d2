"""The dataset artifact: an immutable folder of split, labelled photos.

```
DATASET/
├── dataset.json        identity (sha256 of the manifest), seed, shares, counts, where it came from
├── manifest.parquet    one row a photo: LabelledPhoto's fields, then further columns of records and labels
├── rejects.csv         photo, reason, detail
├── croissant.json      Croissant metadata
└── train | val | test  a split without photos has no folder
    ├── metadata.jsonl  HF ImageFolder: {"file_name", "count", …}
    └── <photo>.jpg
```

`dataset.json` is written last, so that a folder that has one is whole. A dataset may also be packed (`shards`), and lie
in an object store (`remote`).
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import repeat
from pathlib import Path
from typing import Any, Literal, get_args

from binsight.dataset.bulk import no_garbage_collected
from binsight.dataset.photo_files import FolderFiles, PhotoFiles
from binsight.errors import BadDataset, MissingExtra, MissingObject
from binsight.storage.objects import open_store

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
MANIFEST_NAME = "manifest.parquet"
SUMMARY_NAME = "dataset.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPhoto:
    """One photo of a dataset and what its record says.

    `file` is relative to the dataset folder. `group` names the chain of linked photos: photos that share a
    group share a split, and intervals are resampled by group. `extras` holds the further columns of the
    labels (`kind`, `collection`, …) and of the records (`item_lines`, …) as strings; they slice reports, and some
    may be learnt beside the count, but no network is ever given them.
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
_NUMBERS = ("count", "width", "height")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """An opened dataset: its folder, its identity and its photos in manifest order."""

    folder: Path
    digest: str
    photos: tuple[LabelledPhoto, ...]
    files: PhotoFiles

    @classmethod
    def open(cls, place: "Path | str") -> "Dataset":
        """Open a dataset: a folder, or `s3://bucket/prefix`, whose `folder` then holds the manifest alone.

        Raises `MissingObject` or `BadDataset`, naming what is wrong with it, and of a bucket as `Objects.read` does.
        """
        if isinstance(place, str) and "://" in place:
            from binsight.dataset.remote import open_remote  # which opens its copy of the manifest by this class

            return open_remote(place)
        folder = Path(place)
        return cls.of(folder, files=_files(folder))

    @classmethod
    def of(cls, folder: Path, *, files: PhotoFiles) -> "Dataset":
        """The dataset whose manifest lies in `folder`, and whose photos are `files`. Raises as `open` does."""
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
        return cls(folder=folder, digest=digest, photos=photos, files=files)

    def select(
        self, split: Split | None = None, *, where: Callable[[LabelledPhoto], bool] | None = None
    ) -> tuple[LabelledPhoto, ...]:
        """The photos of a split (or of all) for which `where` holds."""
        return tuple(
            photo
            for photo in self.photos
            if (split is None or photo.split == split) and (where is None or where(photo))
        )

    def verify(self) -> None:
        """Raise `BadDataset` for the first photo whose file is gone or has another checksum than the manifest's."""
        for photo in self.photos:
            if sha256(self.read_bytes(photo)).hexdigest() != photo.sha256:
                raise BadDataset(
                    f"{self.folder / photo.file} must have the checksum that the manifest names, but was changed; "
                    "prepare the dataset again"
                )

    def read_bytes(self, photo: LabelledPhoto) -> bytes:
        """The photo's file. Raises `BadDataset` where it is gone."""
        return self.files.read([photo])[0]

    def path_of(self, photo: LabelledPhoto) -> Path:
        """The photo as a file. Raises `BadDataset` where photos lie otherwise than as files of the dataset's folder."""
        if not isinstance(self.files, FolderFiles):
            raise BadDataset(
                f"{self.folder.name} must be a folder of photos for this, but is packed or lies in an object store; "
                "name the folder that it was made from"
            )
        return self.folder / photo.file


def _files(folder: Path) -> PhotoFiles:
    from binsight.dataset import shards  # which reads rows of this module

    if not (folder / shards.SHARDS_NAME).is_file():
        return FolderFiles(folder)
    return shards.ShardFiles(open_store(str(folder)), shards.read_places(folder / shards.SHARDS_NAME))


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


def further_columns(photos: Iterable[LabelledPhoto]) -> list[str]:
    """The names of all columns beyond every dataset's own, sorted."""
    return sorted({name for photo in photos for name in photo.extras})


@no_garbage_collected()
def write_manifest(path: Path, photos: tuple[LabelledPhoto, ...]) -> str:
    """Write the manifest, photos in the order given, and return its sha256. The same photos give the same bytes."""
    pa, parquet = arrow()
    extra_names = further_columns(photos)
    assert not set(extra_names) & set(_COLUMNS), "a further column may not be called like one of the manifest's own"
    columns = {name: [getattr(photo, name) for photo in photos] for name in _COLUMNS}
    columns |= {name: [photo.extras.get(name, "") for photo in photos] for name in extra_names}
    schema = pa.schema([(name, pa.int64() if name in _NUMBERS else pa.string()) for name in columns])
    parquet.write_table(pa.table(columns, schema=schema), path, compression="zstd")
    return sha256(path.read_bytes()).hexdigest()


@no_garbage_collected()
def read_manifest(path: Path) -> tuple[LabelledPhoto, ...]:
    """Read a manifest. Raises `BadDataset` where it is not Parquet, lacks a column or holds impossible values."""
    pa, _ = arrow()
    try:
        table = read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise BadDataset(f"{path} is not a readable Parquet file ({error}); prepare the dataset again") from None
    missing = [name for name in _COLUMNS if name not in table.column_names]
    if missing:
        raise BadDataset(
            f"{path} must have the columns {', '.join(_COLUMNS)}, but lacks {', '.join(missing)}; "
            "prepare the dataset again"
        )
    columns = {name: table[name].to_pylist() for name in table.column_names}
    _check_columns(columns, path)
    extra_names = [name for name in columns if name not in _COLUMNS]
    own_rows = zip(*(columns[name] for name in _COLUMNS), strict=True)
    extra_columns = [[str(cell or "") for cell in columns[name]] for name in extra_names]
    extra_rows = zip(*extra_columns, strict=True) if extra_columns else repeat(())
    return tuple(
        LabelledPhoto(**dict(zip(_COLUMNS, own, strict=True)), extras=dict(zip(extra_names, further, strict=True)))
        for own, further in zip(own_rows, extra_rows, strict=False)
    )


def _check_columns(columns: Mapping[str, Sequence[Any]], path: Path) -> None:
    """A manifest may come from anywhere: its values are checked, and its files must lie inside the dataset."""
    again = "prepare the dataset again"
    for name in _COLUMNS:
        if name in _NUMBERS:
            good, must = lambda cell: isinstance(cell, int) and cell >= 0, "be a whole number of 0 or more"
        else:
            good, must = lambda cell: isinstance(cell, str), "be text"
        _check_cells(columns, name, good, must, path, again)
    _check_cells(columns, "split", SPLITS.__contains__, f"be one of {', '.join(SPLITS)}", path, again)
    _check_cells(columns, "file", _is_inside, "lie in the dataset's folder", path, "do not use this dataset")


def _check_cells(
    columns: Mapping[str, Sequence[Any]], name: str, good: Callable[[Any], bool], must: str, path: Path, mend: str
) -> None:
    for photo, cell in zip(columns["photo"], columns[name], strict=True):
        if not good(cell):
            raise BadDataset(f"{path}: {name} of photo {photo} must {must}, but is {cell!r}; {mend}")


def _is_inside(file: str) -> bool:
    return not file.startswith("/") and ".." not in file.split("/")


def read_table(path: Path) -> Any:
    """A Parquet file as a table of PyArrow; its own function of this name imports pandas first, which takes 0.4 s."""
    _, parquet = arrow()
    with parquet.ParquetFile(path) as file:
        return file.read()


def arrow() -> tuple[Any, Any]:
    """PyArrow and its Parquet. Raises `MissingExtra` without them."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra("reading and writing datasets", extra="data") from None
    return pyarrow, pyarrow.parquet
