"""How fast each key may send photos: a token bucket for each, kept as one number.

A bucket that fills by `photos_per_second` up to `burst_photos` is known by the moment at which it will be full again. One
that is full is forgotten, so that no more are kept than keys that have just been used.
"""

import math
import time
from collections.abc import Callable

from binsight.errors import TooMany
from binsight.storage.api_key import ApiKey

_FORGET_FROM = 1024
"""Buckets that are kept before those that are full are looked for."""


class Rates:
    """The buckets of one process: with several replicas, a key has its rate at each. For one thread: the event loop's."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._full_at: dict[str, float] = {}

    def ask(self, key: ApiKey, num_photos: int = 1) -> None:
        """Raise `TooMany` where so many photos are too many now; nothing is taken.

        More than the bucket holds wait for a full one: they are let through, and the next ones wait the longer.
        """
        if key.rate is None:
            return
        rate, now = key.rate, self._clock()
        room = rate.burst_photos - min(num_photos, rate.burst_photos)
        wait = self._full_at.get(key.id, now) - now - room / rate.photos_per_second
        if wait > 0:
            raise TooMany(
                f"this key may send {rate.photos_per_second:g} photos a second and {rate.burst_photos} at once; send "
                f"again in {math.ceil(wait)} s",
                retry_after=math.ceil(wait),
            )

    def take(self, key: ApiKey, num_photos: int) -> None:
        """Take so many photos from the key's bucket, or raise `TooMany` as `ask` does and take none."""
        if key.rate is None:
            return
        self.ask(key, num_photos)
        now = self._clock()
        if len(self._full_at) >= _FORGET_FROM:
            self._full_at = {name: moment for name, moment in self._full_at.items() if moment > now}
        start = max(now, self._full_at.get(key.id, now))
        self._full_at[key.id] = start + num_photos / key.rate.photos_per_second
