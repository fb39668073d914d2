"""Preparing a large dataset, against decoding its photos and doing nothing else; and preparing it again with 1% more.

python -m bench.prepare ../shared/abid [--photos 20000] [--folder DIR]

Real photos are cut a little differently and mirrored each time that they come again, so that no two are the same picture,
and get ids and items of their own. Decoding alone reads each file and decodes it whole, in as many processes.
"""

import argparse
import json
import os
import shutil
import tarfile
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from binsight.dataset.check import by_processes
from binsight.dataset.prepare import PrepareOptions, prepare
from binsight.dataset.split import parse_shares
from binsight.imaging import decode_photo

NUM_JOBS = os.cpu_count() or 1
STEP = 5
"""Pixels that each further round of the real photos is cut by."""


def records_of(abid: Path) -> dict[str, dict[str, Any]]:
    with tarfile.open(abid / "metadata.tar.gz") as archive:
        files = ((Path(member.name).stem, archive.extractfile(member)) for member in archive if member.isfile())
        return {photo: json.loads(file.read()) for photo, file in files if file is not None}


def write_one(number: int, *, abid: Path, names: list[str], folder: Path) -> None:
    """Photo `number` of the source."""
    rounds, place = divmod(number, len(names))
    path = abid / "bin-images" / f"{names[place]}.jpg"
    target = folder / "bin-images" / f"{number:07}.jpg"
    if rounds == 0:
        shutil.copyfile(path, target)
        return
    with Image.open(path) as opened:
        photo = opened.convert("RGB")
    cut = STEP * (rounds // 2)
    photo = photo.crop((cut, cut // 2, photo.width, photo.height - cut))
    (ImageOps.mirror(photo) if rounds % 2 else photo).save(target, quality=80)


def make_source(abid: Path, folder: Path, numbers: range) -> None:
    (folder / "bin-images").mkdir(parents=True, exist_ok=True)
    (folder / "metadata").mkdir(exist_ok=True)
    records = {
        photo: record for photo, record in records_of(abid).items() if (abid / f"bin-images/{photo}.jpg").exists()
    }
    names = sorted(records)
    with ProcessPoolExecutor(NUM_JOBS, mp_context=get_context("spawn")) as pool:
        list(pool.map(partial(write_one, abid=abid, names=names, folder=folder), numbers, chunksize=256))
    for number in numbers:
        rounds, place = divmod(number, len(names))
        record = records[names[place]]
        items = {f"{sku}-{rounds}": item for sku, item in record["BIN_FCSKU_DATA"].items()}
        text = json.dumps(record | {"BIN_FCSKU_DATA": items})
        (folder / "metadata" / f"{number:07}.json").write_text(text)


def decode_all(paths: list[Path]) -> int:
    return sum(decode_photo(path.read_bytes()).width > 0 for path in paths)


def decoding(folder: Path) -> float:
    """Seconds of decoding alone."""
    start = time.perf_counter()
    paths = sorted((folder / "bin-images").iterdir())
    blocks = [paths[first : first + 256] for first in range(0, len(paths), 256)]
    with ProcessPoolExecutor(NUM_JOBS, mp_context=get_context("spawn")) as pool:
        assert sum(pool.map(decode_all, blocks)) == len(paths)
    return time.perf_counter() - start


def preparing(source: Path, dataset: Path, extend: Path | None = None) -> float:
    start = time.perf_counter()
    options = PrepareOptions(shares=parse_shares("70/20/10"), check=by_processes(NUM_JOBS), extend=extend)
    prepare(source, dataset, labels=None, options=options)
    return time.perf_counter() - start


def measure(abid: Path, folder: Path, num_photos: int) -> dict[str, float]:
    num_more = num_photos // 100
    source, more = folder / "source", folder / "more"
    make_source(abid, source, range(num_photos))
    make_source(abid, more, range(num_photos, num_photos + num_more))
    seconds = {"decoding alone": decoding(source), "preparing": preparing(source, folder / "whole")}
    seconds["the 1% by itself"] = preparing(more, folder / "part")
    for kind in ("bin-images", "metadata"):
        for path in (more / kind).iterdir():
            path.rename(source / kind / path.name)
    seconds["the 1% added"] = preparing(source, folder / "extended", folder / "whole")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("abid", type=Path)
    parser.add_argument("--photos", type=int, default=20_000, help="photos of the large dataset (default 20000)")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        seconds = measure(given.abid, Path(name), given.photos)
    for what, took in seconds.items():
        print(f"{took:8.1f} s  {what}")
    print(f"preparing against decoding alone: {seconds['decoding alone'] / seconds['preparing']:.2f} (goal 0.8)")
    print(f"1% added against the whole: {seconds['the 1% added'] / seconds['preparing']:.3f}")


if __name__ == "__main__":
    main()
