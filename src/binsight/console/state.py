"""What the console's pages share: the ledger and what is in it, the photos, the counter in service."""

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from binsight.audit.settled import Settling
from binsight.audit.tasks import follows, policy_of
from binsight.console.passwords import Attempts
from binsight.console.photos import Photos
from binsight.counting import Counter
from binsight.decision.recounts import Policy
from binsight.errors import BinsightError
from binsight.poller import Poller
from binsight.settings import Settings
from binsight.storage.ledger import Counts, Detail, Follows, Leases, Ledger, People, Policies, Sessions, TaskRows
from binsight.storage.ledger.search import Search
from binsight.webhooks import Receivers

log = logging.getLogger(__name__)

SETTLE_EVERY_S = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """The open console. `counter` gives the one in service, None where there is none."""

    settings: Settings
    ledger: Ledger
    counter: Callable[[], Counter | None]
    receivers: Receivers
    attempts: Attempts = field(default_factory=Attempts)
    proxies_told_of: set[str] = field(default_factory=set)
    setup_token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    @property
    def people(self) -> People:
        return People(self.ledger)

    @property
    def sessions(self) -> Sessions:
        return Sessions(
            self.ledger,
            idle=timedelta(minutes=self.settings.console_idle_minutes),
            longest=timedelta(hours=self.settings.console_session_hours),
        )

    @property
    def tasks(self) -> TaskRows:
        return TaskRows(self.ledger)

    @property
    def leases(self) -> Leases:
        return Leases(self.ledger)

    @property
    def counts(self) -> Counts:
        return Counts(self.ledger)

    @property
    def search(self) -> Search:
        return Search(self.ledger)

    @property
    def policies(self) -> Policies:
        return Policies(self.ledger)

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return policy_of(self.ledger)

    @property
    def photos(self) -> Photos:
        return Photos(self.ledger)

    def warn_of_proxy(self, address: str) -> None:
        """Say once of an address that it forwards and is not believed."""
        if address in self.proxies_told_of:
            return
        self.proxies_told_of.add(address)
        log.warning(
            "the proxy at %s is not trusted, so that the console cannot tell its visitors apart, nor that they come over "
            "https; name it in BINSIGHT_TRUSTED_PROXIES",
            address,
        )

    def keep_settling(self) -> Poller:
        """Take in, now and until what is given back is stopped, what tasks came to. What fails is in the log, and tried
        again."""
        settling = Settling(self.ledger, self.receivers)

        def look() -> None:
            try:
                settling.look()
            except BinsightError as error:
                log.error("what tasks came to could not be taken in: %s", error)

        poller = Poller(look, name="settling", every_s=SETTLE_EVERY_S)
        poller.start(at_once=True)
        return poller

    def rule(self) -> Callable[[Detail], Follows]:
        """What follows from counts, under the policy in force at this moment."""
        policy = self.policy
        return lambda detail: follows(detail, policy)


def console_of(request: Request) -> Console:
    """The console that a request came to."""
    console: Console = request.app.state.console
    return console


TheConsole = Annotated[Console, Depends(console_of)]
"""What every page is given."""
