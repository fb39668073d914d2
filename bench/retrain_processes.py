"""A retraining as a process that can be killed: by the command line, or forked from one that has everything imported."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from tests.forked import Forked


class Process(Protocol):
    """A retraining that runs."""

    def poll(self) -> int | None: ...
    def kill(self) -> None: ...
    def said(self) -> str:
        """What it said in the end, once it has ended well."""
        ...


Begin = Callable[[Path, Path], Process]
"""Begins the retraining of a template in a folder."""


class Begun:
    """`python -m binsight retrain`, in a session of its own so that all of it is killed."""

    def __init__(self, template: Path, folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-m", "binsight", *command(template, folder)],
            env=os.environ | places(folder),
            stdout=subprocess.PIPE,
            stderr=(folder / "stderr.log").open("a"),
            text=True,
            start_new_session=True,
        )

    def poll(self) -> int | None:
        return self._process.poll()

    def kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def said(self) -> str:
        said, _ = self._process.communicate()
        assert self._process.returncode == 0, (self._folder / "stderr.log").read_text()
        return said


def forked(template: Path, folder: Path) -> Forked:
    """The same, forked from a process that has everything imported."""
    return Forked(*command(template, folder), folder=folder, environment=places(folder))


def warm(folder: Path) -> None:
    """Have that process import everything before anything is timed."""
    Forked("--version", folder=folder / "warm").said()


def command(template: Path, folder: Path) -> list[str]:
    return ["retrain", str(template / "retrain.toml"), "--work", str(folder / "work"), "--json"]


def places(folder: Path) -> dict[str, str]:
    return {
        "BINSIGHT_LEDGER": f"sqlite:///{folder}/ledger.db",
        "BINSIGHT_BUNDLES": str(folder / "bundles"),
        "BINSIGHT_CACHE_DIR": str(folder / "cache"),
    }
