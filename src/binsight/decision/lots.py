"""Which verified records people count all the same: drawn by lots that nobody can foretell. Pure functions.

*What makes the draw unbiased.* A record's lot is a number between 0 and 1 from a keyed hash (HMAC-SHA256) of the audit
and the record's place in it. The key is made afresh for each audit, so that the lots are to everybody else as good as
drawn evenly and independently, and know nothing of the record, its photo, how sure the verdict is, or how long it takes to
count. A record is drawn where its lot lies below `share`: each one with the same probability, whatever becomes of the
others (Poisson sampling; Särndal, Swensson and Wretman, Model Assisted Survey Sampling, 1992, section 3.5), and in
expectation exactly `share` of them. Where chance would draw none at all, the lowest lot is taken, which of N records has

    P(a record is drawn) = share + (1 - share)^N / N

and that is still the same for all. What is drawn must then be counted as a whole: whoever leaves out what is far away, or
what does not fit into a day, has drawn by that and no longer by lot.

*That no other draw could have been made to look like this one.* The audit names the key's hash before its first record is
judged, and the key itself after its last: so anybody can draw again (`lot`), and nobody could choose a key by what it
draws.
"""

import hmac
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

SHARE = 0.01
"""One verified record in a hundred is counted."""

KEY_BYTES = 32

T = TypeVar("T", bound=Hashable)


def lot(key: bytes, audit: str, place: int) -> float:
    """The lot of a record: evenly spread over [0, 1) for who does not know the key."""
    drawn = hmac.digest(key, f"{audit}\x1f{place}".encode(), "sha256")
    return int.from_bytes(drawn[:8], "big") / 2**64


@dataclass(slots=True, kw_only=True)
class Lots(Generic[T]):
    """Draws while records pass, and keeps only those that are drawn. Raises `ValueError` outside of 0 ≤ share ≤ 1."""

    key: bytes
    audit: str
    share: float = SHARE
    num: int = 0
    _drawn: dict[int, T] = field(default_factory=dict)
    _lowest: tuple[float, int, T] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"`0 <= share <= 1` must hold, but got share={self.share}")

    def offer(self, place: int, name: T) -> None:
        """Draw or pass over the record at this place of the audit, which is called `name`."""
        self.num += 1
        mine = lot(self.key, self.audit, place)
        if mine < self.share:
            self._drawn[place] = name
        elif self._lowest is None or mine < self._lowest[0]:
            self._lowest = mine, place, name

    @property
    def drawn(self) -> dict[int, T]:
        """What is drawn, by place: at least one where anything was offered and anything is to be drawn."""
        if self._drawn or self._lowest is None or not self.share:
            return dict(self._drawn)
        return {self._lowest[1]: self._lowest[2]}

    @property
    def probability(self) -> float:
        """With which probability each record of those offered was drawn."""
        if not self.num or not self.share:
            return 0.0
        return self.share + (1 - self.share) ** self.num / self.num


def draw(names: Iterable[T], *, key: bytes, audit: str, share: float = SHARE) -> dict[int, T]:
    """Draw from records whose places count from 1: what is drawn, by place."""
    lots = Lots[T](key=key, audit=audit, share=share)
    for place, name in enumerate(names, 1):
        lots.offer(place, name)
    return lots.drawn
