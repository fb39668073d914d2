"""Which certificates of the bundles in service are suspended, as the ledger says: looked up beside the requests.

Audits watch certificates, and people count what they verified (docs/decisions/0019). What that comes to holds here too.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from binsight.errors import BinsightError, MissingExtra
from binsight.poller import Poller
from binsight.service.served import Served

if TYPE_CHECKING:
    from binsight.storage.ledger import Certificates

log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
NOT_KNOWN = "the ledger was not yet asked whether the certificate is suspended"


class Suspensions:
    """What the ledger at `url` last said. `step` is one look; `start` looks until `stop`.

    A certificate that was not looked up yet speaks for nothing. Where no ledger is, or its libraries are not, nobody can
    have suspended any; a ledger that fails later leaves what it said last.
    """

    def __init__(self, url: str, in_service: Callable[[], Iterable[Served]]) -> None:
        self._url, self._in_service = url, in_service
        self._why: Mapping[str, str] = {}
        self._can_be = is_there(url)
        self._has_failed = False
        self._certificates: Certificates | None = None
        self._poller = Poller(self.step, name="suspensions", every_s=LOOK_EVERY_S)

    def start(self) -> None:
        """Look from now on, at once for the first time: opening the ledger takes longer than getting ready may."""
        self._poller.start(at_once=True)

    def stop(self) -> None:
        """Look no more."""
        self._poller.stop()
        if self._certificates is not None:
            self._certificates.close()

    def why(self, served: Served) -> str:
        """Why this bundle's certificate speaks for nothing now; empty where it does."""
        if not self._can_be or not served.certificate_sha256:
            return ""
        known = self._why.get(served.certificate_sha256)
        if known is None:
            self._poller.wake()
            return NOT_KNOWN
        return known

    def step(self) -> None:
        """Look the certificates in service up. Raises nothing of Binsight's own."""
        try:
            if self._certificates is None and is_there(self._url):
                self._certificates = _opened(self._url)
            if self._certificates is None:
                self._can_be = False
                return
            asked = {one.certificate_sha256 for one in self._in_service() if one.certificate_sha256}
            found = {sha256: self._certificates.suspended(sha256) for sha256 in asked}
        except MissingExtra:
            self._can_be = False
            self._poller.end()
            return
        except BinsightError as error:
            if not self._has_failed:  # once, not every few seconds
                log.error("the ledger cannot be asked which certificates are suspended: %s", error)
            self._has_failed = True
            return
        self._why = {sha256: _sentence(why) for sha256, why in found.items()}
        self._can_be, self._has_failed = True, False


def _sentence(why: Sequence[str]) -> str:
    return f"the certificate is suspended ({' and '.join(why)})" if why else ""


def is_there(url: str) -> bool:
    """Whether there may be a ledger; a file that is not there is not made for this."""
    kind, _, path = url.partition(":///")
    return not kind.startswith("sqlite") or Path(path).expanduser().exists()


def _opened(url: str) -> "Certificates":
    from binsight.storage.ledger import Certificates, Ledger  # here, since a service without a ledger does without

    return Certificates(Ledger.open(url))
