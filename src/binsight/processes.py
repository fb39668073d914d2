"""Worker processes that end with their parent, and leave Ctrl-C to it."""

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import connection, get_context, parent_process


@contextmanager
def worker_processes(number: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of so many processes; what waits is dropped where the block ends by an error.

    Submit within `ctrl_c_blocked`, since that may start a worker.
    """
    # Spawned, not forked: the progress display has a thread, and a fork would inherit the lock on the folder.
    pool = ProcessPoolExecutor(number, mp_context=get_context("spawn"), initializer=_end_with_parent)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def ctrl_c_blocked() -> Iterator[None]:
    """Processes that start within inherit the block, and leave Ctrl-C to the parent; here it is only put off."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent() -> None:
    """End a worker whose parent is killed, which the pool would leave waiting for ever."""
    parent = parent_process()
    assert parent is not None

    def wait() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
