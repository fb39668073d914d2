"""Copy a dataset to an object store, where it is as immutable as on disk."""

import json
from pathlib import Path

from binsight.dataset.manifest import SUMMARY_NAME
from binsight.errors import BadInput, MissingObject
from binsight.storage.objects import open_store
from binsight.storage.upload import upload_folder


def push_dataset(dataset: Path, url: str, *, endpoint_url: str | None = None, region: str | None = None) -> int:
    """Copy every file of the dataset to `url` and return how many; 0 where the same dataset is there already.

    `dataset.json` is written last, so that what was cut off half-way is no dataset, and pushing again completes
    it. Raises `BadInput` where another dataset is there, and the errors of `Objects.write`.
    """
    store = open_store(url, endpoint_url=endpoint_url, region=region, create=True)
    try:
        existing = store.read(SUMMARY_NAME)
    except MissingObject:
        return upload_folder(dataset, url, endpoint_url=endpoint_url, region=region, last=SUMMARY_NAME)
    if _digest(existing) != _digest((dataset / SUMMARY_NAME).read_bytes()):
        raise BadInput(f"{url} holds another dataset, which is never overwritten; push to another place")
    return 0


def _digest(summary: bytes) -> str | None:
    try:
        return str(json.loads(summary)["sha256"])
    except (ValueError, KeyError, TypeError):
        return None
