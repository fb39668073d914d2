"""A server in front of another that answers GET with faults, in a given order, over and over."""

import itertools
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.error import HTTPError
from urllib.request import Request, urlopen

Fault = Literal["none", "unavailable", "slow_down", "reset", "cut", "garbled", "other_tag"]
_STATUS = {"unavailable": 503, "slow_down": 429}
_HEADERS = ("ETag", "Last-Modified", "Content-Range", "Content-Type")


class FaultServer(ThreadingHTTPServer):
    """`faults` are dealt out to requests in turn: an answer of 503 or 429, a connection reset at once or in the
    middle of the body, bytes changed in a new way each time, an ETag that is no checksum, or none."""

    daemon_threads = True

    def __init__(self, target: str, faults: Sequence[Fault]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = target
        self.faults = itertools.cycle(faults)
        self.num_requests = self.num_faults = 0
        self.lock = threading.Lock()

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: FaultServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        with self.server.lock:
            fault = next(self.server.faults)
            self.server.num_requests += 1
            self.server.num_faults += fault != "none"
            number = self.server.num_requests
        if fault == "reset":
            self._reset()
        elif fault in _STATUS:
            self.send_response(_STATUS[fault])
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._forward(fault, number)

    def _forward(self, fault: Fault, number: int) -> None:
        asked = {"Range": self.headers["Range"]} if "Range" in self.headers else {}
        try:
            answer = urlopen(Request(self.server.target + self.path, headers=asked), timeout=30)
        except HTTPError as error:
            answer = error
        with answer:
            body, headers = answer.read(), answer.headers
        if fault == "garbled":
            body = str(number).encode().ljust(len(body), b"?")[: len(body)]
        self.send_response(answer.status)
        for name in _HEADERS:
            if name in headers:
                self.send_header(
                    name, '"' + "0" * 32 + '"' if (fault, name) == ("other_tag", "ETag") else headers[name]
                )
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(ConnectionError):
            self.wfile.write(body[: len(body) // 2] if fault == "cut" else body)
        if fault == "cut":
            self._reset()

    def _reset(self) -> None:
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True


@contextmanager
def running_fault_server(target: str, faults: Sequence[Fault]) -> Iterator[FaultServer]:
    """Serve `target` (an endpoint URL) with faults until the block ends."""
    server = FaultServer(target, faults)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
