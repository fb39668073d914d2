"""A real receiver of webhooks on this machine, that answers as it is told and keeps what it was sent."""

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WITHIN_S = 60


@dataclass
class Received:
    """One request: its headers, in lower case, and its body."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.body)
        return value


@dataclass
class WebhookServer:
    """What was received; `statuses` are given one after the other, the last one from then on."""

    url: str = ""
    statuses: list[int] = field(default_factory=lambda: [204])
    gate: threading.Event = field(default_factory=threading.Event)
    received: list[Received] = field(default_factory=list)

    def wait_for(self, num: int) -> Sequence[Received]:
        """The requests, once there are so many."""
        end = time.monotonic() + WITHIN_S
        while len(self.received) < num:
            assert time.monotonic() < end, f"{len(self.received)} of {num} requests came"
            time.sleep(0.01)
        return self.received

    def events(self, num: int) -> list[str]:
        """The types of the alerts, once there are so many."""
        return [one.json["type"] for one in self.wait_for(num)]


@contextmanager
def webhook_server(*statuses: int, held: bool = False) -> Iterator[WebhookServer]:
    """A server that answers with these statuses; with `held`, not before its `gate` is set."""
    server = WebhookServer(statuses=list(statuses) or [204])
    if not held:
        server.gate.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            server.received.append(Received({name.lower(): v for name, v in self.headers.items()}, body))
            status = server.statuses.pop(0) if len(server.statuses) > 1 else server.statuses[0]
            server.gate.wait(WITHIN_S)
            self.send_response(status)
            if status in (301, 302, 307, 308):
                self.send_header("Location", f"{server.url}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:  # a sender that has gone is no news
            pass

    with Quiet(("127.0.0.1", 0), Handler) as listening:
        server.url = f"http://127.0.0.1:{listening.server_address[1]}"
        threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield server
        finally:
            server.gate.set()
            listening.shutdown()
