"""What the console's pages share: the ledger and what is in it, the photos, the counter in service."""

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from starlette.requests import Request

from binsight.audit.settled import settle
from binsight.audit.tasks import follows, policy_of
from binsight.console.passwords import Attempts
from binsight.console.photos import Photos
from binsight.counting import Counter
from binsight.decision.recounts import Policy
from binsight.errors import BinsightError
from binsight.settings import Settings
from binsight.storage.ledger import Counts, Detail, Follows, Leases, Ledger, People, Policies, Sessions, TaskRows
from binsight.storage.ledger.search import Search
from binsight.webhooks import Receivers

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """The open console. `counter` gives the one in service, None where there is none."""

    settings: Settings
    ledger: Ledger
    counter: Callable[[], Counter | None]
    receivers: Receivers
    attempts: Attempts = field(default_factory=Attempts)
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

    def settle(self, task: str, by: str) -> None:
        """Take in what a task came to, after the answer was sent: whether that took long must tell nobody anything.

        What fails is in the log; counts that were not taken in are by `binsight audit spot-check`.
        """
        try:
            message = settle(self.ledger, task, by=by)
        except BinsightError:
            log.exception("what task %s came to could not be taken in", task)
            return
        if message is not None:
            self.receivers.send(message)

    def rule(self) -> Callable[[Detail], Follows]:
        """What follows from counts, under the policy in force at this moment."""
        policy = self.policy
        return lambda detail: follows(detail, policy)


def console_of(request: Request) -> Console:
    """The console that a request came to."""
    console: Console = request.app.state.console
    return console
