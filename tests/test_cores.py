"""Cores that a container leaves: by affinity, by its own quota and by those around it; and threads that fit them."""

import subprocess
import sys
from pathlib import Path

import pytest

from binsight.counting.cores import available_cores


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose affinity leaves eight cores."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(8)), raising=False)


def group(root: Path, own: str, files: dict[str, str]) -> tuple[Path, Path]:
    """What the kernel shows: the files of the groups, and in which of them this process is."""
    (root / "own").write_text(own)
    for name, text in files.items():
        file = root / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")
    return root / "cgroup", root / "own"


V1, V2 = "4:memory:/pod\n3:cpu,cpuacct:/pod/a\n0::/\n", "0::/pod/a\n"


@pytest.mark.parametrize(
    ("own", "files", "cores"),
    [
        ("", {}, 8),
        ("0::/\n", {"cpu.max": "150000 100000"}, 2),
        ("0::/\n", {"cpu.max": "50000 100000"}, 1),
        ("0::/\n", {"cpu.max": "max 100000"}, 8),
        ("0::/\n", {"cpu.max": "1600000 100000"}, 8),
        ("0::/\n", {"cpu.max": "?"}, 8),
        (V2, {"pod/a/cpu.max": "300000 100000"}, 3),
        (V2, {"pod/a/cpu.max": "max 100000", "pod/cpu.max": "200000 100000"}, 2),
        (V2, {"pod/a/cpu.max": "300000 100000", "other/cpu.max": "100000 100000"}, 3),
        ("0::/../../pod\n", {"cpu.max": "400000 100000"}, 4),
        (V1, {"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        (V1, {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        (V1, {"cpu/pod/a/cpu.cfs_quota_us": "100000", "cpu/pod/a/cpu.cfs_period_us": "50000"}, 2),
        (V1, {"cpu,cpuacct/pod/cpu.cfs_quota_us": "40000", "cpu,cpuacct/pod/cpu.cfs_period_us": "10000"}, 4),
    ],
)
def test_the_least_of_affinity_and_quotas_counts(
    tmp_path: Path, own: str, files: dict[str, str], cores: int
) -> None:
    assert available_cores(*group(tmp_path, own, files)) == cores


def test_without_a_kernel_that_tells_the_affinity_counts(tmp_path: Path) -> None:
    assert available_cores(tmp_path / "nowhere", tmp_path / "nowhere either") == 8


THREADS = """
import os
from binsight.counting import default_bundle
from binsight.service.served import Served
before = len(os.listdir("/proc/self/task"))
served = Served.load(default_bundle())
served.warm(2)
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="threads are listed by Linux alone")
def test_a_network_of_the_service_starts_no_threads_of_its_own() -> None:
    """Each lane runs it on its own thread; a pool of ONNX Runtime's or OpenMP's would not know of the quota."""
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
