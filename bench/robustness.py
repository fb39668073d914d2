"""Whether counting cares how a photo was stored: the same photos as they are and saved again, in pairs.

python bench/robustness.py DATASET [--model BUNDLE] [--split val] [--where COLUMN=VALUE] [--originals FOLDER]

Each photo of the dataset is counted as its file is, and then saved again in other ways. With --originals only photos
are taken of which FOLDER holds a larger original under the same id, and that is counted instead of what is saved again.
Differences are other minus file, with 95% intervals resampled by chain of bins. It ends non-zero where a way of saving
makes answers less often right, or right or one off, by more than chance explains.
"""

import argparse
import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from binsight.cli.evaluate import conditions
from binsight.counting import Counter, default_bundle
from binsight.dataset.manifest import Dataset, LabelledPhoto
from binsight.decision.resample import Interval, difference_intervals, share_interval
from binsight.decision.scores import Floats, Ints, photo_scores
from binsight.errors import BadInput
from binsight.imaging import decode_photo
from binsight.model.evaluate import select
from binsight.progress import progress_bar

MEASURES = ("exact", "within_one", "nll")
LARGE_SIDE = 1200
"""Shorter side in pixels of a photo that is decoded at a half of its size or less on the way to a network."""
FILE_QUALITY = 80
"""The quality of the shared copies of the Amazon Bin Image Dataset's photos."""

Resize = Callable[[Image.Image], Image.Image]


def saved(
    form: str, *, quality: int | None = None, resize: Resize = lambda image: image
) -> Callable[[bytes], bytes]:
    """How to save a photo again, as bytes from bytes: in a format, with a quality from 1 to 100, at another size."""

    def save(data: bytes) -> bytes:
        file = io.BytesIO()
        options = {} if quality is None else {"quality": quality}
        resize(decode_photo(data)).save(file, form, **options)
        return file.getvalue()

    return save


def to_shorter_side(pixels: int) -> Resize:
    """Resize to this shorter side, proportions kept."""

    def resize(image: Image.Image) -> Image.Image:
        scale = pixels / min(image.size)
        return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)

    return resize


