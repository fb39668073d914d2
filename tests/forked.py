"""`binsight` in processes of their own, forked from one that has PyTorch imported: a process a test, one import for all.

Those tests kill or starve a process, or have two at work at once, and need a real one for that, but not one that takes
seconds to import what another has just imported. That `python -m binsight train` starts from nothing, other tests show.
"""

import os
import resource
import signal
import sys
import time
from collections.abc import Mapping
from functools import cache
from multiprocessing import get_context
from multiprocessing.forkserver import ensure_running
from pathlib import Path

import pytest

_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.forked_imports"])


@cache
def _start_server() -> None:
    """It finds what to import by its environment alone, and goes on without what it does not find."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        ensure_running()


class Forked:
    """`binsight ARGUMENTS`, begun; what it says goes into two files of `folder`.

    It has this process's environment, and what `environment` adds.
    """

    def __init__(
        self,
        *arguments: object,
        folder: Path,
        most_file_bytes: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        _start_server()
        folder.mkdir(parents=True, exist_ok=True)
        self._outputs = folder / "stdout.txt", folder / "stderr.txt"
        self._process = _CONTEXT.Process(
            target=_binsight,
            args=(
                [str(one) for one in arguments],
                os.environ | (environment or {}),
                self._outputs,
                most_file_bytes,
            ),
        )
        self._process.start()

    def wait_for(self, path: Path) -> None:
        """Until that file is there, or the process has ended."""
        deadline = time.monotonic() + 120
        while not path.is_file() and self._process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)

    def send_signal(self, number: signal.Signals) -> None:
        assert self._process.pid
        os.kill(self._process.pid, number)

    def end(self, timeout: float = 300) -> int:
        """Its exit status, once it has ended; below 0 for a signal."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            self._process.kill()
        assert code is not None, f"it does not end; it said: {self.stderr}"
        return code

    def poll(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.exitcode

    def kill(self) -> None:
        """By SIGKILL: what it has begun itself has to see to its own end."""
        self._process.kill()
        self._process.join()

    def said(self) -> str:
        """What it said in the end, once it has ended well."""
        assert self.end() == 0, self.stderr
        return self.stdout

    @property
    def stdout(self) -> str:
        return self._outputs[0].read_text()

    @property
    def stderr(self) -> str:
        return self._outputs[1].read_text()


def _binsight(
    arguments: list[str], environment: dict[str, str], outputs: tuple[Path, Path], most_file_bytes: int | None
) -> None:
    from binsight.cli import main

    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate(outputs, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    if most_file_bytes is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_file_bytes, most_file_bytes))
    sys.argv = ["binsight", *arguments]
    main()
