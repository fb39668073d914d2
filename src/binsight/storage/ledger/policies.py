"""Policies, each a row for good: the newest is in force."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from binsight.errors import ChangedMeanwhile
from binsight.storage.api_key import stamp
from binsight.storage.ledger.database import Ledger, inserted
from binsight.storage.ledger.journal import append
from binsight.storage.ledger.tables import policies


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRow:
    """What was set, by whom and when; `revision` counts from 1."""

    revision: int
    set_at: str
    set_by: str
    body: Mapping[str, Any]


class Policies:
    """The policies of a ledger. Every method raises as the ledger's transactions do."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def newest(self) -> PolicyRow | None:
        """The policy in force; None where nobody ever set one."""
        with self._ledger.reading() as connection:
            row = connection.execute(sa.select(policies).order_by(policies.c.revision.desc()).limit(1)).first()
        return None if row is None else PolicyRow(**{**row._mapping, "body": json.loads(row.body)})

    def set(self, body: Mapping[str, Any], *, seen: int, by: str) -> int:
        """A new policy, if revision `seen` (0: none) is still in force; its revision. Raises `ChangedMeanwhile`."""
        text = json.dumps(body, sort_keys=True)
        row = {"revision": seen + 1, "set_at": stamp(datetime.now(UTC)), "set_by": by, "body": text}
        with self._ledger.writing() as connection:
            newest = connection.execute(sa.select(sa.func.max(policies.c.revision))).scalar() or 0
            if newest != seen or not inserted(connection, sa.insert(policies).values(row)):
                raise ChangedMeanwhile("somebody else changed the policy meanwhile; look again, then repeat")
            append(connection, kind="policy.set", subject=str(seen + 1), body=dict(body), by=by)
        return seen + 1
