"""Passwords: hashed by Argon2id as RFC 9106 wants it, and not to be guessed by trying.

Length is the only rule, as NIST SP 800-63B has it: rules on characters make people choose worse ones.
"""

import threading
import time
from collections import OrderedDict
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from binsight.errors import BadInput, TooMany

LEAST, MOST = 10, 200
_AT_ONCE = threading.Semaphore(2)
"""Each hash takes 64 MiB: those who try many at once wait."""
_hasher = PasswordHasher()


def hashed(password: str, *, name: str) -> str:
    """What the ledger keeps of a password. Raises `BadInput` for one that is too short, too long or the user's name."""
    if not LEAST <= len(password) <= MOST:
        raise BadInput(
            f"a password must have {LEAST} to {MOST} characters, but has {len(password)}; choose another"
        )
    if password.casefold() == name.casefold():
        raise BadInput("a password must not be the user's name; choose another")
    with _AT_ONCE:
        return _hasher.hash(password)


def is_right(password: str, kept: str | None) -> bool:
    """Whether this is the password of that hash; takes as long where there is no hash."""
    with _AT_ONCE:
        try:
            return _hasher.verify(kept or _nobodys(), password[: MOST + 1]) and kept is not None
        except (Argon2Error, InvalidHashError):
            return False


@cache
def _nobodys() -> str:
    """A hash for a name that is not there, which then takes as long as one that is."""
    return _hasher.hash("nobody's password")


class Attempts:
    """Failed attempts of late, by name and by address, in this process: at most `most` in `within` seconds."""

    def __init__(self, *, most: int = 10, within: float = 300, remembered: int = 10_000) -> None:
        self._most, self._within, self._remembered = most, within, remembered
        self._failed: OrderedDict[str, list[float]] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, *keys: str) -> None:
        """Raise `TooMany` where any of these failed too often."""
        now = time.monotonic()
        with self._lock:
            for key in keys:
                late = [at for at in self._failed.get(key, []) if at > now - self._within]
                if len(late) >= self._most:
                    wait = int(late[0] + self._within - now) + 1
                    raise TooMany(f"too many attempts failed; try again in {wait} seconds", retry_after=wait)

    def failed(self, *keys: str) -> None:
        """Note a failed attempt."""
        now = time.monotonic()
        with self._lock:
            for key in keys:
                late = [at for at in self._failed.pop(key, []) if at > now - self._within]
                self._failed[key] = [*late, now][-self._most :]
            while len(self._failed) > self._remembered:
                self._failed.popitem(last=False)
