"""Cores that this process may use, in a container often fewer than the machine has; and who of its threads goes first.

```
affinity (taskset, cpusets) ─┐
quota of its own cgroup ─────┼─▶ the least of them, part of a core counted as a core
quotas of those around it ───┘
```
"""

import math
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

CGROUP_ROOT = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")
LOWEST = 19
"""The most niceness that there is."""


def available_cores(cgroup: Path = CGROUP_ROOT, own: Path = OWN_CGROUPS) -> int:
    """Cores, one at least: what the affinity leaves, within every quota that is in force.

    `cgroup` is where the kernel shows its groups, `own` says in which of them this process is. Both versions are read:
    `cpu.max` (https://docs.kernel.org/admin-guide/cgroup-v2.html) and `cpu.cfs_quota_us`
    (https://docs.kernel.org/scheduler/sched-bwc.html).
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [_quota_v2(folder) for folder in _folders(cgroup, _own_path(own, ""))]
    for mount in ("cpu", "cpu,cpuacct"):
        quotas += [_quota_v1(folder) for folder in _folders(cgroup / mount, _own_path(own, "cpu"))]
    return max(1, min([cores, *(math.ceil(quota) for quota in quotas if quota is not None)]))


def stand_back(by: int) -> None:
    """Lower the priority of the calling thread by so much niceness, up to `LOWEST`. Nothing happens but on Linux, which
    alone has one for each thread (sched(7)). Between containers it changes nothing: those share by their own weights.
    """
    if sys.platform == "linux":
        with suppress(OSError):  # a sandbox may forbid even this; a thread must not end by it
            os.setpriority(os.PRIO_PROCESS, 0, min(LOWEST, os.getpriority(os.PRIO_PROCESS, 0) + by))


def _own_path(own: Path, controller: str) -> str:
    """The group of this process, from a line such as `4:cpu,cpuacct:/pod/a` (version 1) or `0::/pod/a` (version 2)."""
    try:
        lines = own.read_text().splitlines()
    except OSError:  # no Linux
        return "/"
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path
    return "/"


def _folders(root: Path, path: str) -> Iterator[Path]:
    """The group's folder and all around it, up to the root; a container often sees its own group as the root."""
    names = [name for name in PurePosixPath(path).parts if name not in ("/", "..")]
    for depth in range(len(names), -1, -1):
        yield root.joinpath(*names[:depth])


def _quota_v2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # no such group, or one without a quota ("max")
        return None


def _quota_v1(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 and period > 0 else None  # -1: no quota
