"""Alerts as webhooks, in the form of Standard Webhooks (https://www.standardwebhooks.com): signed, tried again, bounded.

```
send ─▶ a short queue a receiver ─▶ its own thread: POST, and again after a while ─▶ sent, refused or given up
            full: the oldest is dropped
```
Nothing here is waited for by a request, and a slow receiver keeps no other one waiting.
"""

import base64
import binascii
import hashlib
import hmac
import http.client
import json
import logging
import socket
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from binsight import __version__
from binsight.errors import BadInput
from binsight.service.addresses import is_loopback
from binsight.service.metrics import Metrics

log = logging.getLogger(__name__)

Event = Literal[
    "drift.began",
    "drift.ended",
    "bundle.failed",
    "queue.saturated",
    "queue.relieved",
    "errors.high",
    "errors.usual",
]

WAITS_S = (1.0, 5.0, 30.0, 120.0, 300.0, 600.0)
"""Between tries: a receiver that is down for a quarter of an hour still gets its alerts."""
TIMEOUT_S = 5.0
MOST_WAITING = 100
SECRET_PREFIX = "whsec_"  # noqa: S105 - what every such secret begins with
TRY_AGAIN = frozenset({408, 425, 429})
"""Statuses below 500 that may pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something that a person should know, in one sentence; `data` holds the same for programs."""

    event: Event
    sentence: str
    data: dict[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: f"msg_{uuid.uuid4().hex}")
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def body(self) -> bytes:
        """What is sent: `type`, `timestamp`, and `data` with the sentence and the host that it comes from."""
        data = {"sentence": self.sentence, "host": socket.gethostname()} | self.data
        return json.dumps({"type": self.event, "timestamp": self.at.isoformat(), "data": data}).encode()


class Alerts:
    """All receivers. `send` returns at once; `stop` gives what waits a last try. Safe to use from several threads.

    Raises `BadInput` for an address that is neither https nor of this machine, and for a secret that is none.
    """

    def __init__(
        self, urls: Sequence[str], secret: str | None, metrics: Metrics, *, waits_s: Sequence[float] = WAITS_S
    ) -> None:
        key = None if secret is None else _key(secret)
        self._receivers = [_Receiver(_checked(url), key, metrics, waits_s) for url in urls]

    def send(self, alert: Alert) -> None:
        """Log an alert, and have it delivered to every receiver."""
        log.warning("%s: %s", alert.event, alert.sentence)
        for receiver in self._receivers:
            receiver.offer(alert)

    def stop(self, *, within: float) -> None:
        """Deliver what waits, each tried once more at most, for up to `within` seconds."""
        for receiver in self._receivers:
            receiver.end()
        end = time.monotonic() + within
        for receiver in self._receivers:
            receiver.thread.join(max(0.0, end - time.monotonic()))


class _Receiver:
    def __init__(self, url: str, key: bytes | None, metrics: Metrics, waits_s: Sequence[float]) -> None:
        self._url, self._key, self._metrics, self._waits_s = url, key, metrics, waits_s
        self._host = urlsplit(url).hostname  # an address may hold a token: only its host is ever logged
        self._waiting: deque[Alert] = deque()
        self._changed = threading.Condition()
        self._is_ending = False
        self.thread = threading.Thread(target=self._run, name=f"alerts to {self._host}", daemon=True)
        self.thread.start()

    def offer(self, alert: Alert) -> None:
        with self._changed:
            if len(self._waiting) == MOST_WAITING:
                self._waiting.popleft()
                self._metrics.alerts.labels("dropped").inc()
            self._waiting.append(alert)
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
                alert = self._waiting.popleft()
            result = self._deliver(alert)
            self._metrics.alerts.labels(result).inc()
            if result != "sent":
                log.error("the alert %s to %s was %s", alert.event, self._host, result.replace("_", " "))

    def _deliver(self, alert: Alert) -> str:
        """`sent`, `refused` (it will not be taken) or `given_up` (it was not taken in all tries)."""
        for wait_s in (*self._waits_s, None):
            status = post(self._url, alert, self._key)
            if status is not None and status < 500 and status not in TRY_AGAIN:
                return "sent" if 200 <= status < 300 else "refused"
            with self._changed:
                if wait_s is None or self._changed.wait_for(lambda: self._is_ending, timeout=wait_s):
                    break
        return "given_up"


def post(url: str, alert: Alert, key: bytes | None) -> int | None:
    """Send an alert once: the status of the answer, or None where there was none. Redirects are not followed."""
    body, sent_at = alert.body, str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"binsight/{__version__}",
        "webhook-id": alert.id,
        "webhook-timestamp": sent_at,
    }
    if key is not None:
        signed = hmac.new(key, f"{alert.id}.{sent_at}.".encode() + body, hashlib.sha256).digest()
        headers["webhook-signature"] = f"v1,{base64.b64encode(signed).decode()}"
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")  # noqa: S310 - checked
    try:
        with _OPENER.open(request, timeout=TIMEOUT_S) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except (OSError, http.client.HTTPException):
        return None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object, **__: object) -> None:
        """An alert goes where it was told to, and nowhere else."""


_OPENER = urllib.request.build_opener(_NoRedirects)


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.hostname and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))):
        return url
    raise BadInput(
        f"BINSIGHT_ALERT_URLS must hold https:// addresses, or http:// ones of this machine, but one is "
        f"{parts.scheme}://{parts.hostname or ''}…; change it"
    )


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not 24 <= len(key) <= 64:
        raise BadInput(
            f"BINSIGHT_ALERT_SECRET must be {SECRET_PREFIX} and 24 to 64 bytes in base64, but is not; make one with: "
            f'echo "{SECRET_PREFIX}$(openssl rand -base64 32)"'
        )
    return key
