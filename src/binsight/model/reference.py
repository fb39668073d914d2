"""The reference of a bundle: what the photos that it is calibrated on look like, so that drift can be told."""

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from binsight.counting.bundle import REFERENCE_NAME, Bundle, seal
from binsight.counting.cores import available_cores
from binsight.counting.counter import BATCH_SIZE, Counter, Seen
from binsight.dataset.manifest import Dataset, LabelledPhoto
from binsight.decision.features import features_of
from binsight.decision.reference import Reference, make_reference
from binsight.errors import BadInput, StorageFailure
from binsight.progress import progress_bar

CARD = """
## What drift is measured against
The features of {num_photos:,} `{split}` photos of the dataset {digest}…, and this model's estimates for them, are in
`reference.json`. A service compares the photos it gets with these; that they differ does not say that answers got
worse, but that the figures and the certificate above speak for other photos.
"""


def features_of_bytes(
    counter: Counter, photos: Iterable[tuple[str, bytes]], num_photos: int
) -> Iterator[tuple[float, ...]]:
    """The features of each (name, photo), seen and estimated as the service does it. Raises `BadPhoto`."""

    def see(named: tuple[str, bytes]) -> Seen:
        return counter.see(*named)

    with progress_bar("photos") as bar, ThreadPoolExecutor(available_cores()) as pool:
        tracked = bar.track(iter(photos), total=num_photos, description="measuring")
        while batch := list(islice(tracked, BATCH_SIZE)):
            seen = list(pool.map(see, batch))
            for one, estimate in zip(seen, counter.estimate(seen), strict=True):
                yield features_of(one.quality, one.num_bytes, estimate)


def write_reference(
    folder: Path, counter: Counter, dataset: Dataset, photos: Sequence[LabelledPhoto], *, split: str
) -> Reference:
    """Put `reference.json` into a bundle that is being made, and say so on its card.

    Raises `BadInput` where the photos are too few to say what is usual.
    """
    named = ((photo.photo, dataset.read_bytes(photo)) for photo in photos)
    rows = list(features_of_bytes(counter, named, len(photos)))
    reference = make_reference(rows, dataset_sha256=dataset.digest, split=split)
    (folder / REFERENCE_NAME).write_text(reference.as_text(), encoding="utf-8")
    card = folder / "card.md"
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    text = text.partition(CARD.partition("{")[0])[0]  # a bundle has one reference, and its card one such section
    filled = CARD.format(num_photos=reference.num_photos, split=split, digest=dataset.digest[:12])
    card.write_text(text + filled, encoding="utf-8")
    return reference


def with_reference(
    bundle: Bundle, folder: Path, dataset: Dataset, photos: Sequence[LabelledPhoto], *, split: str
) -> Bundle:
    """The same model as a new bundle at `folder`, whose reference are these photos.

    Raises `BadInput` where `folder` is there already, or the photos are too few.
    """
    if folder.exists():
        raise BadInput(f"{folder} is there already, and bundles never change; choose another folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as parent:
            part = Path(parent) / "bundle"
            for name in ("bundle.json", *bundle.spec.files):
                (part / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(bundle.folder / name, part / name)
            write_reference(part, Counter.load(part), dataset, photos, split=split)
            lineage = bundle.spec.lineage | {"same_model_as": bundle.version}
            seal(part, bundle.spec.model_copy(update={"lineage": lineage}))
            part.replace(folder)
    except OSError as error:
        if isinstance(error, StorageFailure):
            raise
        raise StorageFailure(f"{folder} could not be written ({error.strerror or error}); free space") from None
    return Bundle.open(folder)
