"""How long captures are kept: the decision alone; `tests/test_captures.py` has it carried out."""

from datetime import timedelta

import pytest
from tests.captures_support import NOON

from binsight.storage.captures.retention import first_kept_hour

HOURS = {NOON.replace(minute=0, second=0) + timedelta(hours=hour): 100 for hour in range(5)}


@pytest.mark.parametrize(
    ("after_hours", "keep_days", "max_bytes", "gone"),
    [
        (48, 100, 500, 0),
        (48, 100, 499, 1),
        (48, 100, 0, 5),
        (5, 100, 0, 3),  # whatever there is, the last two hours stay
        (5, 0.001, 500, 3),
        (48, 46.5 / 24, 500, 1),
        (48, 1, 500, 5),
    ],
)
def test_what_is_kept_is_decided_by_age_and_bytes(
    after_hours: int, keep_days: float, max_bytes: int, gone: int
) -> None:
    now = min(HOURS) + timedelta(hours=after_hours)
    first = first_kept_hour(HOURS, now=now, keep_days=keep_days, max_bytes=max_bytes)
    assert first == (min(HOURS) + timedelta(hours=gone) if gone else None)
