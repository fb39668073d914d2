"""Signed webhooks in the form of Standard Webhooks: alerts of the service, events of audits."""

from binsight.webhooks.events import EventMessage, Hooks
from binsight.webhooks.message import Message, checked_url, is_loopback, key_of, post
from binsight.webhooks.receivers import MOST_WAITING, WAITS_S, Receivers

__all__ = [
    "MOST_WAITING",
    "WAITS_S",
    "EventMessage",
    "Hooks",
    "Message",
    "Receivers",
    "checked_url",
    "is_loopback",
    "key_of",
    "post",
]
