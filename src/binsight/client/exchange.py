"""One call of a service, from the first try to the answer or the error that stands in the end.

```
        ┌───────────── wait: backoff with jitter, or as Retry-After says ◀─────────────┐
        ▼                                                                              │
     send, with the time that is left ─▶ 200: its JSON                                 │
                                      ─▶ 429, 502, 503, 504, no connection: time left? ┘  no: raise
                                      ─▶ anything else, or a request that cannot be sent: raise
```
Where nobody has listened yet, the time for that is short: an address that was mistyped is told in seconds.

Nothing in here sends or waits. `exchange` yields what is to be done next and is told what came of it; who drives it may
block a thread or an event loop. Every try has the same request id, and counting a photo twice changes nothing.
"""

import random
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from binsight.client.answers import error_of
from binsight.client.asking import Ask
from binsight.errors import BadInput, BinsightError, MissingExtra, Unreachable

try:
    import httpx
except ImportError:
    raise MissingExtra("the client", extra="client") from None

TRY_AGAIN = frozenset({429, 502, 503, 504})
"""The service, or a proxy in front of it, is busy, starts, ends, or waits for something that is."""

_NEVER_SENT = (httpx.LocalProtocolError, httpx.UnsupportedProtocol)
"""What is wrong with the request itself, before anybody hears of it: the same again is wrong again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a call may take, all its tries and waits together, and how long it waits between two tries.

    The wait is drawn between nothing and `first_wait_s`, which doubles with each try up to `longest_wait_s`: clients
    that were turned away together do not come back together. What a `Retry-After` asks for comes before that. A service
    that sends its answer drop by drop can keep a call longer than `within_s`, which is then the limit of each drop.

    `connect_within_s` is how long nobody may listen at an address at which nobody has listened before; it is longer for one
    that has answered, which may be starting again. No try waits longer for its connection.
    """

    within_s: float = 60
    connect_within_s: float = 5
    first_wait_s: float = 0.2
    longest_wait_s: float = 10

    def wait(self, *, tries: int, retry_after: float | None, chance: float) -> float:
        """Seconds to wait after so many tries. `chance` lies in 0 … 1."""
        drawn = chance * min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(tries - 1, 30))
        return drawn + (retry_after or 0.0)


@dataclass(frozen=True, slots=True)
class Send:
    """Send this now, and give up after so many seconds, or after fewer without a connection."""

    ask: Ask
    timeout_s: float
    connect_s: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


Outcome = httpx.Response | httpx.RequestError | None
"""What came of a step: what was answered, why nothing was, or that the pause is over."""

Steps = Generator[Send | Pause, Outcome, dict[str, Any]]


def exchange(
    ask: Ask,
    patience: Patience,
    *,
    at: str = "the service",
    was_heard: Callable[[], bool] = lambda: False,
    request_id: str | None = None,
    clock: Callable[[], float] = time.monotonic,
    chance: Callable[[], float] = random.random,
) -> Steps:
    """The steps of one call; it returns the JSON of the answer. Raises the error of the last try, or `Unreachable`.

    `at` names the service in errors; `was_heard` says whether anybody has listened there, in this call or in others.
    """
    request_id = request_id or uuid.uuid4().hex
    ask = replace(ask, headers=ask.headers | {"X-Request-Id": request_id})
    begin, tries, heard = clock(), 0, False
    end = begin + patience.within_s
    while True:
        tries += 1
        left = max(end - clock(), 0.001)
        outcome = yield Send(ask, left, min(left, patience.connect_within_s))
        retry_after = None
        if isinstance(outcome, httpx.Response):
            fields = _json(outcome)
            if outcome.status_code == 200 and isinstance(fields, dict):
                return fields
            retry_after = _retry_after(outcome)
            error = error_of(outcome.status_code, fields, request_id=request_id, retry_after=retry_after)
            if outcome.status_code not in TRY_AGAIN:
                raise error
        elif isinstance(outcome, _NEVER_SENT):
            # Without the library's words, which quote the header: it may be the key.
            raise BadInput(
                f"the request cannot be sent to {at} ({type(outcome).__name__}); check the address, the key and the "
                "request id"
            )
        else:
            error = _unreachable(outcome, at, request_id, patience)
        heard = heard or was_listening(outcome)
        limit = end if heard or was_heard() else min(end, begin + patience.connect_within_s)
        seconds = patience.wait(tries=tries, retry_after=retry_after, chance=chance())
        if clock() + seconds >= limit:
            raise error
        yield Pause(seconds)


def was_listening(outcome: Outcome) -> bool:
    """Whether anybody took the connection."""
    return outcome is not None and not isinstance(outcome, httpx.ConnectError | httpx.ConnectTimeout)


def _unreachable(cause: httpx.RequestError | None, at: str, request_id: str, patience: Patience) -> BinsightError:
    why = str(cause) or type(cause).__name__
    said = f"no connection to {at} can be made"
    if was_listening(cause):
        said = f"{at} does not answer within {patience.within_s:g} s"
    error = Unreachable(f"{said} ({why}); check its address, and whether it runs")
    error.request_id = request_id
    return error


def _json(response: httpx.Response) -> object:
    with suppress(ValueError):
        return response.json()
    return None


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds; a date, which HTTP allows as well, is passed over: the backoff does as well as another clock would."""
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdecimal() and len(text) < 6 else None
