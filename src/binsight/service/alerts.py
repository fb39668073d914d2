"""Alerts of the service as webhooks: logged, counted in the metrics, and in no request's way."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from binsight.service.metrics import Metrics
from binsight.webhooks import WAITS_S, Message, Receivers, checked_url, key_of

log = logging.getLogger(__name__)

Event = Literal[
    "drift.began",
    "drift.ended",
    "bundle.failed",
    "queue.saturated",
    "queue.relieved",
    "errors.high",
    "errors.usual",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert(Message):
    """Something that a person should know, in one sentence; `data` holds the same for programs."""

    event: Event


class Alerts:
    """All receivers. `send` returns at once; `stop` gives what waits a last try. Safe to use from several threads.

    Raises `BadInput` for an address that is neither https nor of this machine, and for a secret that is none.
    """

    def __init__(
        self, urls: Sequence[str], secret: str | None, metrics: Metrics, *, waits_s: Sequence[float] = WAITS_S
    ) -> None:
        key = None if secret is None else key_of(secret, variable="BINSIGHT_ALERT_SECRET")
        checked = [checked_url(url, variable="BINSIGHT_ALERT_URLS") for url in urls]
        self._receivers = Receivers(
            checked, key, lambda result: metrics.alerts.labels(result).inc(), waits_s=waits_s
        )

    def send(self, alert: Alert) -> None:
        """Log an alert, and have it delivered to every receiver."""
        log.warning("%s: %s", alert.event, alert.sentence)
        self._receivers.send(alert)

    def stop(self, *, within: float) -> None:
        """Deliver what waits, each tried once more at most, for up to `within` seconds."""
        self._receivers.stop(within=within)
