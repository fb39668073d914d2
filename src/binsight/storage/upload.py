"""A folder's files copied to an object store."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from binsight.progress import progress_bar
from binsight.storage.objects import open_store

_UPLOADS = 32  # files in flight


def upload_folder(
    folder: Path, url: str, *, endpoint_url: str | None = None, region: str | None = None, last: str = ""
) -> int:
    """Copy every file below `folder` to `url`, many at once with progress, and return how many.

    Files of the top folder go last, when all below them have arrived, and the one called `last` after all others:
    what names the others is never there before them. Running it again copies everything again. Raises as
    `Objects.write` does.
    """
    store = open_store(url, endpoint_url=endpoint_url, region=region, create=True)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    below = [path for path in files if path.parent != folder]
    top = [path for path in files if path.parent == folder and path.name != last]
    very_last = [path for path in files if path == folder / last]

    def upload(path: Path) -> None:
        store.write(path.relative_to(folder).as_posix(), path)

    with progress_bar("file") as bar, ThreadPoolExecutor(_UPLOADS) as pool:
        task = bar.add_task(f"to {url}", total=len(files))
        for batch in (below, top, very_last):
            # After an error or Ctrl-C, `map` drops what has not begun.
            for _ in pool.map(upload, batch):
                bar.advance(task)
    return len(files)
