"""Keys to the service: who may do what, how much of it, and until when.

```
bsk_3f9c1a7be210_5d0e…          what a caller sends: the key's id, and a secret that is shown once
    └── id ────┘ └ 64 hex digits, 256 random bits; the ledger keeps their SHA-256 alone
```
A password needs a slow hash because people choose it from few. Nobody guesses 256 random bits at any speed: one SHA-256
protects them as well, and costs a request a microsecond where a slow one would let anybody keep the processor busy.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from binsight.errors import BadInput

COUNT, READ, TASKS, ADMIN = "count", "read", "tasks", "admin"
SCOPES: Mapping[str, str] = {
    COUNT: "count and verify photos",
    READ: "read what models there are",
    TASKS: "read and give out tasks, and send people's counts in",
    ADMIN: "everything that any other scope allows",
}
"""What a key may be for."""

_TOKEN = re.compile(r"bsk_([0-9a-f]{12})_([0-9a-f]{64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A key's photos a second over time, and how many it may send at once after a pause."""

    photos_per_second: float
    burst_photos: int

    def __post_init__(self) -> None:
        if not (0.001 <= self.photos_per_second <= 1e5 and 1 <= self.burst_photos <= 1e6):
            raise BadInput(
                f"a key's rate must be 0.001 to 100,000 photos a second and its burst 1 to 1,000,000 photos, but they are "
                f"{self.photos_per_second:g} and {self.burst_photos}; leave both out for no limit"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key without its secret. Times are UTC in ISO 8601 to the microsecond, so that they sort as text."""

    id: str
    name: str
    scopes: tuple[str, ...]
    rate: Rate | None
    secret_hash: str = field(repr=False)
    old_secret_hash: str | None = field(default=None, repr=False)
    old_secret_until: str | None = None
    created_at: str
    created_by: str
    expires_at: str | None = None
    rotated_at: str | None = None
    rotated_by: str | None = None
    revoked_at: str | None = None
    revoked_by: str | None = None
    last_used_at: str | None = None

    def has(self, scope: str) -> bool:
        """Whether the key is for this."""
        return scope in self.scopes or ADMIN in self.scopes

    def state(self, now: datetime) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked_at:
            return "revoked"
        return "expired" if self.expires_at and self.expires_at <= stamp(now) else "active"

    def is_opened_by(self, secret: str, now: datetime) -> bool:
        """Whether this is its secret, or the one of before while that still opens. Takes as long for any wrong one."""
        given = hash_of(secret)
        is_new = hmac.compare_digest(given, self.secret_hash)
        is_old = hmac.compare_digest(given, self.old_secret_hash or "")
        return is_new or (is_old and self.old_secret_until is not None and stamp(now) < self.old_secret_until)

    def shown(self) -> dict[str, Any]:
        """What may be printed: everything but the hashes."""
        return {name: value for name, value in asdict(self).items() if not name.endswith("_hash")}


def parsed_token(text: str) -> tuple[str, str] | None:
    """The id and the secret in what a caller sends, or None where it is no key at all."""
    match = _TOKEN.fullmatch(text)
    return (match[1], match[2]) if match else None


def stamp(moment: datetime) -> str:
    """A moment as the ledger keeps it."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def hash_of(secret: str) -> str:
    """What the ledger keeps of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def token_of(key_id: str, secret: str) -> str:
    """What a key's holder sends."""
    return f"bsk_{key_id}_{secret}"
