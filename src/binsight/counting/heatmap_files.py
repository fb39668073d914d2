"""Counting photos and keeping a heat map of each: one picture a photo, in one folder."""

import io
import re
from collections import deque
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path, PurePosixPath

from binsight.counting.counter import Counter, PhotoBytes
from binsight.counting.heatmap import occlusion_map
from binsight.counting.heatmap_picture import caption_lines, draw_heatmap
from binsight.errors import BadPhoto, MissingObject
from binsight.imaging import decode_photo
from binsight.imaging.prepare import OVERSAMPLING
from binsight.records import CountEstimate, CountFailure
from binsight.storage.files import make_folder, written_whole

QUALITY = 90
MOST_LETTERS = 80
"""Of a photo's name in the name of its map; the rest of the name only tells apart, and the checksum does that."""


def count_with_heatmaps(
    counter: Counter, photos: Iterable[tuple[str, PhotoBytes]], folder: Path, *, read_labels: bool = False
) -> Iterator[tuple[CountEstimate | CountFailure, Path | None]]:
    """What `Counter.count` gives for every photo, and where its heat map lies; None for one that was not counted.

    Each photo is read twice, once to count it and once to draw it, so that few are held at a time. Raises `BadInput`
    where `folder` is a file and `StorageFailure` where it cannot be written.
    """
    make_folder(folder)
    begun: deque[PhotoBytes] = deque()

    def remembered() -> Iterator[tuple[str, PhotoBytes]]:
        for name, photo in photos:
            begun.append(photo)
            yield name, photo

    for result in counter.count(remembered(), read_labels=read_labels):
        photo = begun.popleft()
        yield (result, None) if isinstance(result, CountFailure) else _drawn(counter, photo, result, folder)


def heatmap_name(photo: str) -> str:
    """The file name of a photo's heat map, such as `00062-9c56cc51.jpg`: of safe letters, and another for each photo.

    Photos of the same name in different folders or buckets differ in the checksum, which is of the whole name.
    """
    stem = re.sub(r"[^\w.\-]+", "-", PurePosixPath(photo).stem, flags=re.ASCII).strip(".-")[:MOST_LETTERS]
    return f"{stem or 'photo'}-{sha256(photo.encode(errors='surrogateescape')).hexdigest()[:8]}.jpg"


def heatmap_jpeg(counter: Counter, data: bytes, estimate: CountEstimate) -> bytes:
    """The picture of where the model looked in one photo, as a JPEG; about 120 answers of the network long.

    The caption is in the picture and, for those who cannot see it, in the file's comment. Raises `BadPhoto` as
    `decode_photo` does.
    """
    enough_side = OVERSAMPLING * counter.bundle.spec.preprocessing.size  # the very pixels that were counted
    image = decode_photo(data, name=estimate.photo, limits=counter.limits, enough_side=enough_side)
    map_RC = occlusion_map(counter, image)
    file = io.BytesIO()
    comment = ". ".join(caption_lines(map_RC, estimate))
    draw_heatmap(image, map_RC, estimate).save(file, "JPEG", quality=QUALITY, subsampling="4:4:4", comment=comment)
    return file.getvalue()


def write_heatmap(counter: Counter, data: bytes, estimate: CountEstimate, folder: Path) -> Path:
    """Write `heatmap_jpeg` into `folder`; its path. Raises as that does, and `StorageFailure` where the disk fails."""
    path = folder / heatmap_name(estimate.photo)
    jpeg = heatmap_jpeg(counter, data, estimate)
    with written_whole(path) as part:
        part.write_bytes(jpeg)
    return path


def _drawn(
    counter: Counter, photo: PhotoBytes, estimate: CountEstimate, folder: Path
) -> tuple[CountEstimate | CountFailure, Path | None]:
    """The estimate and its map, or a failure where the photo has gone or changed since it was counted."""
    try:
        return estimate, write_heatmap(counter, photo() if callable(photo) else photo, estimate, folder)
    except (BadPhoto, MissingObject) as error:
        return CountFailure(photo=estimate.photo, error=str(error)), None
