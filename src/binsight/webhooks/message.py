"""One message to one webhook, in the form of Standard Webhooks (https://www.standardwebhooks.com): signed, sent once."""

import base64
import binascii
import hashlib
import hmac
import http.client
import json
import socket
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from binsight import __version__
from binsight.errors import BadInput

TIMEOUT_S = 5.0
SECRET_PREFIX = "whsec_"  # noqa: S105 - what every such secret begins with
TRY_AGAIN = frozenset({408, 425, 429})
"""Statuses below 500 that may pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Something that happened, in one sentence for people; `data` holds the same for programs."""

    event: str
    sentence: str
    data: dict[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: f"msg_{uuid.uuid4().hex}")
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def body(self) -> bytes:
        """What is sent: `type`, `timestamp`, and `data` with the sentence and the host that it comes from."""
        data = {"sentence": self.sentence, "host": socket.gethostname()} | self.data
        return json.dumps({"type": self.event, "timestamp": self.at.isoformat(), "data": data}).encode()


def post(url: str, message: Message, key: bytes | None) -> int | None:
    """Send a message once: the status of the answer, or None where there was none. Redirects are not followed."""
    body, sent_at = message.body, str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"binsight/{__version__}",
        "webhook-id": message.id,
        "webhook-timestamp": sent_at,
    }
    if key is not None:
        signed = hmac.new(key, f"{message.id}.{sent_at}.".encode() + body, hashlib.sha256).digest()
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
        """A message goes where it was told to, and nowhere else."""


_OPENER = urllib.request.build_opener(_NoRedirects)


def result_of(status: int | None) -> str | None:
    """What an answer's status means: `sent`, `refused` (it will not be taken), or None where another try may do."""
    if status is None or status >= 500 or status in TRY_AGAIN:
        return None
    return "sent" if 200 <= status < 300 else "refused"


def checked_url(url: str, *, variable: str) -> str:
    """The address, which must be https or this machine's. Raises `BadInput`, naming the environment's variable."""
    parts = urlsplit(url)
    if parts.hostname and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))):
        return url
    raise BadInput(
        f"{variable} must hold https:// addresses, or http:// ones of this machine, but one is "
        f"{parts.scheme}://{parts.hostname or ''}…; change it"
    )


def key_of(secret: str, *, variable: str) -> bytes:
    """The key that a secret holds. Raises `BadInput`, naming the environment's variable."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not 24 <= len(key) <= 64:
        raise BadInput(
            f"{variable} must be {SECRET_PREFIX} and 24 to 64 bytes in base64, but is not; make one with: "
            f'echo "{SECRET_PREFIX}$(openssl rand -base64 32)"'
        )
    return key


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches the address. A name other than localhost may stand for anything."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
