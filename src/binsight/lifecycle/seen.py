"""What photos look like, as far as leaks and slices need it: each photo's fingerprint and brightness.

Of a dataset's training photos this is kept in the cache, because every retraining asks for it again; of a promotion set it
never is, because reading its photos also proves that they are the ones that were frozen.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np

from binsight.counting.cores import available_cores
from binsight.dataset.likeness import Fingerprint, fingerprint
from binsight.dataset.manifest import Dataset, LabelledPhoto
from binsight.errors import BadDataset, BadPhoto
from binsight.imaging import Limits, decode_photo, limits_set
from binsight.imaging.quality import MEASURED_SIDE, measure_quality
from binsight.progress import progress_bar
from binsight.settings import settings
from binsight.storage.files import make_folder, written_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One photo: `is_same` says that its bytes are those that the manifest names."""

    fingerprint: Fingerprint
    brightness: float
    is_same: bool


def see_all(dataset: Dataset, photos: Sequence[LabelledPhoto], *, doing: str) -> list[Seen]:
    """Look at photos, with progress that says what one is `doing`. Raises `BadDataset` for one that cannot be read."""
    limits = limits_set()
    with progress_bar("photos") as bar, ThreadPoolExecutor(available_cores()) as pool:
        seen = pool.map(partial(_see, dataset, limits), photos)
        return list(bar.track(seen, total=len(photos), description=doing))


def fingerprints(dataset: Dataset, photos: Sequence[LabelledPhoto], *, doing: str) -> list[Fingerprint]:
    """The fingerprints of photos, from the cache where they were made before."""
    key = sha256("\n".join(photo.sha256 for photo in photos).encode()).hexdigest()
    kept = settings().cache_dir.expanduser() / "fingerprints" / f"{dataset.digest[:16]}-{key[:16]}.npz"
    with suppress(OSError, ValueError, KeyError):  # not there, or damaged: made again
        return _read(kept, len(photos))
    made = [one.fingerprint for one in see_all(dataset, photos, doing=doing)]
    make_folder(kept.parent)
    with written_whole(kept) as part, part.open("wb") as file:
        np.savez(
            file,
            phash=np.array([one.phash for one in made], dtype=np.uint64),
            detail=np.array([np.frombuffer(one.detail, dtype=np.int8) for one in made]),
        )
    return made


def _read(kept: Path, num_photos: int) -> list[Fingerprint]:
    with np.load(kept, allow_pickle=False) as arrays:
        phashes, details = arrays["phash"], arrays["detail"]
    if not len(phashes) == len(details) == num_photos:
        raise ValueError(f"{kept} must hold {num_photos} photos")
    return [
        Fingerprint(phash=int(phash), detail=detail.tobytes())
        for phash, detail in zip(phashes, details, strict=True)
    ]


def _see(dataset: Dataset, limits: Limits, photo: LabelledPhoto) -> Seen:
    data = dataset.read_bytes(photo)
    try:
        image = decode_photo(data, name=photo.photo, limits=limits, enough_side=MEASURED_SIDE)
    except BadPhoto as error:
        raise BadDataset(f"{dataset.folder / photo.file}: {error}") from None
    return Seen(
        fingerprint=fingerprint(image),
        brightness=measure_quality(image).brightness,
        is_same=sha256(data).hexdigest() == photo.sha256,
    )