def half(image: Image.Image) -> Image.Image:
    """Half the width and height."""
    return image.resize((max(1, image.width // 2), max(1, image.height // 2)), Image.Resampling.LANCZOS)


def squash(image: Image.Image) -> Image.Image:
    """224 × 224 pixels, proportions lost, as some collections of the Amazon Bin Image Dataset were kept."""
    return image.resize((224, 224), Image.Resampling.LANCZOS)


# Sizes are changed without loss, so that each line has one cause.
WAYS: dict[str, Callable[[bytes], bytes]] = {
    "PNG": saved("PNG"),
    "JPEG 95": saved("JPEG", quality=95),
    "JPEG 75": saved("JPEG", quality=75),
    "JPEG 50": saved("JPEG", quality=50),
    "WebP 80": saved("WEBP", quality=80),
    "224 squash": saved("PNG", resize=squash),
    "half size": saved("PNG", resize=half),
    f"{LARGE_SIDE} pixels, JPEG 95": saved("JPEG", quality=95, resize=to_shorter_side(LARGE_SIDE)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One measure of the photos as files and saved another way, and the difference with its 95% interval."""

    file: float
    other: float
    difference: float
    interval: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What one way of saving does. `changed` is the share of photos with another answer. `moved` is by how many items
    the mean count moves on average, whichever way it goes, and `shift` the same with its sign."""

    way: str
    num_photos: int
    num_groups: int
    measures: Mapping[str, Difference]
    changed: float
    changed_interval: Interval | None
    moved: float
    shift: float

    @property
    def loses(self) -> bool:
        """Whether accuracy falls by more than chance explains."""
        found = (self.measures[name].interval for name in ("exact", "within_one"))
        return any(interval is not None and interval.high < 0 for interval in found)


def compare_way(way: str, file_BK: Floats, other_BK: Floats, counts_B: Ints, groups: Sequence[str]) -> Way:
    """Measure the estimates of photos saved another way against those of the files, both (B, K)."""
    ours, theirs = photo_scores(other_BK, counts_B), photo_scores(file_BK, counts_B)
    intervals = difference_intervals(ours, theirs, groups)
    changed_B: npt.NDArray[np.bool_] = ours.answer != theirs.answer
    moves_B = (other_BK - file_BK) @ np.arange(file_BK.shape[1])
    measures = {}
    for name in MEASURES:
        other, file = (float(getattr(scores, name).mean()) for scores in (ours, theirs))
        interval = None if intervals is None else intervals[name]
        measures[name] = Difference(file=file, other=other, difference=other - file, interval=interval)
    return Way(
        way=way,
        num_photos=len(counts_B),
        num_groups=len(set(groups)),
        measures=measures,
        changed=float(changed_B.mean()),
        changed_interval=share_interval(changed_B, groups),
        moved=float(np.abs(moves_B).mean()),
        shift=float(moves_B.mean()),
    )


def with_originals(photos: Sequence[LabelledPhoto], folder: Path) -> tuple[LabelledPhoto, ...]:
    """The photos of which the folder holds an original. Raises `BadInput` where there is none."""
    found = tuple(photo for photo in photos if (folder / f"{photo.photo}.jpg").is_file())
    if not found:
        raise BadInput(
            f"{folder} holds no original (ID.jpg) of the {len(photos):,} photos chosen; name another folder"
        )
    return found


def measure(
    counter: Counter, dataset: Dataset, photos: Sequence[LabelledPhoto], originals: Path | None
) -> list[Way]:
    """Count all photos as files and in every way. Raises `BadPhoto` for the first that cannot be read."""
    counts_B = np.array([photo.count for photo in photos])
    groups = [photo.group for photo in photos]
    with progress_bar("photos") as bar:

        def probs(what: str, read: Callable[[LabelledPhoto], bytes]) -> Floats:
            reads = [partial(read, photo) for photo in photos]
            return counter.probs(bar.track(reads, description=what))

        file_BK = probs("file", dataset.read_bytes)
        ways = {way: partial(_saved_again, dataset, save) for way, save in WAYS.items()}
        return [
            compare_way(way, file_BK, probs(way, read), counts_B, groups)
            for way, read in (ways if originals is None else of_originals(dataset, originals)).items()
        ]


def _saved_again(dataset: Dataset, save: Callable[[bytes], bytes], photo: LabelledPhoto) -> bytes:
    return save(dataset.read_bytes(photo))


def of_originals(dataset: Dataset, folder: Path) -> dict[str, Callable[[LabelledPhoto], bytes]]:
    """The original as it is, at the size of the dataset's file, and so saved as JPEG.

    What is left of a difference at the file's size is not the size, and what is gone as JPEG was the compression.
    """

    def original(photo: LabelledPhoto) -> bytes:
        return (folder / f"{photo.photo}.jpg").read_bytes()

    def at_size(photo: LabelledPhoto, form: str, quality: int | None) -> bytes:
        size = decode_photo(dataset.read_bytes(photo)).size
        save = saved(form, quality=quality, resize=lambda image: image.resize(size, Image.Resampling.LANCZOS))
        return save(original(photo))

    return {
        "original": original,
        "original, file's size": lambda photo: at_size(photo, "PNG", None),
        f"original, so, JPEG {FILE_QUALITY}": lambda photo: at_size(photo, "JPEG", FILE_QUALITY),
    }


def _text(way: Way) -> str:
    cells = [f"{way.way:<28}"]
    for name, label, scale in (("exact", "exact", 100), ("within_one", "within ±1", 100), ("nll", "NLL", 1)):
        found, decimals = way.measures[name], 1 if scale == 100 else 3
        span = ""
        if found.interval is not None:
            span = f" ({found.interval.low * scale:+.{decimals}f} to {found.interval.high * scale:+.{decimals}f})"
        cells.append(f"{label} {found.file * scale:.{decimals}f} {found.difference * scale:+.{decimals}f}{span}")
    return "  ".join(
        [*cells, f"answers changed {way.changed:.1%}, mean count moved by {way.moved:.2f} ({way.shift:+.2f})"]
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--model", type=Path, help="bundle (default: the shipped one)")
    parser.add_argument("--split", choices=["train", "val", "test"], default="val", help="default val")
    parser.add_argument(
        "--where", action="append", default=[], metavar="COLUMN=VALUE", help="as binsight evaluate has it"
    )
    parser.add_argument("--originals", type=Path, help="folder of larger originals, ID.jpg")
    parser.add_argument("--json", action="store_true", help="print a JSON line for each way instead of text")
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse()
    opened = Dataset.open(arguments.dataset)
    chosen = select(opened, arguments.split, conditions(tuple(arguments.where))).photos
    if arguments.originals:
        chosen = with_originals(chosen, arguments.originals)
    ways = measure(Counter.load(arguments.model or default_bundle()), opened, chosen, arguments.originals)
    if not arguments.json:
        print(
            f"{ways[0].num_photos:,} photos in {ways[0].num_groups:,} chains of bins; other minus file, in points"
        )
    for way in ways:
        print(json.dumps(asdict(way) | {"loses": way.loses}) if arguments.json else _text(way))
    losing = [way.way for way in ways if way.loses]
    if not arguments.json:
        print(f"goal no way loses beyond chance: {'NOT met: ' + ', '.join(losing) if losing else 'met'}")
    sys.exit(1 if losing else 0)
