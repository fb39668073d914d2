"""Which photos are asked for: ids as strings, ranges of them, a list of record paths, counts, a limit."""

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from binsight.errors import BadInput, MissingObject

# An id becomes a file's name: no folders, no hidden files, no control characters.
_ID = re.compile(r"[^./\\\x00-\x1f][^/\\\x00-\x1f]*")
_ID_RANGE = re.compile(r"([0-9]+)-([0-9]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which photos: by `ids` (`00001-01200`, `00001`), by a list, or, with neither, all that the source lists.

    `counts` keeps those whose record says such a count; `limit` ends after so many photos. Checked at
    construction; raises `BadInput`.
    """

    ids: tuple[str, ...] = ()
    list_file: Path | None = None
    counts: range | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.ids and self.list_file:
            raise BadInput("photos are chosen by ids or by a list, not by both; leave one out")
        if self.limit is not None and self.limit < 1:
            raise BadInput(f"`limit >= 1` must hold, but got limit={self.limit}")
        for text in self.ids:
            ids_of(text)

    def known_ids(self) -> tuple[Iterator[str], int] | None:
        """The ids, each once and in the order given, and at most how many; None where only the source knows them.

        Raises `BadInput` or `MissingObject` for a list that cannot be used.
        """
        if self.list_file:
            ids = listed_ids(self.list_file, self.counts)
            return iter(ids), len(ids)
        if self.ids:
            runs = [ids_of(text) for text in self.ids]
            return _each_once(runs), sum(map(len, runs))
        return None

    def wants_count(self, count: int) -> bool:
        return self.counts is None or count in self.counts


@dataclass(frozen=True, slots=True)
class IdRange(Collection[str]):
    """Consecutive numeric ids, padded with zeros to `width` digits: `00009`, `00010`, …"""

    numbers: range
    width: int

    def __iter__(self) -> Iterator[str]:
        return (f"{number:0{self.width}}" for number in self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def __contains__(self, photo: object) -> bool:
        return (
            isinstance(photo, str)
            and photo.isdecimal()
            and int(photo) in self.numbers
            and photo == f"{int(photo):0{self.width}}"
        )


def ids_of(text: str) -> Collection[str]:
    """The ids that `00001-01200` (both ends included) or a single id names. Raises `BadInput`.

    The ends' width is kept, since ids are strings: `1` and `00001` are different photos. `8-12` counts without
    padding; `08-112` would leave open which is meant.
    """
    ends = _ID_RANGE.fullmatch(text)
    if not ends:
        return (_checked_id(text, f"id {text!r}"),)
    low, high = ends.groups()
    if len(low) != len(high) and (low.startswith("0") or high.startswith("0")):
        raise BadInput(
            f"the ends of an id range must have the same number of digits where they are padded with zeros, "
            f"but got {text}; `1` and `00001` are different photos"
        )
    if int(low) > int(high):
        raise BadInput(f"`first <= last` must hold in an id range, but got {text}")
    return IdRange(range(int(low), int(high) + 1), len(low))


def counts_of(text: str) -> range:
    """The counts that `1-5` (both ends included) or `3` names. Raises `BadInput`."""
    ends = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", text)
    if not ends:
        raise BadInput(f"counts must be a number or a range of them, as 3 or 1-5, but got {text!r}")
    low, high = int(ends[1]), int(ends[2] or ends[1])
    if low > high:
        raise BadInput(f"`lowest <= highest` must hold for counts, but got {text}")
    return range(low, high + 1)


def listed_ids(path: Path, counts: range | None) -> Sequence[str]:
    """The ids in a list of record paths by count, `{"1": ["data/metadata/100313.json", …], …}`, each once.

    With `counts`, only those that the list puts under such a count. Raises `MissingObject` or `BadInput`.
    """
    try:
        lists = json.loads(path.read_bytes())
    except OSError as error:
        raise MissingObject(f"the list {path} cannot be read ({error.strerror}); check the path") from None
    except ValueError as error:
        raise BadInput(f"the list {path} is not JSON ({error}); get it again") from None
    if not isinstance(lists, dict):
        raise BadInput(f"the list {path} must be a JSON object of count → record paths")
    ids: dict[str, None] = {}
    for count, records in lists.items():
        if not count.isdecimal() or not isinstance(records, list):
            raise BadInput(f"the list {path} must map counts to lists of record paths, but has {count!r}")
        if counts is None or int(count) in counts:
            for record in records:
                ids[_checked_id(PurePosixPath(str(record)).stem, f"{path}: {record!r}")] = None
    return list(ids)


def is_id(text: str) -> bool:
    """Whether the text can be a photo's id."""
    return _ID.fullmatch(text) is not None


def _checked_id(text: str, what: str) -> str:
    if not is_id(text):
        raise BadInput(f"{what} cannot be a photo's id: an id has no / or \\ and does not begin with a dot")
    return text


def _each_once(ids: Sequence[Collection[str]]) -> Iterator[str]:
    """All ids, in order, leaving out what an earlier range or single id has named."""
    ranges: list[IdRange] = []
    singles: set[str] = set()
    for some in ids:
        for photo in some:
            if photo not in singles and not any(photo in earlier for earlier in ranges):
                yield photo
        if isinstance(some, IdRange):
            ranges.append(some)
        else:
            singles.update(some)
