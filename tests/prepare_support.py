"""Small worlds for the tests of `data prepare`."""

import json
import shutil
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from binsight.dataset.manifest import LabelledPhoto, Split
from binsight.dataset.prepare import Prepared, PrepareOptions, prepare
from binsight.dataset.split import parse_shares
from binsight.records import BinRecord, RecordItem


def record(photo: str, *skus: str) -> BinRecord:
    """A record of one unit of each item."""
    return BinRecord(photo=photo, expected=len(skus), items=tuple(RecordItem(sku=sku, quantity=1) for sku in skus))


def labelled(photo: str, *, split: Split = "train", count: int = 1, **extras: str) -> LabelledPhoto:
    return LabelledPhoto(
        photo=photo,
        file=f"{split}/{photo}.jpg",
        count=count,
        split=split,
        group=photo,
        sha256="0" * 64,
        width=320,
        height=240,
        extras=extras,
    )


def write_photo(path: Path, *, seed: int) -> None:
    """A noise picture that is like no other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((160, 120), Image.Resampling.NEAREST).save(path, quality=90)


def drawn_source(folder: Path, items: Mapping[str, Iterable[str]]) -> Path:
    """A source in ABID's layout: for every photo id the items of its record."""
    (folder / "metadata").mkdir(parents=True, exist_ok=True)
    for photo, skus in items.items():
        write_photo(folder / "bin-images" / f"{photo}.jpg", seed=int(photo))
        write_record(folder, photo, skus)
    return folder


def write_record(folder: Path, photo: str, skus: Iterable[str]) -> None:
    lines = {sku: {"name": sku, "quantity": 1} for sku in skus}
    text = json.dumps({"BIN_FCSKU_DATA": lines, "EXPECTED_QUANTITY": len(lines)})
    (folder / "metadata" / f"{photo}.json").write_text(text)


def real_source(abid: Path, folder: Path, ids: Iterable[str]) -> Path:
    """Some of the real photos with their real records, in ABID's layout."""
    wanted = set(ids)
    (folder / "bin-images").mkdir(parents=True)
    for photo in wanted:
        if (abid / "bin-images" / f"{photo}.jpg").is_file():
            shutil.copy(abid / "bin-images" / f"{photo}.jpg", folder / "bin-images")
    with tarfile.open(abid / "metadata.tar.gz") as archive:
        for member in archive:
            if Path(member.name).stem in wanted and member.isfile():
                archive.extract(member, folder, filter="data")
    return folder


CHAINS = {f"{n:05}": (f"item{n // 2}",) for n in range(2, 62)}


def run(folder: Path, dataset: Path, labels: Path | None = None, **options: Any) -> Prepared:
    given = {"shares": parse_shares("70/20/10")} | options
    return prepare(folder, dataset, labels=labels, options=PrepareOptions(**given))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
