"""What a plan keeps of each line: columns of numbers, about a hundred bytes a bin, since a warehouse may have a million."""

from array import array
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from math import nan
from typing import Generic, TypeVar, overload

from binsight.audit.lines import VERIFIED, AuditLine
from binsight.audit.misplaced import Shift
from binsight.audit.places import Place, place_of, walking_key

KindT = TypeVar("KindT", bound=Hashable)


class Bins:
    """Bins in columns, of which each has one value a bin.

    `lines` are their places in the audit, from 1; `values` a unit's, and not a number where it has none; `shifts` by the
    bins' places, of the few that have one.
    """

    def __init__(self) -> None:
        self.names = Texts()
        self.lines, self.expected, self.verified = array("q"), array("q"), array("b")
        self.gains, self.seconds, self.values = array("d"), array("d"), array("d")
        self.places: Kinds[Place] = Kinds()
        self.classes: Kinds[str | None] = Kinds()
        self.shifts: dict[int, Shift] = {}

    def __len__(self) -> int:
        return len(self.lines)

    def add(self, line: AuditLine, number: int, *, gain: float, seconds: float, shift: Shift | None) -> None:
        """Keep what a plan needs to know of a line; nothing of it holds on to the estimate."""
        record = line.record
        if shift is not None:
            self.shifts[len(self)] = shift
        self.names.append(record.bin_id)
        self.lines.append(number)
        self.expected.append(record.expected)
        self.verified.append(line.word == VERIFIED)
        self.gains.append(gain)
        self.seconds.append(seconds)
        self.values.append(nan if record.unit_value is None else record.unit_value)
        self.places.append(place_of(record))
        self.classes.append(record.item_class)

    def in_walking_order(self) -> "Bins":
        """The same bins aisle by aisle, and in each as one walks past them."""
        by_place: defaultdict[int, array[int]] = defaultdict(lambda: array("q"))
        for i, code in enumerate(self.places.codes):
            by_place[code].append(i)
        order = array("q")
        for code in sorted(by_place, key=lambda code: tuple(map(walking_key, self.places.kinds[code]))):
            # an aisle at a time, since the keys of all bins at once would take more memory than the bins
            order.extend(sorted(by_place.pop(code), key=lambda i: walking_key(self.names[i])))
        return self._taken(order)

    def _taken(self, order: Sequence[int]) -> "Bins":
        taken = Bins()
        taken.names.extend(self.names[i] for i in order)
        for name in ("lines", "expected", "verified", "gains", "seconds", "values"):
            column = getattr(self, name)
            getattr(taken, name).extend(map(column.__getitem__, order))
        taken.places, taken.classes = self.places.taken(order), self.classes.taken(order)
        taken.shifts = {place: self.shifts[i] for place, i in enumerate(order) if i in self.shifts}
        return taken


class Kinds(Sequence[KindT], Generic[KindT]):
    """A column of few different values: each is kept once, and every bin has its number."""

    def __init__(self) -> None:
        self.kinds: list[KindT] = []
        self.codes = array("l")
        self._code_of: dict[KindT, int] = {}

    def append(self, kind: KindT) -> None:
        """Add a bin's value."""
        code = self._code_of.setdefault(kind, len(self.kinds))
        if code == len(self.kinds):
            self.kinds.append(kind)
        self.codes.append(code)

    def taken(self, order: Iterable[int]) -> "Kinds[KindT]":
        """The values at these places, in this order."""
        taken: Kinds[KindT] = Kinds()
        taken.kinds, taken._code_of = self.kinds, self._code_of
        taken.codes.extend(map(self.codes.__getitem__, order))
        return taken

    @overload
    def __getitem__(self, i: int) -> KindT: ...
    @overload
    def __getitem__(self, i: slice) -> Sequence[KindT]: ...
    def __getitem__(self, i: int | slice) -> KindT | Sequence[KindT]:
        if isinstance(i, slice):
            return [self.kinds[code] for code in self.codes[i]]
        return self.kinds[self.codes[i]]

    def __len__(self) -> int:
        return len(self.codes)


class Texts:
    """Texts one after another in one piece of memory; a text that stands alone would take 60 bytes more."""

    def __init__(self) -> None:
        self._bytes, self._ends = bytearray(), array("q")

    def append(self, text: str) -> None:
        """Add a text."""
        self._bytes += text.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._bytes))

    def extend(self, texts: Iterable[str]) -> None:
        """Add texts."""
        for text in texts:
            self.append(text)

    def __getitem__(self, i: int) -> str:
        start = self._ends[i - 1] if i else 0
        return self._bytes[start : self._ends[i]].decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self._ends)))
