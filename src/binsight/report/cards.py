"""Estimate cards: one photo, what was counted in it, how sure that is, and what is known about it otherwise."""

import base64
from dataclasses import dataclass

from binsight.records import CountEstimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One count of a distribution: its probability, and how it is marked."""

    label: str
    percent: float
    is_count: bool
    in_interval: bool
    is_known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateCard:
    """A photo beside its estimate, or beside the sentence (`error`) that says why it could not be counted.

    `known` is the count from elsewhere, where there is one, and `known_as` what it is: "record" or, of a drawn
    bin, "true count". `jpeg` should be small: the page carries every photo within itself.
    """

    photo: str
    jpeg: bytes | None
    estimate: CountEstimate | None = None
    error: str = ""
    known: int | None = None
    known_as: str = "record"

    @property
    def data_uri(self) -> str | None:
        return None if self.jpeg is None else "data:image/jpeg;base64," + base64.b64encode(self.jpeg).decode()

    @property
    def count(self) -> str:
        """The most likely count, with a plus where it stands for "this many or more"."""
        return "" if self.estimate is None else self._named(self.estimate.count)

    @property
    def interval(self) -> str:
        if self.estimate is None:
            return ""
        low, high = self.estimate.interval
        return self._named(low) if low == high else f"{low}–{self._named(high)}"

    @property
    def verdict(self) -> str:
        """How it stands to what is known: "agrees", "within" (the interval), "differs", or "" where nothing is."""
        if self.estimate is None or self.known is None:
            return ""
        known = min(self.known, self._most)
        low, high = self.estimate.interval
        if known == self.estimate.count:
            return "agrees"
        return "within" if low <= known <= high else "differs"

    @property
    def bars(self) -> list[Bar]:
        """The distribution, one bar a count."""
        if self.estimate is None:
            return []
        low, high = self.estimate.interval
        return [
            Bar(
                label=self._named(n),
                percent=100 * p,
                is_count=n == self.estimate.count,
                in_interval=low <= n <= high,
                is_known=self.known is not None and n == min(self.known, self._most),
            )
            for n, p in enumerate(self.estimate.probs)
        ]

    @property
    def _most(self) -> int:
        assert self.estimate is not None
        return len(self.estimate.probs) - 1

    def _named(self, n: int) -> str:
        return f"{n}+" if n == self._most else str(n)
