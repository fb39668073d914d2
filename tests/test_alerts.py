"""Alerts: signed as Standard Webhooks has it, tried again, bounded, and never in anybody's way."""

import base64
import json
import logging
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError
from tests.webhook_server import webhook_server

from binsight.errors import BadInput
from binsight.service.alerts import Alert, Alerts
from binsight.service.metrics import Metrics
from binsight.webhooks import MOST_WAITING, WAITS_S
from binsight.webhooks import message as message_module

SECRET = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"
TOO_LONG = f"whsec_{base64.b64encode(bytes(65)).decode()}"
SOON = (0.01, 0.01)


def an_alert(sentence: str = "the queue is full") -> Alert:
    return Alert(event="queue.saturated", sentence=sentence, data={"room": 64})


@contextmanager
def alerting(
    *urls: str, secret: str | None = None, waits_s: Sequence[float] = SOON
) -> Iterator[tuple[Alerts, Metrics]]:
    metrics = Metrics()
    alerts = Alerts(urls, secret, metrics, waits_s=waits_s)
    try:
        yield alerts, metrics
    finally:
        alerts.stop(within=60)


def results(metrics: Metrics, **wanted: int) -> None:
    """What became of the alerts, once there are so many."""
    end = time.monotonic() + 60
    found: dict[str, float] = {}
    while found != wanted:
        assert time.monotonic() < end, f"wanted {wanted}, got {found}"
        samples = next(iter(metrics.alerts.collect())).samples
        found = {s.labels["result"]: s.value for s in samples if s.name == "binsight_alerts_total" and s.value}
        time.sleep(0.01)


def test_an_alert_is_what_the_standards_own_library_takes() -> None:
    with webhook_server() as server, alerting(server.url, secret=SECRET) as (alerts, metrics):
        alerts.send(an_alert())
        (received,) = server.wait_for(1)
        results(metrics, sent=1)
    verified = Webhook(SECRET).verify(received.body, dict(received.headers))
    assert verified == received.json
    assert received.json["type"] == "queue.saturated"
    assert received.json["data"] | {"host": ""} == {"sentence": "the queue is full", "room": 64, "host": ""}
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(received.body + b" ", dict(received.headers))
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET[:-8] + "AAAAAAA=").verify(received.body, dict(received.headers))


def test_what_is_sent_says_when_it_was_and_on_which_host() -> None:
    alert = an_alert()
    sent = json.loads(alert.body)
    assert datetime.fromisoformat(sent["timestamp"]) == alert.at
    assert alert.at.tzinfo is not None, "receivers stand in other time zones"
    assert sent["data"]["host"] == socket.gethostname()


def test_an_alert_is_logged_whatever_becomes_of_it_and_its_address_never(caplog: pytest.LogCaptureFixture) -> None:
    with webhook_server(404) as server, alerting(f"{server.url}/t0ken") as (alerts, metrics):
        alerts.send(an_alert())
        results(metrics, refused=1)
    told = [(record.levelno, record.getMessage()) for record in caplog.records]
    assert told == [
        (logging.WARNING, "queue.saturated: the queue is full"),
        (logging.ERROR, "the message queue.saturated to 127.0.0.1 was refused"),
    ]


def test_without_a_secret_nothing_is_signed() -> None:
    with webhook_server() as server, alerting(server.url) as (alerts, _):
        alerts.send(an_alert())
        (received,) = server.wait_for(1)
    assert "webhook-signature" not in received.headers
    assert received.headers["webhook-id"].startswith("msg_")


def test_what_fails_is_tried_again_with_the_same_id() -> None:
    with webhook_server(500, 429, 200) as server, alerting(server.url, secret=SECRET) as (alerts, metrics):
        alerts.send(an_alert())
        results(metrics, sent=1)
        assert len(server.received) == 3
    assert len({received.headers["webhook-id"] for received in server.received}) == 1
    for received in server.received:
        Webhook(SECRET).verify(received.body, dict(received.headers))


@pytest.mark.parametrize("status", [408, 425, 429, 500, 599])
def test_what_may_pass_is_tried_again(status: int) -> None:
    with webhook_server(status, 204) as server, alerting(server.url) as (alerts, metrics):
        alerts.send(an_alert())
        results(metrics, sent=1)
        assert len(server.received) == 2


def test_a_receiver_may_be_down_for_a_quarter_of_an_hour() -> None:
    assert sum(WAITS_S) >= 15 * 60
    assert list(WAITS_S) == sorted(WAITS_S)


def test_between_two_tries_is_the_wait() -> None:
    with webhook_server(500, 200) as server, alerting(server.url, waits_s=(0.3,)) as (alerts, metrics):
        started = time.monotonic()
        alerts.send(an_alert())
        results(metrics, sent=1)
        assert time.monotonic() - started >= 0.3


