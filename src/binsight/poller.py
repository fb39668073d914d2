"""A thread that looks every few seconds: whoever watches, follows or keeps up something beside the requests has one."""

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class Poller:
    """Calls `look` every `every_s` seconds from `start` to `stop`, in a daemon thread of its own, one call at a time.

    Whatever a look raises is logged and the next one comes all the same: that a watcher has died would be noticed only
    when it is needed.
    """

    def __init__(self, look: Callable[[], None], *, name: str, every_s: float) -> None:
        self._look, self._name, self._every_s = look, name, every_s
        self._is_over = False
        self._wakes = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self, *, at_once: bool = False) -> None:
        """Look from now on: `at_once`, or first after `every_s` seconds."""
        if at_once:
            self._wakes.set()
        self._thread.start()

    def wake(self) -> None:
        """Look now instead of at the next time."""
        self._wakes.set()

    def end(self) -> None:
        """Begin no further look, and do not wait for one under way: for use within a look, too."""
        self._is_over = True
        self._wakes.set()

    def stop(self) -> None:
        """Begin no further look, and wait for one under way. Does nothing more where it never started."""
        self.end()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            self._wakes.wait(self._every_s)
            self._wakes.clear()
            if self._is_over:
                return
            try:
                self._look()
            except Exception:
                log.exception("%s: a look failed, and the next one comes in %g s", self._name, self._every_s)
