"""The turn to retrain, held by beating while the work goes on; whoever finds it beating lets the other one work."""

import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from binsight.errors import BinsightError, ChangedMeanwhile
from binsight.poller import Poller
from binsight.storage.ledger import Ledger, Turn, Turns

RETRAIN = "retrain"
BEAT_EVERY_S = 3.0
DEAD_AFTER_S = 20.0
"""A turn that did not beat for so long, by the clock of the one who waits, is nobody's."""
LOOK_EVERY_S = 1.0


class Held:
    """A turn that is being held. `check` raises `ChangedMeanwhile` where it was lost meanwhile."""

    def __init__(self, turns: Turns, holder: str) -> None:
        self._turns, self._holder = turns, holder
        self._is_lost = False
        self._poller = Poller(self._beat, name="turn", every_s=BEAT_EVERY_S)
        self._poller.start()

    def check(self) -> None:
        """Before anything that others would see. Raises as the ledger's transactions do, too."""
        if self._is_lost or not self._turns.beat(RETRAIN, self._holder):
            raise ChangedMeanwhile(
                "another retraining took over while this one stood still; nothing was promoted, let that one end"
            )

    def stop(self) -> None:
        """Beat no more, and let others have the turn, if the ledger can be told."""
        self._poller.stop()
        with suppress(BinsightError):
            self._turns.give_back(RETRAIN, self._holder)

    def _beat(self) -> None:
        with suppress(BinsightError):  # a ledger that is away for a while; whoever acts asks it again
            if not self._turns.beat(RETRAIN, self._holder):
                self._is_lost = True
                self._poller.end()


@contextmanager
def holding(ledger: Ledger, holder: str, work: Path, say: Callable[[str], None]) -> Iterator[Held]:
    """Have the turn for a while. Raises `ChangedMeanwhile`, naming who has it, where another one works."""
    turns, place = Turns(ledger), f"{work.resolve()} on {platform.node()}, process {os.getpid()}"
    taken = turns.take(RETRAIN, holder, place=place)
    if taken.holder != holder:
        _wait_until_dead(turns, taken, holder, place, say)
    held = Held(turns, holder)
    try:
        yield held
    finally:
        held.stop()


def _wait_until_dead(turns: Turns, seen: Turn, holder: str, place: str, say: Callable[[str], None]) -> None:
    """Take the turn of one who does not beat any more."""
    say(f"a retraining in {seen.place} has the turn; looking for {DEAD_AFTER_S:.0f} s whether it is alive")
    end = time.monotonic() + DEAD_AFTER_S
    while time.monotonic() < end:
        time.sleep(LOOK_EVERY_S)
        now = turns.take(RETRAIN, holder, place=place)
        if now.holder == holder:
            return
        if (now.holder, now.beats) != (seen.holder, seen.beats):
            raise ChangedMeanwhile(f"another retraining runs in {now.place}; let it end, and run the command again")
    if turns.take(RETRAIN, holder, place=place, dead=seen).holder != holder:
        raise ChangedMeanwhile("another retraining took over meanwhile; let it end, and run the command again")
    say("it does not beat any more, and this one goes on in its place")
