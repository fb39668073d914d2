"""Training as a step: in this process, or, where a recipe wants several, in processes that end with this one."""

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

from binsight.errors import GateFailed, Stopped
from binsight.lifecycle.runner import Say
from binsight.model.recipe import Recipe, dump_recipe
from binsight.storage.files import written_whole

_STOPPED = 130
_PR_SET_PDEATHSIG = 1  # of Linux's prctl.h


def train_here(recipe: Recipe, out: Path, *, threads: int, say: Say) -> None:
    """Train in this process. Raises as `binsight.model.train` does."""
    from binsight.model.train import train

    train(recipe, out, say=say, threads=threads)


def train_in_processes(recipe: Recipe, out: Path, *, threads: int, say: Say) -> None:
    """Train by the command `binsight train`, whose further processes begin as it does.

    They would begin as this command otherwise, and retrain. Raises `Stopped` where it was asked to stop, `GateFailed` with
    its last words where it failed.
    """
    file = out.with_name("given.toml")
    with written_whole(file) as part:
        part.write_text(dump_recipe(recipe), encoding="utf-8")
    each = max(1, threads // recipe.training.devices)
    error = ""
    with subprocess.Popen(
        [sys.executable, "-m", "binsight", "train", str(file), "--out", str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(each)},
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - one prctl, no locks
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if line.startswith("error: "):
                    error = error or line.removeprefix("error: ").strip()  # the first; others then lose their peer
                else:
                    say(line.rstrip())
        except BaseException:
            process.send_signal(signal.SIGTERM)
            raise
    code = process.returncode
    if code == _STOPPED:
        raise Stopped(error)
    if code:
        raise GateFailed(error or f"training ended with status {code}; see what it said above")


def _die_with_parent() -> None:
    """Have the kernel kill this process when its parent is gone: a killed retraining leaves nothing that works on."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
