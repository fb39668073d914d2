"""Files that are whole or not there at all."""

import threading
from pathlib import Path

import pytest

from binsight.storage.captures.place import write_durably
from binsight.storage.files import written_whole


def test_two_may_write_one_file_at_once(tmp_path: Path) -> None:
    """As threads do, and containers that share a folder and each are process 1."""
    path = tmp_path / "same"
    with written_whole(path) as one, written_whole(path) as other:
        one.write_bytes(b"same")
        other.write_bytes(b"same")
    assert [found.name for found in tmp_path.iterdir()] == ["same"]
    assert path.read_bytes() == b"same"


def test_a_photo_may_be_captured_twice_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "photo.jpg"
    ready, rename, failed = threading.Barrier(2), Path.rename, list[BaseException]()

    def together(self: Path, target: Path) -> Path:
        ready.wait(timeout=30)
        return rename(self, target)

    def write() -> None:
        try:
            write_durably({path: b"photo"})
        except BaseException as error:
            failed.append(error)
            raise

    monkeypatch.setattr(Path, "rename", together)
    both = [threading.Thread(target=write) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert not failed
    assert [found.name for found in tmp_path.iterdir()] == ["photo.jpg"]


def test_nothing_is_there_of_what_failed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="halfway"), written_whole(tmp_path / "file") as part:
        part.write_bytes(b"half")
        raise ValueError("halfway")
    assert list(tmp_path.iterdir()) == []
