"""What a manifest and its chains cost at a thousand to a million rows: every operation that has to see them all.

    python -m bench.manifests ../shared/abid [--sizes 1000 10000 100000 1000000] [--folder DIR]

Rows are those of the real photos, again and again under new ids, with items and groups of their own each time. Pictures
are the real ones, then such as have one half of one photo and the other half of another, drawn anew for each.
"""

import argparse
import csv
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from bench.prepare import NUM_JOBS, records_of
from PIL import Image

from binsight.dataset.chains import Sighting, find_links
from binsight.dataset.folds import deal, fold_photos
from binsight.dataset.likeness import ENOUGH_SIDE, Fingerprint, fingerprint, near_identical_pairs
from binsight.dataset.manifest import Dataset, LabelledPhoto, write_manifest
from binsight.dataset.photo_files import FolderFiles
from binsight.dataset.split import assign, parse_shares
from binsight.imaging import decode_photo
from binsight.records import BinRecord

SHARES = parse_shares("70/20/10")
NEW_SHARE = 0.01
BLOCK = 5_000

Greys = npt.NDArray[np.uint8]


def grey(path: Path) -> Greys:
    """A photo as a fingerprint sees it, (64, 64)."""
    image = decode_photo(path.read_bytes(), enough_side=ENOUGH_SIDE)
    return np.asarray(image.convert("L").resize((ENOUGH_SIDE, ENOUGH_SIDE), Image.Resampling.BOX))


def fingerprints(block: int, *, greys: Path) -> list[Fingerprint]:
    """Fingerprints of one block of pictures: real photos as long as there are any, then halves of two."""
    photos: Greys = np.load(greys, mmap_mode="r")
    random = np.random.default_rng([7, block])
    found = []
    for number in range(block * BLOCK, (block + 1) * BLOCK):
        picture = np.array(photos[number % len(photos)])
        if number >= len(photos):
            other, half = photos[random.integers(len(photos))], ENOUGH_SIDE // 2
            if random.random() < 0.5:
                picture[half:] = other[half:]
            else:
                picture[:, half:] = other[:, half:]
        found.append(fingerprint(Image.fromarray(picture)))
    return found


def pictures(abid: Path, number: int, folder: Path) -> list[Fingerprint]:
    with ProcessPoolExecutor(NUM_JOBS, mp_context=get_context("spawn")) as pool:
        greys = list(pool.map(grey, sorted((abid / "bin-images").iterdir()), chunksize=256))
        np.save(folder / "greys.npy", np.stack(greys))
        blocks = pool.map(partial(fingerprints, greys=folder / "greys.npy"), range(-(-number // BLOCK)))
        return [one for block in blocks for one in block][:number]


def rows(abid: Path) -> Iterator[tuple[LabelledPhoto, BinRecord]]:
    """Rows without end, each with its record."""
    records = records_of(abid)
    with (abid / "labels.csv").open() as file:
        labelled = [row for row in csv.DictReader(file) if row["image_id"] in records]
    number = 0
    for again in range(1_000_000):
        for row in labelled:
            photo = f"{number:07}"
            fields = records[row["image_id"]]
            items = {f"{sku}-{again}": item for sku, item in fields["BIN_FCSKU_DATA"].items()}
            record = BinRecord.from_abid_json(json.dumps(fields | {"BIN_FCSKU_DATA": items}).encode(), photo=photo)
            yield (
                LabelledPhoto(
                    photo=photo,
                    file=f"train/{photo}.jpg",
                    count=record.expected,
                    split="train",
                    group=photo,
                    sha256=f"{number:064x}",
                    width=320,
                    height=320,
                    extras={"collection": row["collection"], **record.columns},
                ),
                record,
            )
            number += 1


@contextmanager
def timed(taken: dict[str, float], what: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    taken[what] = time.perf_counter() - start


def measure(
    given: list[tuple[LabelledPhoto, BinRecord]], prints: list[Fingerprint], folder: Path
) -> dict[str, Any]:
    """Seconds of each operation on so many rows, and what was found."""
    taken: dict[str, Any] = {"rows": len(given)}
    is_new = np.arange(len(given)) >= len(given) * (1 - NEW_SHARE)
    with timed(taken, "near-identical pairs, all new"):
        pairs = near_identical_pairs(prints)
    with timed(taken, "near-identical pairs, 1% new"):
        again = near_identical_pairs(prints, (~is_new).tolist())
    assert set(again) <= set(pairs) and sum(is_new[j] or is_new[i] for i, j in pairs) <= len(again)
    with timed(taken, "links by items, neighbours and pictures"):
        sightings = [Sighting(photo=photo.photo, skus=record.skus) for photo, record in given]
        links = find_links(sightings, [(given[i][0].photo, given[j][0].photo) for i, j in pairs])
    with timed(taken, "chains and splits"):
        assigned = assign([photo.photo for photo, _ in given], links, shares=SHARES, seed=0)
    chain_of, split_of = assigned.chain_of, assigned.split_of
    photos = tuple(replace(photo, group=chain_of[photo.photo], split=split_of[photo.photo]) for photo, _ in given)
    path = folder / "manifest.parquet"
    with timed(taken, "manifest written"):
        digest = write_manifest(path, photos)
    (folder / "dataset.json").write_text(json.dumps({"sha256": digest}))
    with timed(taken, "dataset opened, every row checked"):
        dataset = Dataset.of(folder, files=FolderFiles(folder))
    assert [photo.photo for photo in dataset.photos] == [photo.photo for photo in photos]
    with timed(taken, "photos of a split chosen by a column"):
        dataset.select("val", where=lambda photo: photo.extras["collection"] == "complete")
    with timed(taken, "five folds dealt, and the first one made"):
        fold_photos(dataset.photos, deal(dataset.photos, num_folds=5, seed=0), 0, seed=0)
    return taken | {
        "MiB of the manifest": path.stat().st_size / 2**20,
        "near-identical": len(pairs),
        "chains": len(set(chain_of.values())),
    }


def printed(name: str, values: list[float], show: Callable[[float], str]) -> str:
    return f"| {name} | {' | '.join(show(value) for value in values)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("abid", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        prints = pictures(args.abid, max(args.sizes), folder)
        given = list(islice(rows(args.abid), max(args.sizes)))
        results = []
        for size in args.sizes:
            results.append(measure(given[:size], prints[:size], folder))
            print(results[-1], flush=True)
    for what in results[0]:
        is_count = what in ("rows", "near-identical", "chains")
        print(printed(what, [found[what] for found in results], "{:,.0f}".format if is_count else "{:.2f}".format))


if __name__ == "__main__":
    main()
