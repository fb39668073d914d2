"""Turns: work that one process at a time may do, on whatever machine. Held by beating, and lost by not beating.

Nothing here compares clocks: who waits for a turn looks whether its beats still go up while the waiting process's own
clock runs, so that no clock that jumps takes a turn from one who works, or leaves it with one who is dead.
"""

from dataclasses import dataclass

import sqlalchemy as sa

from binsight.storage.ledger.database import Ledger, inserted
from binsight.storage.ledger.retraining_tables import marks, turns

FREE = ""
"""The holder of a turn that nobody has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Who holds a turn, where in words, and how often he has shown that he is alive."""

    name: str
    holder: str
    place: str
    beats: int


class Turns:
    """The turns of a ledger. Every method raises as the ledger's transactions do."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def take(self, name: str, holder: str, *, place: str, dead: Turn | None = None) -> Turn:
        """The turn as it is then: the asker's where it was free, his already, or still as it was `seen` to be dead."""
        mine = {"holder": holder, "place": place}
        with self._ledger.writing() as connection:
            if inserted(connection, sa.insert(turns).values(name=name, beats=1, **mine)):
                return Turn(name=name, holder=holder, place=place, beats=1)
            may = (turns.c.holder == FREE) | (turns.c.holder == holder)
            if dead is not None:
                may |= (turns.c.holder == dead.holder) & (turns.c.beats == dead.beats)
            taking = sa.update(turns).where((turns.c.name == name) & may)
            connection.execute(taking.values(beats=turns.c.beats + 1, **mine))
            return Turn(**connection.execute(sa.select(turns).where(turns.c.name == name)).mappings().one())

    def beat(self, name: str, holder: str) -> bool:
        """Show that its holder is alive; False where it is not his any more."""
        mine = (turns.c.name == name) & (turns.c.holder == holder)
        with self._ledger.writing() as connection:
            return connection.execute(sa.update(turns).where(mine).values(beats=turns.c.beats + 1)).rowcount == 1

    def give_back(self, name: str, holder: str) -> None:
        """Let others have it; nothing happens where it is not his."""
        mine = (turns.c.name == name) & (turns.c.holder == holder)
        with self._ledger.writing() as connection:
            connection.execute(sa.update(turns).where(mine).values(holder=FREE, beats=turns.c.beats + 1))


class Marks:
    """Moments that are remembered by name, UTC in ISO 8601. Every method raises as the ledger's transactions do."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def get(self, name: str) -> str | None:
        """The moment; None where there is none."""
        with self._ledger.reading() as connection:
            return connection.execute(sa.select(marks.c.at).where(marks.c.name == name)).scalar()

    def set(self, name: str, at: str) -> None:
        """Remember a moment in the place of the one before."""
        with self._ledger.writing() as connection:
            if not inserted(connection, sa.insert(marks).values(name=name, at=at)):
                connection.execute(sa.update(marks).where(marks.c.name == name).values(at=at))
