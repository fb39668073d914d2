"""A few drawn photos, and what counting them into Parquet left."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from binsight.imaging.drawn import drawn_photo

NUM_PHOTOS, SHARD = 14, 4


def drawn_folder(folder: Path) -> Path:
    """`NUM_PHOTOS` photos."""
    folder.mkdir()
    for number in range(NUM_PHOTOS):
        (folder / f"{number:02}.jpg").write_bytes(drawn_photo(number % 5, seed=number))
    return folder


def parts(out: Path) -> dict[str, bytes]:
    """Every part by its name."""
    return {path.name: path.read_bytes() for path in sorted(out.glob("part-*.parquet"))}


def rows(out: Path) -> list[dict[str, Any]]:
    """All rows, in the order of the listing."""
    return [row for path in sorted(out.glob("part-*.parquet")) for row in pq.read_table(path).to_pylist()]


def running_workers(driver: int) -> list[int]:
    """Processes that count a shard for the cluster that process `driver` started, by the names that Ray gives them."""
    return processes_below(driver, "ray::_count_on_")


def processes_below(driver: int, name: str) -> list[int]:
    """Processes that descend from another and whose title begins so."""
    parents, titles = dict[int, int](), dict[int, str]()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError, ValueError):
            titles[int(folder.name)] = (folder / "cmdline").read_text()
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    return [pid for pid, title in titles.items() if title.startswith(name) and driver in _above(pid, parents)]


def _above(pid: int, parents: dict[int, int]) -> set[int]:
    found = set()
    while (pid := parents.get(pid, 0)) > 1:
        found.add(pid)
    return found
