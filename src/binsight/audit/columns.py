"""The header of a stock file, and which of its columns a mapping reads."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from binsight.audit.mapping import FileColumns
from binsight.errors import BadInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Where a file's columns stand: `places` by field, `apart` those that tell apart lines of one item."""

    headers: tuple[str, ...]
    places: dict[str, int]
    apart: tuple[int, ...]

    def name(self, field: str) -> str:
        """The file's own name of a field's column."""
        return self.headers[self.places[field]]


def same(header: str) -> str:
    """What two spellings of one header have in common: neither case nor spaces tell columns apart."""
    return " ".join(header.split()).casefold()


def find_columns(where: str, headers: Sequence[str], wanted: FileColumns, *, name: str) -> Columns:
    """The columns of a file by its header; `name` is the mapping's.

    Raises `BadInput` where one that must be there is not, naming those that are and the nearest, and where one that is
    read is there twice.
    """
    by_name = {same(header): place for place, header in reversed(list(enumerate(headers)))}
    places: dict[str, int] = {}
    for field, known in wanted.by_field().items():
        place = next((by_name[same(header)] for header in known if same(header) in by_name), None)
        if place is not None:
            places[field] = place
        elif field in wanted.needed:
            raise BadInput(_missing(where, field, known, headers, name))
    apart = tuple(by_name[same(header)] for header in wanted.told_apart_by if same(header) in by_name)
    times = Counter(same(header) for header in headers)
    for place in (*places.values(), *apart):
        if times[same(headers[place])] > 1:
            raise BadInput(
                f"{where} must have each column once, but has {headers[place]} "
                f"{times[same(headers[place])]} times; rename or remove one"
            )
    return Columns(headers=tuple(headers), places=places, apart=apart)


def num_known(headers: Sequence[str], wanted: FileColumns) -> int:
    """How many of the headers are known: by what separator a line is best divided."""
    known = {same(name) for names in wanted.by_field().values() for name in names}
    return len(known & {same(header) for header in headers})


def _missing(where: str, field: str, wanted: Sequence[str], headers: Sequence[str], mapping: str) -> str:
    shown = ", ".join(header for header in headers if header)[:300]
    near = next((near for name in wanted if (near := _nearest(name, headers))), None)
    hint = f"the nearest is {near}; " if near else ""
    return (
        f"{where} must have a column {' or '.join(wanted)} ({field} of the mapping {mapping}), but has {shown}; "
        f"{hint}rename it, or name another mapping"
    )


def _nearest(name: str, headers: Sequence[str]) -> str | None:
    by_name = {same(header): header for header in headers}
    found = get_close_matches(same(name), by_name, n=1)
    return by_name[found[0]] if found else None
