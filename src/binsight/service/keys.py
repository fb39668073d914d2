"""The keys in force, kept at hand: a thread reads them from the ledger every two seconds, and no request waits for it.

```
ledger ─▶ all keys that are not revoked ─▶ one assignment ─▶ the next requests
   │ lost: said once; the keys known last open for ten minutes more, then nobody gets in (503, not 401)
   ◀── when keys were last used, once a minute
```
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from binsight.errors import BinsightError, NotReady, UnknownCaller
from binsight.poller import Poller
from binsight.storage.api_key import ApiKey, parsed_token
from binsight.storage.ledger import ApiKeys, Ledger

log = logging.getLogger(__name__)

LOOK_EVERY_S = 2
"""A key that was added, rotated or revoked is so from the next look on."""
KNOWN_FOR_S = 600
"""Without the ledger, keys open so long after the last look: time to start a database again, and not longer, since one
that is revoked meanwhile opens too."""
NOTE_EVERY_S = 60
"""`last_used_at` may be so far behind, and a request costs no write."""

_Keys = dict[str, ApiKey]


class KnownKeys:
    """What opens the service. `step` is one look at the ledger; `start` looks until `stop`."""

    def __init__(self, keys: ApiKeys, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises as the ledger does: a service that knows no key yet does not begin."""
        self._keys, self._clock = keys, clock
        self._known: tuple[_Keys, float] = (keys.not_revoked(), clock())
        self._used: dict[str, datetime] = {}
        self._noted_at = clock()
        self._is_lost = False
        self._poller = Poller(self.step, name="keys", every_s=LOOK_EVERY_S)

    @classmethod
    def open(cls, ledger_url: str) -> "KnownKeys":
        """The keys of a ledger, looked at from now on."""
        known = cls(ApiKeys(Ledger.open(ledger_url)))
        known.start()
        return known

    def start(self) -> None:
        """Look from now on."""
        self._poller.start()

    def stop(self) -> None:
        """Look no more, note the last uses, and give the ledger's connections back."""
        self._poller.stop()
        self._noted_at = -NOTE_EVERY_S
        self.step()
        self._keys.close()

    def opened_by(self, token: str) -> ApiKey:
        """The key that a caller has sent. Raises `UnknownCaller` where it opens nothing, `NotReady` where nobody knows.

        An id is no secret: that one is found sooner than another tells nothing.
        """
        known, looked_at = self._known
        if self._clock() - looked_at > KNOWN_FOR_S:
            raise NotReady("keys cannot be checked now; try again later")
        now = datetime.now(UTC)
        key_id, secret = parsed_token(token) or ("", "")
        key = known.get(key_id)
        if key is None or not key.is_opened_by(secret, now):
            raise UnknownCaller("the key is not known, or not any more; check it, or ask for another")
        if key.state(now) != "active":
            raise UnknownCaller(f"the key expired at {key.expires_at}; ask for another")
        self._used[key.id] = now
        return key

    def step(self) -> None:
        """One look. Raises nothing of Binsight's own."""
        try:
            self._known = self._keys.not_revoked(), self._clock()
            self._note_uses()
        except BinsightError as error:
            if not self._is_lost:  # once, not at every look
                log.error("keys cannot be looked up; those known open for %d s more: %s", KNOWN_FOR_S, error)
            self._is_lost = True
            return
        if self._is_lost:
            log.info("keys can be looked up again")
        self._is_lost = False

    def _note_uses(self) -> None:
        if self._used and self._clock() - self._noted_at >= NOTE_EVERY_S:
            self._keys.note_uses(dict(self._used))
            self._used, self._noted_at = {}, self._clock()
