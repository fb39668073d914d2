"""Single cells: numbers and moments as they are read."""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from binsight.audit.mapping import Mapping

MAX_QUANTITY = 10**9
"""More units than any bin holds: such a number is a barcode in the wrong column."""
MAX_NAME = 200
"""Characters of a name (of a bin, a site, an aisle, a consignment): as many as the ledger has for them."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def number_reader(mapping: Mapping) -> Callable[[str], float | None]:
    """Reads numbers by a mapping's signs; None for what is none. Groups of thousands must be whole."""
    group, point = re.escape(mapping.thousands), re.escape(mapping.decimal)
    grouped = rf"|[0-9]{{1,3}}(?:{group}[0-9]{{3}})+" if mapping.thousands else ""
    pattern = re.compile(rf"([+-]?)([0-9]{{1,30}}{grouped})(?:{point}([0-9]{{0,30}}))?")

    def read(text: str) -> float | None:
        # A no-break space is how some systems write the space between thousands.
        found = pattern.fullmatch(text.replace("\u00a0", " ").replace("\u202f", " "))
        if found is None:
            return None
        sign, whole, fraction = found.groups()
        if mapping.thousands:
            whole = whole.replace(mapping.thousands, "")
        return float(f"{sign}{whole}.{fraction or 0}")

    return read


def quantity_reader(mapping: Mapping) -> Callable[[str], int | str]:
    """Reads quantities: the whole number, or what is wrong with it, as the end of a sentence."""
    read_number = number_reader(mapping)

    def read(text: str) -> int | str:
        if text.isascii() and text.isdigit() and len(text) <= 9:
            return int(text)  # nearly all of them
        if not text:
            return "must be a whole number of 0 or more, but is missing"
        number = read_number(text)
        if number is None:
            return f"must be a whole number of 0 or more, but is {text[:60]!r}{_hint(text, mapping)}"
        if number < 0:
            return f"must be 0 or more, but is {text[:60]}"
        if not number.is_integer():
            return f"must be a whole number, but is {text[:60]}"
        if number > MAX_QUANTITY:
            return f"must be at most {MAX_QUANTITY:,}, but is {text[:60]}; is it the right column?"
        return int(number)

    return read


def _hint(text: str, mapping: Mapping) -> str:
    """How a number with other signs than the mapping's could be read."""
    if not re.fullmatch(r"[+-]?[0-9][0-9.,' \u00a0\u202f]*", text):
        return ""
    return (
        f"; the mapping {mapping.name} has the decimal sign {mapping.decimal!r} and "
        f"{repr(mapping.thousands) if mapping.thousands else 'no sign'} between thousands"
    )


def name_fault(text: str) -> str | None:
    """What is wrong with a name that is too long, as the end of a sentence."""
    number = len(text)
    return None if number <= MAX_NAME else f"must have at most {MAX_NAME} characters, but has {number:,}"


def value_reader(mapping: Mapping) -> Callable[[str], float | str]:
    """Reads values of a unit: a number of 0 or more, or what is wrong with it."""
    read_number = number_reader(mapping)
    is_plain = mapping.decimal == "."

    def read(text: str) -> float | str:
        if is_plain and text.isascii() and text.replace(".", "", 1).isdigit() and len(text) < 16:
            return float(text)  # nearly all of them
        number = read_number(text)
        if number is None or not math.isfinite(number) or number < 0:
            hint = _hint(text, mapping) if number is None else ""
            return f"must be a number of 0 or more, but is {text[:60]!r}{hint}"
        return number

    return read


def moment_reader(mapping: Mapping) -> Callable[[str], int | str]:
    """Reads moments, ISO 8601 or one of the mapping's patterns, into microseconds since 1970; or what is wrong with it.

    Files repeat moments, so the last ones are remembered.
    """
    zone = mapping.zone

    @lru_cache(maxsize=1024)
    def read(text: str) -> int | str:
        moment = _parsed(text, mapping.moments)
        if moment is None:
            patterns = "".join(f", or as {pattern}" for pattern in mapping.moments)
            return f"must be a moment such as 2026-11-24T16:30:00+01:00{patterns}, but is {text[:60]!r}"
        if moment.tzinfo is None and _happens_twice_or_never(moment, zone):
            return f"must be one moment, but clocks in {mapping.time_zone} show {text[:60]} twice or never; add its offset"
        try:
            in_utc = (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
        except OverflowError:  # within hours of the years 1 and 9999
            return f"must be a moment of these times, but is {text[:60]!r}"
        return (in_utc - _EPOCH) // _MICROSECOND

    return read


def moment_of(microseconds: int) -> datetime:
    """The moment, in UTC, that a `moment_reader` has read."""
    return _EPOCH + microseconds * _MICROSECOND


def _parsed(text: str, patterns: tuple[str, ...]) -> datetime | None:
    for parse in (datetime.fromisoformat, *(_by(pattern) for pattern in patterns)):
        try:
            return parse(text)
        except ValueError:
            continue
    return None


def _by(pattern: str) -> Callable[[str], datetime]:
    return lambda text: datetime.strptime(text, pattern)


def _happens_twice_or_never(moment: datetime, zone: tzinfo) -> bool:
    """Whether clocks are set forward or back over a time of day that names no offset."""
    early, late = (moment.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    return early.utcoffset() != late.utcoffset()
