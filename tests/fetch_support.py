"""What the tests of `data fetch` share: the command, and what lies in a fetched folder."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

BINSIGHT = (sys.executable, "-c", "from binsight.cli import main; main()")


SOME = [f"{number:05}" for number in range(1, 121)]


def tree(folder: Path) -> dict[str, bytes]:
    """The photos and records in a fetched folder."""
    return {
        f"{path.parent.name}/{path.name}": path.read_bytes()
        for name in ("bin-images", "metadata")
        if (folder / name).is_dir()
        for path in (folder / name).iterdir()
    }


def pairs_of(objects: dict[str, bytes], photos: list[str]) -> dict[str, bytes]:
    """The objects of some photos, where both photo and record are there."""
    names = [name for photo in photos for name in (f"bin-images/{photo}.jpg", f"metadata/{photo}.json")]
    return {name: objects[name] for name in names if name in objects}


def missing_rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "missing.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def journal_files(folder: Path) -> list[str]:
    """The files that the journal names, once for every time each was fetched."""
    entries = [json.loads(line) for line in (folder / "fetch.jsonl").read_bytes().splitlines()]
    return [entry["file"] for entry in entries if "file" in entry]


def run_cli(*arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*BINSIGHT, *arguments], check=False, capture_output=True, text=True, timeout=120, **options
    )


def abid_source(directory: Path, objects: dict[str, bytes]) -> Path:
    """A folder in ABID's layout."""
    for name, data in objects.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)
    return directory
