"""A server on loopback in front of another, byte for byte, that answers 503 instead while it is told to."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from urllib.parse import urlsplit

_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Switch(ThreadingTCPServer):
    """`is_busy` decides at every connection, and closes those that are open when it is set by `busy`."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        parts = urlsplit(target)
        assert parts.hostname and parts.port
        self.target = (parts.hostname, parts.port)
        self.is_busy = False
        self.num_refused = 0
        self._open = set[socket.socket]()

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def busy(self, is_busy: bool) -> None:
        self.is_busy = is_busy
        for one in list(self._open):  # kept connections would go on
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class _Handler(BaseRequestHandler):
    server: Switch
    request: socket.socket

    def handle(self) -> None:
        if self.server.is_busy:
            self.request.recv(1 << 16)
            self.server.num_refused += 1
            self.request.sendall(_BUSY)
            return
        with socket.create_connection(self.server.target) as behind:
            pair = {self.request, behind}
            self.server._open |= pair
            back = threading.Thread(target=_pipe, args=(behind, self.request), daemon=True)
            back.start()
            _pipe(self.request, behind)
            back.join()
            self.server._open -= pair


def _pipe(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def running_switch(target: str) -> Iterator[Switch]:
    with Switch(target) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.busy(False)
        server.shutdown()