def test_a_receiver_that_stays_down_is_given_up_and_the_next_alert_tried() -> None:
    with webhook_server(503, 503, 503, 204) as server, alerting(server.url) as (alerts, metrics):
        alerts.send(an_alert("lost"))
        alerts.send(an_alert("found"))
        results(metrics, given_up=1, sent=1)
        assert server.received[-1].json["data"]["sentence"] == "found"


def test_nobody_listening_is_a_failure_like_others() -> None:
    with webhook_server() as server:
        url = server.url
    with alerting(url) as (alerts, metrics):
        alerts.send(an_alert())
        results(metrics, given_up=1)


@pytest.mark.parametrize("status", [301, 307, 400, 404, 410])
def test_a_refusal_is_not_repeated_and_a_redirect_not_followed(status: int) -> None:
    with webhook_server(status) as server, alerting(server.url) as (alerts, metrics):
        alerts.send(an_alert())
        results(metrics, refused=1)
        assert len(server.received) == 1


def test_a_slow_receiver_delays_neither_the_service_nor_another_receiver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_module, "TIMEOUT_S", 60)  # on a busy machine the quick one may take seconds too
    with webhook_server(held=True) as slow, webhook_server() as quick, alerting(slow.url, quick.url) as (alerts, _):
        started = time.monotonic()
        for _ in range(3):
            alerts.send(an_alert())
        assert time.monotonic() - started < 1
        quick.wait_for(3)
        assert len(slow.received) == 1
        slow.gate.set()
        slow.wait_for(3)


def test_a_receiver_that_never_answers_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_module, "TIMEOUT_S", 0.2)
    with webhook_server(held=True) as server, alerting(server.url, waits_s=()) as (alerts, metrics):
        alerts.send(an_alert())
        results(metrics, given_up=1)


def test_a_long_queue_drops_its_oldest_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with webhook_server(held=True) as server, alerting(server.url) as (alerts, metrics):
        alerts.send(an_alert("in work"))
        server.wait_for(1)
        for number in range(MOST_WAITING + 2):
            alerts.send(an_alert(str(number)))
        results(metrics, dropped=2)
        server.gate.set()
        results(metrics, dropped=2, sent=MOST_WAITING + 1)
        assert server.received[1].json["data"]["sentence"] == "2"
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert errors == ["the message queue.saturated to 127.0.0.1 was dropped"] * 2


def test_behind_one_that_was_given_up_those_that_waited_as_long_are_tried_once() -> None:
    with webhook_server(500) as server, alerting(server.url, waits_s=(0.2, 0.2)) as (alerts, metrics):
        for _ in range(3):
            alerts.send(an_alert())
        results(metrics, given_up=3)
        assert len(server.received) == 3 + 1 + 1


def test_the_end_gives_what_waits_one_more_try_and_no_more() -> None:
    with webhook_server(500) as server, alerting(server.url, waits_s=(600,)) as (alerts, metrics):
        alerts.send(an_alert())
        alerts.send(an_alert())
        server.wait_for(1)
        started = time.monotonic()
        alerts.stop(within=60)
        assert time.monotonic() - started < 30
        results(metrics, dropped=2)
        assert len(server.received) == 2


def test_the_end_waits_for_all_receivers_together_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_module, "TIMEOUT_S", 60)
    with ExitStack() as stack:
        servers = [stack.enter_context(webhook_server(held=True)) for _ in range(4)]
        alerts = Alerts([server.url for server in servers], None, Metrics())
        alerts.send(an_alert())
        for server in servers:
            server.wait_for(1)
        started = time.monotonic()
        alerts.stop(within=0.5)
        assert 0.5 <= time.monotonic() - started < 1.9, "and not half a second for each"
        for server in servers:
            server.gate.set()


@pytest.mark.parametrize(
    "url", ["http://example.com/hook", "ftp://127.0.0.1/", "hook", "https://", "http://localhost.example.com/t0ken"]
)
def test_an_address_that_would_go_unencrypted_is_refused_without_its_token(url: str) -> None:
    with pytest.raises(BadInput, match="must hold https:// addresses") as refusal:
        Alerts([url], None, Metrics())
    assert "t0ken" not in str(refusal.value)


@pytest.mark.parametrize(
    "url", ["https://example.com/hook", "http://localhost:1/", "http://[::1]:1/", "http://127.0.0.2/"]
)
def test_encrypted_and_local_addresses_are_taken(url: str) -> None:
    Alerts([url], None, Metrics()).stop(within=1)


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_no base64!", SECRET.removeprefix("whsec_"), TOO_LONG]
)
def test_a_secret_that_signs_nothing_safely_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(BadInput, match="BINSIGHT_ALERT_SECRET must be whsec_") as refusal:
        Alerts([], secret, Metrics())
    assert len(secret) < 10 or secret not in str(refusal.value)
