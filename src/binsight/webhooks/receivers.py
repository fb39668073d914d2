"""Messages to several webhooks from a process that goes on: tried again, bounded.

```
send ─▶ a short queue a receiver ─▶ its own thread: POST, and again after a while ─▶ sent, refused or given up
            full: the oldest is dropped
```
Nobody waits for anything here, and a slow receiver keeps no other one waiting.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from binsight.webhooks.message import Message, post, result_of

log = logging.getLogger(__name__)

WAITS_S = (1.0, 5.0, 30.0, 120.0, 300.0, 600.0)
"""Between tries: a receiver that is down for a quarter of an hour still gets its messages."""
MOST_WAITING = 100


class Receivers:
    """All receivers. `send` returns at once; `stop` gives what waits a last try. Safe to use from several threads.

    `note` hears what became of each message: sent, refused, given_up or dropped.
    """

    def __init__(
        self,
        urls: Sequence[str],
        key: bytes | None,
        note: Callable[[str], None],
        *,
        waits_s: Sequence[float] = WAITS_S,
    ) -> None:
        self._receivers = [_Receiver(url, key, note, waits_s) for url in urls]

    def send(self, message: Message) -> None:
        """Have a message delivered to every receiver."""
        for receiver in self._receivers:
            receiver.offer(message)

    def stop(self, *, within: float) -> None:
        """Deliver what waits, each tried once more at most, for up to `within` seconds."""
        for receiver in self._receivers:
            receiver.end()
        end = time.monotonic() + within
        for receiver in self._receivers:
            receiver.thread.join(max(0.0, end - time.monotonic()))


class _Receiver:
    def __init__(self, url: str, key: bytes | None, note: Callable[[str], None], waits_s: Sequence[float]) -> None:
        self._url, self._key, self._note, self._waits_s = url, key, note, waits_s
        self._host = urlsplit(url).hostname  # an address may hold a token: only its host is ever logged
        self._waiting: deque[Message] = deque()
        self._changed = threading.Condition()
        self._is_ending = False
        self.thread = threading.Thread(target=self._run, name=f"alerts to {self._host}", daemon=True)
        self.thread.start()

    def offer(self, message: Message) -> None:
        with self._changed:
            if len(self._waiting) == MOST_WAITING:
                self._waiting.popleft()
                self._note("dropped")
            self._waiting.append(message)
            self._changed.notify()

    def end(self) -> None:
        with self._changed:
            self._is_ending = True
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_ending)
                if not self._waiting:
                    return
                message = self._waiting.popleft()
            result = self._deliver(message)
            self._note(result)
            if result != "sent":
                log.error("the alert %s to %s was %s", message.event, self._host, result.replace("_", " "))

    def _deliver(self, message: Message) -> str:
        """`sent`, `refused` (it will not be taken) or `given_up` (it was not taken in all tries)."""
        for wait_s in (*self._waits_s, None):
            if result := result_of(post(self._url, message, self._key)):
                return result
            with self._changed:
                if wait_s is None or self._changed.wait_for(lambda: self._is_ending, timeout=wait_s):
                    break
        return "given_up"
