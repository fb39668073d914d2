"""How often drift is found where there is none, and how much of it is found where there is some.

python bench/drift.py DATASET [--model BUNDLE] [--where COLUMN=VALUE]… [--other COLUMN=VALUE]… [--draws 200] [--keep FOLDER]

The reference is of the `val` photos that --where chooses, the windows are of `test` photos: whole chains of bins drawn at
random, as a camera sees them, until there are 100, 200 or 500 photos. Windows of photos as they are should not be
found, nor those of one half of the val chains against the other; photos made darker, blurred or saved again, and those
that --other chooses, should. A share is of single looks; the service wants two in a row. --keep keeps what was measured
of the photos, and takes it from there the next time. It ends non-zero where more than 5% of the windows without drift
are found.
"""

import argparse
import io
import json
import sys
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from binsight.cli.evaluate import conditions
from binsight.counting import Counter, default_bundle
from binsight.dataset.manifest import Dataset, LabelledPhoto
from binsight.decision.drift import Drift, measure_drift
from binsight.decision.reference import make_reference
from binsight.decision.two_sample import Floats
from binsight.imaging import decode_photo
from binsight.model.evaluate import select
from binsight.model.reference import features_of_bytes

SIZES = (100, 200, 500)
MOST_FALSE = 0.05
FILE_QUALITY = 80
"""The quality of the shared copies of the Amazon Bin Image Dataset's photos: what is changed is saved with it again."""

Change = Callable[[Image.Image], Image.Image]


def saved(quality: int, change: Change = lambda image: image) -> Callable[[bytes], bytes]:
    """How to change a photo and save it again as JPEG, as bytes from bytes."""

    def save(data: bytes) -> bytes:
        file = io.BytesIO()
        change(decode_photo(data)).save(file, "JPEG", quality=quality)
        return file.getvalue()

    return save


WAYS: Mapping[str, Callable[[bytes], bytes]] = {
    "saved again, JPEG 80": saved(FILE_QUALITY),
    "saved again, JPEG 50": saved(50),
    "10% darker": saved(FILE_QUALITY, lambda image: ImageEnhance.Brightness(image).enhance(0.9)),
    "20% darker": saved(FILE_QUALITY, lambda image: ImageEnhance.Brightness(image).enhance(0.8)),
    "blurred by 1.5 pixels": saved(FILE_QUALITY, lambda image: image.filter(ImageFilter.GaussianBlur(1.5))),
}


class Measured:
    """Features of photos, from the file that keeps them where there is one."""

    def __init__(self, dataset: Dataset, model: Path, folder: Path | None) -> None:
        self._dataset, self._counter, self._folder = dataset, Counter.load(model), folder

    def rows(self, name: str, photos: tuple[LabelledPhoto, ...], change: Callable[[bytes], bytes]) -> Floats:
        """The features (B, F) of the photos, each changed first."""
        version = self._counter.bundle.version
        path = self._folder and self._folder / f"{version}-{name.replace(' ', '-')}-{len(photos)}.npy"
        if path and path.is_file():
            kept: Floats = np.load(path, allow_pickle=False)
            return kept
        named = ((photo.photo, change(self._dataset.read_bytes(photo))) for photo in photos)
        rows = np.array(list(features_of_bytes(self._counter, named, len(photos))))
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, rows)
        return rows


def windows(groups: np.ndarray[Any, Any], size: int, num_draws: int, seed: int) -> Iterator[np.ndarray[Any, Any]]:
    """Places of the photos of whole chains, drawn at random until there are `size`; fewer where there are no more."""
    chains, starts = np.unique(groups, return_inverse=True)
    by_chain = [np.flatnonzero(starts == place) for place in range(len(chains))]
    for draw in range(num_draws):
        order = np.random.default_rng([seed, draw]).permutation(len(chains))
        yield np.concatenate([by_chain[place] for place in order])[:size]


def line(what: str, size: int, drifts: list[Drift]) -> dict[str, Any]:
    """What was found in all windows of one kind."""
    named = Tally(feature.name for drift in drifts for feature in drift.drifting)
    return {
        "photos": what,
        "window": size,
        "found": float(np.mean([drift.is_drifting for drift in drifts])),
        "by_a_feature": float(np.mean([bool(drift.drifting) for drift in drifts])),
        "by_the_classifier": float(np.mean([drift.is_separable for drift in drifts])),
        "auc": float(np.mean([drift.separation.auc for drift in drifts])),
        "features": [name for name, times in named.most_common(3) if times > len(drifts) / 10],
    }


def halves(rows: Floats, groups: np.ndarray[Any, Any], num_draws: int) -> Iterator[dict[str, Any]]:
    """Windows of one half of the chains against the other half."""
    chains = np.unique(groups)
    for size in SIZES[:2]:
        drifts = []
        for draw in range(num_draws):
            here = np.isin(groups, np.random.default_rng([7, draw]).permutation(chains)[: len(chains) // 2])
            reference = make_reference(rows[here], dataset_sha256="", split="val")
            (window,) = windows(groups[~here], size, 1, draw)
            drifts.append(measure_drift(reference, rows[~here][window]))
        yield line("val, one half against the other", size, drifts)


def main() -> int:
    """Print a line a window, and end non-zero where drift is found too often where there is none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--model", type=Path, default=default_bundle())
    parser.add_argument("--where", action="append", default=[])
    parser.add_argument("--other", action="append", default=[])
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    dataset = Dataset.open(asked.dataset)
    measured = Measured(dataset, asked.model, asked.keep)
    val, test = (select(dataset, split, conditions(tuple(asked.where))).photos for split in ("val", "test"))
    val_rows = measured.rows("val", val, bytes)
    reference = make_reference(val_rows, dataset_sha256=dataset.digest, split="val")
    kinds = {"test, as they are": (test, bytes)} | {way: (test, change) for way, change in WAYS.items()}
    if asked.other:
        kinds[f"test, {' '.join(asked.other)}"] = (
            select(dataset, "test", conditions(tuple(asked.other))).photos,
            bytes,
        )
    lines = []

    def say(found: dict[str, Any]) -> None:
        lines.append(found)
        text = f"{found['photos']:<34}{found['window']:>4}  {found['found']:>6.1%} (a feature {found['by_a_feature']:.1%}, "
        text += (
            f"classifier {found['by_the_classifier']:.1%}, AUC {found['auc']:.2f}) {' '.join(found['features'])}"
        )
        print(json.dumps(found) if asked.json else text, flush=True)

    for found in halves(val_rows, np.array([photo.group for photo in val]), asked.draws):
        say(found)
    for what, (photos, change) in kinds.items():
        rows, groups = measured.rows(what, photos, change), np.array([photo.group for photo in photos])
        for size in SIZES:
            say(
                line(what, size, [measure_drift(reference, rows[w]) for w in windows(groups, size, asked.draws, 1)])
            )
    false = [found["found"] for found in lines if found["photos"].startswith(("val,", "test, as"))]
    return int(max(false) > MOST_FALSE)


if __name__ == "__main__":
    sys.exit(main())
