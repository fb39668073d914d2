"""The frozen values that the rooms exchange: what a record says, what a photo shows.

Counts are plain `int`s; a distribution over counts is `probs[n]` = p(n) for n = 0 … K-1, where the last
entry stands for "K-1 or more".
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from binsight.errors import BadRecord

MOST_UNITS = 999_999_999
"""The largest record and count: what is more was mistyped, and a ledger's numbers end."""

UNREADABLE = "unreadable"
"""The flag of a photo that could be opened but, as the counter itself says, not counted well."""

CHAMPION, CANARY, SHADOW, CHALLENGER = "champion", "canary", "shadow", "challenger"
"""The bundle in use; the one that answers a share of the requests; the one that counts beside, without being heard; the one
that wants the champion's place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordItem:
    """One line of a stock record: so many units of one item. `volume` is one unit's, in cubic inches, if known."""

    sku: str
    quantity: int
    name: str = ""
    volume: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BinRecord:
    """What the stock system says that the bin in one photo holds.

    `expected` is the record's own total. `items` need not add up to it: that is a finding
    (`adds_up`), not an error. `photo` is the photo's id, a string: `1` and `00001` are different photos.
    """

    photo: str
    expected: int
    items: tuple[RecordItem, ...] = ()

    @property
    def adds_up(self) -> bool:
        """Whether the quantities of the items sum to the expected total."""
        return sum(item.quantity for item in self.items) == self.expected

    @property
    def skus(self) -> frozenset[str]:
        return frozenset(item.sku for item in self.items)

    @property
    def columns(self) -> dict[str, str]:
        """What a dataset keeps of the record beside the count; volumes only where every item's is known.

        `item_lines` different items, `items_volume` of all units together, and `largest_item`, one unit's volume.
        """
        columns = {"item_lines": str(len(self.items))}
        volumes = [item.volume for item in self.items]
        if volumes and None not in volumes:
            columns["items_volume"] = f"{sum(i.quantity * (i.volume or 0) for i in self.items):.1f}"
            columns["largest_item"] = f"{max(item.volume or 0 for item in self.items):.1f}"
        return columns

    @classmethod
    def from_abid_json(cls, data: bytes, *, photo: str) -> "BinRecord":
        """Read a record in the Amazon Bin Image Dataset's form.

        Raises `BadRecord` naming the photo where the bytes are not JSON, are not an object, or lack a
        whole, non-negative `EXPECTED_QUANTITY` or an item's `quantity`.
        """
        where = f"record of photo {photo}"
        try:
            fields = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise BadRecord(f"{where} is not JSON ({error}); fetch it again or remove it") from None
        if not isinstance(fields, dict):
            raise BadRecord(f"{where} must be a JSON object, but is a {type(fields).__name__}")
        lines = fields.get("BIN_FCSKU_DATA")
        if not isinstance(lines, dict):
            raise BadRecord(f"{where} must have an object BIN_FCSKU_DATA, but has {_shown(lines)}")
        expected = _quantity(fields.get("EXPECTED_QUANTITY"), f"{where}: EXPECTED_QUANTITY")
        return cls(
            photo=photo,
            expected=expected,
            items=tuple(_abid_item(sku, line, where) for sku, line in sorted(lines.items())),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StockRecord:
    """What a stock system expects in one bin, as a whole: the lines of its items added up.

    `row` is where the bin's first line stands in its file, the header being row 1. Moments are in UTC: `as_of` of the
    record, `photo_taken_at` of the photo, where the file says. `unit_value` is in the file's own currency; `item_class`
    is the site's own (A, B, C), `aisle` where people walk.
    """

    bin_id: str
    expected: int
    row: int
    photo: str | None = None
    skus: tuple[str, ...] = ()
    site: str | None = None
    aisle: str | None = None
    as_of: datetime | None = None
    photo_taken_at: datetime | None = None
    unit_value: float | None = None
    item_class: str | None = None


def _abid_item(sku: str, line: Any, where: str) -> RecordItem:
    if not isinstance(line, dict):
        raise BadRecord(f"{where}: item {sku} must be an object, but is {_shown(line)}")
    return RecordItem(
        sku=sku,
        quantity=_quantity(line.get("quantity"), f"{where}: quantity of item {sku}"),
        name=str(line.get("name") or ""),
        volume=_volume(line),
    )


def _volume(line: Mapping[str, Any]) -> float | None:
    """Length × width × height, or None where one is missing, is nothing or has another unit than inches."""
    volume = 1.0
    for side in ("length", "width", "height"):
        size = line.get(side)
        if not isinstance(size, dict) or size.get("unit") != "IN" or not isinstance(size.get("value"), int | float):
            return None
        volume *= max(size["value"], 0)
    return volume if 0 < volume < float("inf") else None  # neither for "not a number"


def _quantity(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadRecord(f"{what} must be a whole number of 0 or more, but is {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    return "missing" if value is None else json.dumps(value)[:60]


@dataclass(frozen=True, slots=True, kw_only=True)
class CountEstimate:
    """The model's distribution over counts for one photo, from the photo alone.

    `probs[n]` = p(n); the last entry stands for "this many or more". `flags` are quality words of the pixels
    (`blurred`, `dark`, …) and, where the counter is too unsure of its own answer, `UNREADABLE`. `bin_label` is what
    was read from a label in the photo, if anything was.
    """

    photo: str
    probs: tuple[float, ...]
    bin_label: str | None = None
    flags: tuple[str, ...] = field(default=())

    @property
    def count(self) -> int:
        """The most likely count; the smaller one where two are equally likely."""
        return self.probs.index(max(self.probs))

    @property
    def within_one(self) -> float:
        """The probability that the most likely count is right or one off."""
        return min(1.0, sum(self.probs[max(0, self.count - 1) : self.count + 2]))

    @property
    def interval(self) -> tuple[int, int]:
        """The central interval that holds at least 90% of the probability, both ends included."""
        return self.central_interval(0.9)

    def central_interval(self, mass: float) -> tuple[int, int]:
        """Smallest `low` and `high` with at most `(1 - mass) / 2` of the probability outside on each side."""
        if not 0 < mass < 1:
            raise ValueError(f"`0 < mass < 1` must hold, but got mass={mass}")
        tail = (1 - mass) / 2
        return _first_above(self.probs, tail), len(self.probs) - 1 - _first_above(self.probs[::-1], tail)


def _first_above(probs: tuple[float, ...], tail: float) -> int:
    total = 0.0
    for n, p in enumerate(probs):
        total += p
        if total > tail:
            return n
    return len(probs) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CountFailure:
    """A photo that could not be counted, and one sentence why."""

    photo: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What to do about one record, given what the photo shows.

    `word` is `verified` (a certificate is in force for such records and the photo bears this one out), `suspect`
    (counting the bin is worth more than it costs) or `not_assessable` (neither). `p_record` is p(expected | photo), from
    the photo alone; `p_right` and `units_off` join it with how records err: the probability that the record is right,
    and its expected error in units. `reason` is a clause for a person.
    """

    expected: int
    word: str
    p_record: float
    p_right: float
    units_off: float
    reason: str
