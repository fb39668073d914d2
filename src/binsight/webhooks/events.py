"""What happened in an audit, told to webhooks by a command: each message is delivered, or given up, before it ends."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from binsight.settings import Settings, settings
from binsight.webhooks.message import Message, checked_url, key_of, post, result_of

Event = Literal[
    "audit.ended",
    "consignment.judged",
    "consignment.released",
    "count.settled",
]
"""What is told. Of a count only once it is settled: before, nobody is to know the record who counts."""

WAITS_S = (1.0, 5.0)
"""Between tries: somebody waits for the command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventMessage(Message):
    """Something that happened in an audit."""

    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Checked addresses, and the key that signs."""

    urls: Sequence[str] = ()
    key: bytes | None = None

    @classmethod
    def from_settings(cls) -> "Hooks":
        """Those of `BINSIGHT_EVENT_URLS` and `BINSIGHT_EVENT_SECRET`. Raises `BadInput`: before any work, if asked then."""
        return cls.of(settings())

    @classmethod
    def of(cls, chosen: Settings) -> "Hooks":
        """Those of these settings. Raises as `from_settings`."""
        urls = [checked_url(url, variable="BINSIGHT_EVENT_URLS") for url in chosen.event_urls]
        secret = chosen.event_secret
        key = None if secret is None else key_of(secret.get_secret_value(), variable="BINSIGHT_EVENT_SECRET")
        return cls(urls=urls, key=key)

    def tell(self, messages: Iterable[EventMessage], *, waits_s: Sequence[float] = WAITS_S) -> list[str]:
        """Deliver messages in their order; a sentence for each receiver that did not take one, and gets no more."""
        told = list(messages) if self.urls else []
        return [fault for url in self.urls for fault in self._told(url, told, waits_s)]

    def _told(self, url: str, messages: Sequence[EventMessage], waits_s: Sequence[float]) -> Iterator[str]:
        for number, message in enumerate(messages):
            result = _delivered(url, message, self.key, waits_s)
            if result != "sent":
                host, left = urlsplit(url).hostname, len(messages) - number  # an address may hold a token
                yield (
                    f"the webhook at {host} has {'refused' if result == 'refused' else 'not taken'} {message.event}; "
                    f"{left:,} of {len(messages):,} messages were not delivered"
                )
                return


def _delivered(url: str, message: EventMessage, key: bytes | None, waits_s: Sequence[float]) -> str:
    for wait_s in (0.0, *waits_s):
        time.sleep(wait_s)
        if result := result_of(post(url, message, key)):
            return result
    return "given_up"
