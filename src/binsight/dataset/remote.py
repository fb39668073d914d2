"""A dataset that lies in an object store, pushed or packed: its manifest is copied, its photos are read where they lie."""

import json
from hashlib import sha256
from pathlib import Path

from binsight.dataset.manifest import MANIFEST_NAME, SUMMARY_NAME, Dataset
from binsight.dataset.photo_files import ObjectFiles, PhotoFiles
from binsight.dataset.shards import SHARDS_NAME, ShardFiles, read_places
from binsight.errors import BadDataset, MissingObject
from binsight.settings import settings
from binsight.storage.files import make_folder, written_whole
from binsight.storage.objects import open_store


def open_remote(url: str) -> Dataset:
    """The dataset at `url`, its manifest in the cache folder; the endpoint and the region are the settings'.

    Raises `MissingObject` where there is none, `BadDataset` where it is damaged, and as `Objects.read` does.
    """
    store = open_store(url)
    try:
        data = store.read(SUMMARY_NAME)
    except MissingObject:
        raise MissingObject(
            f"{url} holds no {SUMMARY_NAME}; put a dataset there with: binsight data pack, or data prepare --push"
        ) from None
    name = url.rstrip("/").rpartition("/")[2]
    # One folder for what lies there now: packed anew, it is another.
    key = sha256(url.encode() + b"\0" + data).hexdigest()[:32]
    folder = settings().cache_dir.expanduser() / "datasets" / key / name
    make_folder(folder)
    is_packed = _is_packed(data, url)
    for file in (MANIFEST_NAME, *([SHARDS_NAME] if is_packed else [])):
        if not (folder / file).is_file():
            _copy(store.read(file), folder / file)
    _copy(data, folder / SUMMARY_NAME)
    files: PhotoFiles = ShardFiles(store, read_places(folder / SHARDS_NAME)) if is_packed else ObjectFiles(store)
    return Dataset.of(folder, files=files)


def _is_packed(summary: bytes, url: str) -> bool:
    try:
        return "shards" in json.loads(summary)
    except (ValueError, TypeError):
        raise BadDataset(f"{url}/{SUMMARY_NAME} is not a JSON object; pack or push the dataset again") from None


def _copy(data: bytes, path: Path) -> None:
    with written_whole(path) as part:
        part.write_bytes(data)
