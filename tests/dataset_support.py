"""Small datasets of real photos, made without the command that makes datasets."""

import csv
import json
import shutil
from collections.abc import Mapping
from hashlib import sha256
from io import BytesIO
from pathlib import Path

from PIL import ExifTags, Image

from binsight.dataset.manifest import Dataset, LabelledPhoto, Split, write_manifest

EXTRAS = ("kind", "collection", "in_file_list", "original_width")


def real_dataset(
    abid: Path, folder: Path, sizes: Mapping[Split, int], *, where: Mapping[str, str] | None = None
) -> Dataset:
    """The first so many photos of each split of the shared labels, as a dataset in `folder`."""
    left = dict(sizes)
    photos = []
    with (abid / "labels.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            split: Split = row["split"]  # type: ignore[assignment]
            if not left.get(split) or not row["count"]:
                continue
            if any(row[name] != value for name, value in (where or {}).items()):
                continue
            left[split] -= 1
            photos.append(_take(abid, folder, row, split))
    assert not any(left.values()), f"the shared labels hold too few photos: {left} are missing"
    digest = write_manifest(folder / "manifest.parquet", tuple(photos))
    (folder / "dataset.json").write_text(json.dumps({"sha256": digest}))
    return Dataset.open(folder)


def _take(abid: Path, folder: Path, row: Mapping[str, str], split: Split) -> LabelledPhoto:
    name = f"{row['image_id']}.jpg"
    (folder / split).mkdir(parents=True, exist_ok=True)
    shutil.copyfile(abid / "bin-images" / name, folder / split / name)
    data = (folder / split / name).read_bytes()
    width, height = _size(data)
    return LabelledPhoto(
        photo=row["image_id"],
        file=f"{split}/{name}",
        count=int(row["count"]),
        split=split,
        group=row["group"],
        sha256=sha256(data).hexdigest(),
        width=width,
        height=height,
        extras={name: row[name] for name in EXTRAS},
    )


def _size(data: bytes) -> tuple[int, int]:
    """By the header, which is enough for these: all of them lie upright."""
    with Image.open(BytesIO(data)) as image:
        assert image.getexif().get(ExifTags.Base.Orientation, 1) == 1
        return image.size
