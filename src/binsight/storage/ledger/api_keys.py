"""The table of keys: added, rotated and revoked, never deleted."""

import secrets
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from binsight.errors import BadInput, ChangedMeanwhile, MissingObject
from binsight.storage.api_key import SCOPES, ApiKey, Rate, hash_of, stamp, token_of
from binsight.storage.ledger.database import Ledger
from binsight.storage.ledger.tables import api_keys


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
            secret_hash=hash_of(secret := secrets.token_hex(32)),
            created_at=stamp(now),
            created_by=by,
            expires_at=None if expires_at is None else stamp(expires_at),
        )
        with self._ledger.writing() as connection:
            connection.execute(sa.insert(api_keys).values(_row(key)))
        return key, token_of(key.id, secret)

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
            secret_hash=hash_of(secret := secrets.token_hex(32)),
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
        return renewed, token_of(key.id, secret)

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
