"""Where a bin stands: its aisle, and the order in which one walks past it."""

import re

from binsight.records import StockRecord

_AFTER_LAST_SEPARATOR = re.compile(r"[-_./:\s]+[^-_./:\s]*$")
_LAST_DIGITS = re.compile(r"[0-9]+$")
_DIGITS = re.compile(r"([0-9]+)")

Place = tuple[str, str]
"""A site and an aisle in it."""


def place_of(record: StockRecord) -> Place:
    """The record's site and its aisle; of two sites the same aisle is two.

    Where the record names no aisle, it is the beginning of the bin's id: `A-03` of `A-03-17`, up to the last separator,
    or `A` of `A17`, without the last digits, where there is none. A simple rule, and wrong for a site whose ids are made
    otherwise: there the records should name the aisle.
    """
    return record.site or "", record.aisle or _beginning(record.bin_id)


def _beginning(bin_id: str) -> str:
    before, num_cut = _AFTER_LAST_SEPARATOR.subn("", bin_id)
    return before if num_cut else _LAST_DIGITS.sub("", bin_id)


def walking_key(text: str) -> tuple[tuple[object, ...], str]:
    """Sorts `A-2` before `A-10`: digits by their number, of any length, and the rest as text."""
    parts = _DIGITS.split(text)
    parts[1::2] = (digits.lstrip("0") for digits in parts[1::2])
    return tuple((len(part), part) if i % 2 else part for i, part in enumerate(parts)), text
