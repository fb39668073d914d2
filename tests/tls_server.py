"""A real TLS server on loopback with a certificate of a throw-away CA, as somebody's host of photos; good and bad."""

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import trustme

HOST = "photos.example.com"


@dataclass
class TlsServer:
    """`seen` has, for each request: path, headers, and the name that TLS was asked for."""

    port: int
    authority: trustme.CA
    seen: list[tuple[str, dict[str, str], str | None]] = field(default_factory=list)

    def trusting(self) -> ssl.SSLContext:
        """A client's context that trusts the CA."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context


@contextmanager
def running_tls_server(photo: bytes, *, name: str = HOST) -> Iterator[TlsServer]:
    """Serve `photo` at /photos/1.jpg, and at other paths what a host should not answer."""
    authority, asked = trustme.CA(), threading.local()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)

    def note_name(_socket: object, server_name: str | None, _context: object) -> None:
        asked.name = server_name

    context.sni_callback = note_name

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            self.request = context.wrap_socket(
                self.request, server_side=True
            )  # here, in the connection's own thread
            super().setup()

        def finish(self) -> None:
            try:
                super().finish()
            finally:
                self.request.close()

        def do_GET(self) -> None:
            served.seen.append((self.path, dict(self.headers), asked.name))
            path = self.path.partition("?")[0]
            if path == "/photos/redirected.jpg":
                self._answer(302, b"", Location="https://photos.example.com/photos/1.jpg")
            elif path == "/photos/missing.jpg":
                self._answer(404, b"gone", content_type="text/plain")
            elif path == "/photos/page.jpg":
                self._answer(200, b"<html>", content_type="text/html")
            elif path == "/photos/compressed.jpg":
                self._answer(200, photo, **{"Content-Encoding": "gzip"})
            elif path == "/photos/large.jpg":
                self._answer(200, bytes(1_000_000))
            elif path == "/photos/endless.jpg":
                self._drip(bytes(10_000), pause=0)
            elif path == "/photos/slow.jpg":
                self._drip(b"x", pause=0.2)
            else:
                self._answer(200, photo)

        def _answer(self, status: int, body: bytes, content_type: str = "image/jpeg", **headers: str) -> None:
            self.send_response(status)
            for key, value in {
                "Content-Type": content_type,
                "Content-Length": str(len(body)),
                **headers,
            }.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

        def _drip(self, part: bytes, *, pause: float) -> None:
            """Without a length, until the other side has had enough."""
            self.close_connection = True
            self.send_response(200)
            self.send_header("Content-Type", "image/jpeg")
            self.end_headers()
            for _ in range(10_000):
                self.wfile.write(part)
                self.wfile.flush()
                time.sleep(pause)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Clients that trust another CA, or have read enough, leave in the middle."""

    server = Server(("127.0.0.1", 0), Handler)
    served = TlsServer(server.server_port, authority)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
