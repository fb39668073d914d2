"""Decoded pixels of a dataset, kept on disk: decoding and resizing cost more than reading them back.

The cache is one `.npy` per (dataset, preprocessing), named by both; it is safe to delete at any time. Pixels
come from `imaging.pixels_HWC`, the function that counting uses, and stay uint8 until `images_BCHW`.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from binsight import __version__
from binsight.dataset.manifest import Dataset, LabelledPhoto
from binsight.errors import StorageFailure
from binsight.imaging import Preprocessing, limits_set, pixels_HWC
from binsight.model.drawn_photos import drawn_pixels
from binsight.progress import progress_bar
from binsight.settings import settings
from binsight.storage.files import part_of


def cached_pixels(
    dataset: Dataset, photos: Sequence[LabelledPhoto], preprocessing: Preprocessing, *, num_drawn: int = 0
) -> npt.NDArray[np.uint8]:
    """Pixels of `photos`, uint8 (N, size, size, 3), memory-mapped, in the order given; then those of so many drawn bins."""
    key = sha256(preprocessing.model_dump_json().encode())
    for photo in photos:
        key.update(photo.sha256.encode())
    if num_drawn:
        key.update(f"drawn {num_drawn} by {__version__}".encode())
    path = settings().cache_dir.expanduser() / "pixels" / f"{key.hexdigest()[:32]}.npy"
    if not path.is_file():
        _fill(path, dataset, photos, preprocessing, num_drawn)
    pixels: npt.NDArray[np.uint8] = np.load(path, mmap_mode="r")
    return pixels


def _fill(
    path: Path, dataset: Dataset, photos: Sequence[LabelledPhoto], preprocessing: Preprocessing, num_drawn: int
) -> None:
    limits = limits_set()

    def decode(part: Sequence[int]) -> int:
        chosen = [photos[index] for index in part]
        for index, photo, data in zip(part, chosen, dataset.files.read(chosen), strict=True):
            pixels[index] = pixels_HWC(data, preprocessing, name=photo.file, limits=limits)
        return len(part)

    size, num_pixels = preprocessing.size, len(photos) + num_drawn
    part = part_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Reserve the whole file first: a full disk must be an error here, not a bus error in a mapped page.
        pixels = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=(num_pixels, size, size, 3))
        with part.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, part.stat().st_size)
        # Pillow releases the interpreter while it decodes, so threads use all cores; twice as many, since some wait for
        # an object store or a disk.
        with ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool, progress_bar("photos") as bar:
            task = bar.add_task("decode", total=len(photos))
            for num_decoded in pool.map(decode, dataset.files.parts(photos)):
                bar.advance(task, num_decoded)
        _draw(pixels[len(photos) :], preprocessing)
        pixels.flush()
        part.replace(path)
    except OSError as error:
        raise StorageFailure(
            f"{path.parent} cannot hold {num_pixels * size * size * 3 / 1e9:.1f} GB of decoded pixels "
            f"({error.strerror}); free space or set BINSIGHT_CACHE_DIR to another disk"
        ) from None
    finally:
        with suppress(OSError):  # where its folder could not even be made
            part.unlink(missing_ok=True)


def _draw(pixels_DHWC: npt.NDArray[np.uint8], preprocessing: Preprocessing) -> None:
    """Put as many drawn bins there as there is room for."""
    if not len(pixels_DHWC):
        return
    with progress_bar("bins") as bar:
        drawn = drawn_pixels(len(pixels_DHWC), preprocessing, num_jobs=os.cpu_count() or 1)
        for place, pixels in enumerate(bar.track(drawn, total=len(pixels_DHWC), description="draw")):
            pixels_DHWC[place] = pixels
