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
import secrets
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from binsight.errors import BadInput, ChangedMeanwhile, MissingObject
from binsight.storage.ledger.database import Ledger
from binsight.storage.ledger.tables import api_keys

COUNT, READ, ADMIN = "count", "read", "admin"
SCOPES: Mapping[str, str] = {
    COUNT: "count and verify photos",
    READ: "read what models there are",
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
        given = _hash(secret)
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


class ApiKeys:
    """The keys of a ledger. Every method raises as the ledger's transactions do; keys are never deleted."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def close(self) -> None:
        """Give the ledger's connections back."""
        self._ledger.close()

    def add(
        self,
        name: str,
        *,
        scopes: Collection[str],
        by: str,
        rate: Rate | None = None,
        expires_at: datetime | None = None,
    ) -> tuple[ApiKey, str]:
        """A new key, and what its holder has to send: it cannot be had again.

        Raises `BadInput` for a name, a scope or an end that cannot be.
        """
        now = datetime.now(UTC)
        if not name.strip() or len(name) > 200 or not name.isprintable():
            raise BadInput(
                f"a key's name must be 1 to 200 printable characters, but is {name[:40]!r}; say whose it is"
            )
        if not scopes or not set(scopes) <= set(SCOPES):
            raise BadInput(
                f"a key's scopes must be among {', '.join(SCOPES)}, but are {', '.join(scopes) or 'none'}"
            )
        if expires_at is not None and expires_at <= now:
            raise BadInput(f"a key must expire in the future, but {stamp(expires_at)} is past; choose a later time")
        key = ApiKey(
            id=secrets.token_hex(6),
            name=name,
            scopes=tuple(sorted(set(scopes))),
            rate=rate,
            secret_hash=_hash(secret := secrets.token_hex(32)),
            created_at=stamp(now),
            created_by=by,
            expires_at=None if expires_at is None else stamp(expires_at),
        )
        with self._ledger.writing() as connection:
            connection.execute(sa.insert(api_keys).values(_row(key)))
        return key, _token(key.id, secret)

    def all(self) -> list[ApiKey]:
        """Every key that there ever was, the newest first."""
        query = sa.select(api_keys).order_by(api_keys.c.created_at.desc(), api_keys.c.id)
        with self._ledger.reading() as connection:
            return [_key(row) for row in connection.execute(query)]

    def not_revoked(self) -> dict[str, ApiKey]:
        """The keys that may still open, by id; some may have expired."""
        query = sa.select(api_keys).where(api_keys.c.revoked_at.is_(None))
        with self._ledger.reading() as connection:
            return {row.id: _key(row) for row in connection.execute(query)}

    def rotate(self, key_id: str, *, by: str, old_until: datetime) -> tuple[ApiKey, str]:
        """A new secret for a key, and what its holder has to send from now on; the one of before opens until `old_until`.

        One that was still open from an earlier rotation opens no more. Raises `MissingObject` for no such key, `BadInput`
        for a revoked one, `ChangedMeanwhile` where somebody else rotated it at this moment.
        """
        now = datetime.now(UTC)
        key = self._one(key_id)
        if (state := key.state(now)) != "active":
            raise BadInput(f"the key {key.id} ({key.name}) is {state}; add a new one")
        renewed = replace(
            key,
            secret_hash=_hash(secret := secrets.token_hex(32)),
            old_secret_hash=key.secret_hash,
            old_secret_until=stamp(old_until),
            rotated_at=stamp(now),
            rotated_by=by,
        )
        changed = {
            name: _row(renewed)[name] for name in _row(renewed) if name.startswith(("secret", "old", "rotated"))
        }
        as_seen = (
            (api_keys.c.id == key.id)
            & (api_keys.c.secret_hash == key.secret_hash)
            & (api_keys.c.revoked_at.is_(None))
        )
        with self._ledger.writing() as connection:
            if connection.execute(sa.update(api_keys).where(as_seen).values(changed)).rowcount != 1:
                raise ChangedMeanwhile(f"the key {key.id} was changed by somebody else meanwhile; look again")
        return renewed, _token(key.id, secret)

    def revoke(self, key_id: str, *, by: str) -> ApiKey:
        """Let a key open no more, for good; one that is revoked already stays as it is. Raises `MissingObject`."""
        in_force = (api_keys.c.id == key_id) & api_keys.c.revoked_at.is_(None)
        values = {"revoked_at": stamp(datetime.now(UTC)), "revoked_by": by}
        with self._ledger.writing() as connection:
            connection.execute(sa.update(api_keys).where(in_force).values(values))
        return self._one(key_id)

    def note_uses(self, used: Mapping[str, datetime]) -> None:
        """Keep when keys were last used; an earlier time than is kept changes nothing."""
        with self._ledger.writing() as connection:
            for key_id, moment in sorted(used.items()):  # in one order: two replicas cannot lock each other out
                last = api_keys.c.last_used_at
                is_later = (api_keys.c.id == key_id) & (last.is_(None) | (last < stamp(moment)))
                connection.execute(sa.update(api_keys).where(is_later).values(last_used_at=stamp(moment)))

    def _one(self, key_id: str) -> ApiKey:
        with self._ledger.reading() as connection:
            row = connection.execute(sa.select(api_keys).where(api_keys.c.id == key_id)).first()
        if row is None:
            raise MissingObject(f"there is no key {key_id[:40]!r}; binsight keys list shows all ids")
        return _key(row)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _token(key_id: str, secret: str) -> str:
    return f"bsk_{key_id}_{secret}"


def _row(key: ApiKey) -> dict[str, Any]:
    row = {column.name: getattr(key, column.name, None) for column in api_keys.c}
    rate = key.rate
    return row | {
        "scopes": " ".join(key.scopes),
        "photos_per_second": rate and rate.photos_per_second,
        "burst_photos": rate and rate.burst_photos,
    }


def _key(row: "sa.Row[Any]") -> ApiKey:
    fields = dict(row._mapping)
    per_second, burst = fields.pop("photos_per_second"), fields.pop("burst_photos")
    rate = None if per_second is None else Rate(photos_per_second=per_second, burst_photos=burst)
    return ApiKey(**fields | {"scopes": tuple(row.scopes.split()), "rate": rate})
