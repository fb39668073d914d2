"""Retraining on a disk that fills up for real: a sentence, nothing promoted, and with room the same command goes on."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.retrain_fakes import tell, times_begun
from tests.retrain_world import FIRST, Retrained

from binsight.errors import StorageFailure

STEPS = ("gather", "train", "export", "compare")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of six megabytes: room for a challenger, and not for two."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can only be made by root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("full_in", STEPS)
def test_a_disk_that_fills_up_is_a_sentence_and_with_room_it_goes_on(
    retrained: Retrained, small_disk: Path, full_in: str
) -> None:
    ballast = small_disk / "ballast"

    def fill(_: object = None) -> None:
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 4096)
            except OSError:
                return

    tell(**{full_in: fill})
    if full_in == "gather":
        fill()
    work = str(small_disk / "work")
    with pytest.raises(StorageFailure, match="space"):
        retrained.run(work=work)
    assert retrained.champion == FIRST
    with pytest.raises(StorageFailure, match="space"):  # and as long as it is full
        retrained.run(work=work)
    ballast.unlink()
    tell()
    assert retrained.run(work=work).state == "promoted"
    assert retrained.champion != FIRST
    begun = times_begun(small_disk / "work")
    assert all(begun[name] == 1 for name in STEPS[: STEPS.index(full_in)])
