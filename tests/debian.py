"""Programs that tests need and Debian has: installed where they are missing and this user may."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path


def installed(package: str) -> bool:
    """Whether Debian's package could be installed: that takes root and apt-get."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return False
    with (Path(tempfile.gettempdir()) / "binsight-tests-apt").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # the other worker may want another package: apt-get gives up at once
        _install(package)
    return True


def _install(package: str) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], check=True, capture_output=True)
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
    subprocess.run(command, check=True, capture_output=True, env=environment)
