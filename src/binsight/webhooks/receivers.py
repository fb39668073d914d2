"""Messages to several webhooks from a process that goes on: tried again, bounded.

```
send ─▶ a queue a receiver ─▶ its own thread: POST, and again after a while ─▶ sent, refused or given up
            full: the oldest is dropped
```
Nobody waits for anything here, and a slow receiver keeps no other one waiting.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from binsight.webhooks.message import Message, post, result_of

log = logging.getLogger(__name__)

WAITS_S = (1.0, 5.0, 30.0, 120.0, 300.0, 600.0)
"""Between tries: a receiver that is down for a quarter of an hour still gets its messages."""
MOST_WAITING = 100

Then = Callable[[bool], None]
"""Hears once no receiver tries a message any more: False where one of them dropped it before all of its tries."""


class Receivers:
    """All receivers. `send` returns at once; `stop` gives what waits a last try. Safe to use from several threads.

    `note` hears what became of each message at each receiver: sent, refused, given_up or dropped. So many wait for a
    receiver at most as `most_waiting` says.
    """

    def __init__(
        self,
        urls: Sequence[str],
        key: bytes | None,
        note: Callable[[str], None],
        *,
        waits_s: Sequence[float] = WAITS_S,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._receivers = [_Receiver(url, key, note, waits_s, most_waiting) for url in urls]

    def send(self, message: Message, then: Then | None = None) -> None:
        """Have a message delivered to every receiver. `then` is called from one of their threads, or at once where there
        is none."""
        end = _End(len(self._receivers), then)
        for receiver in self._receivers:
            receiver.offer(message, end)

    def stop(self, *, within: float) -> None:
        """Deliver what waits, each tried once more at most, for up to `within` seconds."""
        for receiver in self._receivers:
            receiver.end()
        end = time.monotonic() + within
        for receiver in self._receivers:
            receiver.thread.join(max(0.0, end - time.monotonic()))


class _End:
    """Of one message: calls `then` when the last of its receivers is done with it."""

    def __init__(self, num_open: int, then: Then | None) -> None:
        self._num_open, self._then, self._is_tried = num_open, then, True
        self._lock = threading.Lock()
        if then is not None and not num_open:
            then(True)

    def one(self, result: str) -> None:
        with self._lock:
            self._num_open -= 1
            self._is_tried = self._is_tried and result != "dropped"
            is_last = not self._num_open
        if is_last and self._then is not None:
            self._then(self._is_tried)


@dataclass(frozen=True, slots=True)
class _Waiting:
    message: Message
    end: _End
    since: float = field(default_factory=time.monotonic)


class _Receiver:
    def __init__(
        self,
        url: str,
        key: bytes | None,
        note: Callable[[str], None],
        waits_s: Sequence[float],
        most_waiting: int,
    ) -> None:
        self._url, self._key, self._note, self._waits_s = url, key, note, waits_s
        self._most_waiting = most_waiting
        self._host = urlsplit(url).hostname  # an address may hold a token: only its host is ever logged
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._is_ending = False
        self.thread = threading.Thread(target=self._run, name=f"messages to {self._host}", daemon=True)
        self.thread.start()

    def offer(self, message: Message, end: _End) -> None:
        dropped: _Waiting | None = None
        with self._changed:
            if len(self._waiting) == self._most_waiting:
                dropped = self._waiting.popleft()
            self._waiting.append(_Waiting(message, end))
            self._changed.notify()
        if dropped is not None:
            self._ended(dropped, "dropped")

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
                waiting = self._waiting.popleft()
            self._ended(waiting, self._deliver(waiting))

    def _ended(self, waiting: _Waiting, result: str) -> None:
        self._note(result)
        if result != "sent":
            log.error("the message %s to %s was %s", waiting.message.event, self._host, result.replace("_", " "))
        waiting.end.one(result)

    def _deliver(self, waiting: _Waiting) -> str:
        """`sent`, `refused` (it will not be taken), `given_up` (it was not taken in all tries) or `dropped` (the end of the
        process leaves no time for the others).

        One that waited behind others for as long as its own tries would take is tried once: its receiver was down all
        the while, and what waits behind it is not to wait as long again for each.
        """
        has_waited = time.monotonic() - waiting.since >= sum(self._waits_s)
        for wait_s in (*(() if has_waited else self._waits_s), None):
            if result := result_of(post(self._url, waiting.message, self._key)):
                return result
            with self._changed:
                if wait_s is not None and self._changed.wait_for(lambda: self._is_ending, timeout=wait_s):
                    return "dropped"
        return "given_up"
