"""Drift that services see in the photos of a bundle, as episodes: what a retraining may be due for, once each.

```
a service sees drift ─▶ seen: an episode, or the one that there is ─▶ under way ─▶ answered by a retraining
               … no more ─▶ over; a service that dies says nothing, and a day later the episode is over too
```
An episode is a bundle's and not a host's: replicas that see the same photos drift, or one that is started again, add none.
Drift that comes back within a day, as daylight does, is the same.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from binsight.storage.api_key import stamp
from binsight.storage.ledger.database import Ledger, alone
from binsight.storage.ledger.retraining_tables import drift_episodes, retrainings
from binsight.storage.ledger.retrainings import DECIDED

A_DAY = timedelta(days=1)
"""An episode that was not seen for longer is over, and drift after it is another. By the clocks of several machines, which
may well differ by minutes."""
_SEEING = 0x64726674
"""PostgreSQL's lock that one transaction alone may hold while it looks for an episode and begins one: "drft"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftEpisode:
    """Drift of a bundle's photos. Moments are UTC in ISO 8601; `host` saw it last, and said so in a `sentence`.

    `ended_at` is None as long as that host does not say that it is over.
    """

    number: int
    version: str
    began_at: str
    seen_at: str
    ended_at: str | None
    host: str
    sentence: str


class DriftEpisodes:
    """The episodes of a ledger. Every method raises as the ledger's transactions do; `now` is for tests."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def seen(self, version: str, *, host: str, sentence: str, now: datetime | None = None) -> int:
        """Keep that photos of a bundle drift at a host: the number of the episode that this belongs to."""
        at = now or datetime.now(UTC)
        values = {"seen_at": stamp(at), "ended_at": None, "host": host, "sentence": sentence}
        with self._ledger.writing() as connection:
            alone(connection, _SEEING)
            last = _last(connection, version)
            if last is not None and _is_lately(last, at):
                changing = sa.update(drift_episodes).where(drift_episodes.c.number == last.number)
                connection.execute(changing.values(**values))
                return last.number
            row = {"version": version, "began_at": stamp(at), **values}
            made = connection.execute(sa.insert(drift_episodes).values(row)).inserted_primary_key
            assert made is not None
            return int(made[0])

    def over(self, version: str, *, host: str, now: datetime | None = None) -> bool:
        """Keep that photos of a bundle drift no more at a host. That ends an episode which no other host has seen since."""
        mine = (drift_episodes.c.version == version) & (drift_episodes.c.host == host)
        ending = sa.update(drift_episodes).where(mine & drift_episodes.c.ended_at.is_(None))
        with self._ledger.writing() as connection:
            return connection.execute(ending.values(ended_at=stamp(now or datetime.now(UTC)))).rowcount > 0

    def under_way(self, version: str, *, now: datetime | None = None) -> DriftEpisode | None:
        """The episode of a bundle that is not over; None where there is none."""
        with self._ledger.reading() as connection:
            last = _last(connection, version)
        is_there = last is not None and last.ended_at is None and _is_lately(last, now or datetime.now(UTC))
        return last if is_there else None

    def is_answered(self, number: int) -> bool:
        """Whether a retraining that began in this episode came to a decision."""
        answers = (retrainings.c.drift == number) & retrainings.c.state.in_(DECIDED)
        with self._ledger.reading() as connection:
            return connection.execute(sa.select(retrainings.c.id).where(answers).limit(1)).first() is not None

    def close(self) -> None:
        """Give the ledger's connections back."""
        self._ledger.close()


def _last(connection: sa.Connection, version: str) -> DriftEpisode | None:
    query = sa.select(drift_episodes).where(drift_episodes.c.version == version)
    row = connection.execute(query.order_by(drift_episodes.c.number.desc()).limit(1)).mappings().first()
    return None if row is None else DriftEpisode(**row)


def _is_lately(episode: DriftEpisode, now: datetime) -> bool:
    """Whether it was seen within a day of `now`: also of one that lies before, where a clock was set back."""
    return abs(now - datetime.fromisoformat(episode.seen_at)) <= A_DAY
