"""Capture under faults that are real: processes killed, a disk that is full."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.service_support import serving
from tests.small_disk import mounted

from binsight.imaging.drawn import drawn_photo
from binsight.service.middleware import CAPTURED
from binsight.settings import Settings
from binsight.storage.captures import open_captures

ROOT = Path(__file__).resolve().parents[1]
JPEG = {"content-type": "image/jpeg"}


def test_no_acknowledged_capture_is_lost_or_damaged_by_a_kill() -> None:
    """The bench cut short: eight writers and one service in each layout, all killed at random."""
    command = [sys.executable, "-m", "bench.kill", "--rounds", "16", "--service-rounds", "2", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert [one["layout"] for one in found] == ["compact", "sagemaker"]
    for one in found:
        assert one["acknowledged"] > 0 and one["lost"] == one["corrupt"] == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    with mounted(tmp_path / "disk", megabytes=1) as folder:
        yield folder


@pytest.mark.parametrize("layout", ["compact", "sagemaker"])
def test_a_full_disk_stops_capture_and_never_serving(small_disk: Path, tmp_path: Path, layout: str) -> None:
    """Ledger and photos lie on the full disk, both; what was acknowledged before is whole, and room is all it takes."""
    place = {
        "BINSIGHT_CAPTURE": str(small_disk / "kept"),
        "BINSIGHT_CAPTURE_LAYOUT": layout,
        "BINSIGHT_CAPTURE_FREE_BYTES": "0",
        "BINSIGHT_CAPTURE_WITHIN_S": "30",
        "BINSIGHT_LEDGER": f"sqlite:///{small_disk}/ledger.db",
    }
    ballast = small_disk / "ballast"
    photo = drawn_photo(3, seed=3)
    events: list[str] = []
    with serving(env=place) as served, served.client as client:

        def acknowledged() -> bool:
            response = client.post("/v1/count", content=photo, headers=JPEG)
            assert response.status_code == 200, "serving goes on"
            events.extend(filter(None, [response.headers.get(CAPTURED)]))
            return CAPTURED in response.headers

        assert acknowledged()
        fill(ballast)
        while acknowledged():  # until what the files had left is used up too
            assert len(events) < 2000
        assert not any(acknowledged() for _ in range(5))
        assert "binsight_capture_works 0.0" in client.get("/metrics").text
        ballast.unlink()
        end = time.monotonic() + 60
        while not acknowledged():
            assert time.monotonic() < end, "capture does not go on though there is room"
            time.sleep(0.5)
        assert "binsight_capture_works 1.0" in client.get("/metrics").text
        served.process.terminate()
        assert served.process.stderr is not None
        log = served.process.stderr.read()
        assert log.count("captures are not kept, serving goes on") == 1
        assert log.count("captures are kept again") == 1
    captures = open_captures(
        Settings(capture=str(small_disk / "kept"), capture_layout=layout, ledger=place["BINSIGHT_LEDGER"])  # type: ignore[arg-type]
    )
    assert {one.event_id for one in captures.read(photos=True)} >= set(events)
    assert list(captures.problems()) == []
    captures.close()


def fill(file: Path) -> None:
    """Write until there is no room."""
    with file.open("wb", buffering=0) as written:
        try:
            while True:
                written.write(b"\0" * 4096)
        except OSError:
            pass
