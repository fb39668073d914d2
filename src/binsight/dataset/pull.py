"""Copy a dataset out of an object store, whole and as it was pushed."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from binsight.dataset.manifest import Dataset
from binsight.errors import BadDataset, BinsightError, StorageFailure
from binsight.storage.files import make_folder
from binsight.storage.objects import open_store

_DOWNLOADS = 32  # files in flight


def pull_dataset(url: str, folder: Path, *, sha256: str, region: str | None = None) -> Dataset:
    """The dataset of this hash at `url`, copied into `folder` where it is not there yet.

    Raises `BadDataset` where another one lies there, and the errors of `Objects.read`.
    """
    if not folder.exists():
        make_folder(folder.parent)
        store = open_store(url, region=region)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as part:

            def copy(name: str) -> None:
                target = Path(part) / "dataset" / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(store.read(name))

            try:
                with ThreadPoolExecutor(_DOWNLOADS) as pool:
                    list(pool.map(copy, [one.name for one in store.list()]))
                (Path(part) / "dataset").replace(folder)
            except BinsightError:  # the store's, which says itself what failed
                raise
            except OSError as error:
                raise StorageFailure(f"{folder} cannot be written ({error.strerror}); free space") from None
    dataset = Dataset.open(folder)
    if dataset.digest != sha256:
        raise BadDataset(
            f"{url} must hold the dataset {sha256[:12]}…, but holds {dataset.digest[:12]}…; push it again"
        )
    return dataset
