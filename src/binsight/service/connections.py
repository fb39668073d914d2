"""Connections: how many, how long a request's head may take, and one shape of errors where no request comes of the bytes.

uvicorn bounds none of these: it keeps connections from which nothing ever came, waits for the rest of a head for good
and for clients that do not read their answers, and takes in any number of requests ahead of them.

```
connected ─▶ head within 10 s, 64 KiB ─▶ request: `Bodies` bounds it ─▶ answered ─▶ silent for 75 s: closed
              └─ as many as there may be: who has been idle longest goes, so that nobody keeps others out by waiting
```
"""

import asyncio
import time
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from binsight.service.answers import ErrorAnswer, ErrorDetail

HEAD_BYTES = 64 * 1024
"""A head has at most about so many bytes: the parser itself would take in a header without an end."""
MOST_AHEAD = 16
"""Requests that a client may send before the one before is answered. uvicorn goes on reading, and keeps each."""


class Connection(HttpToolsProtocol):
    """One of at most `most` connections. For the event loop's thread.

    A head comes whole within `within` seconds of the connection, or of its first byte where the connection was kept, and
    answers that fill the buffers are taken within as many.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        most: int,
        within: float,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._most, self._within = most, within
        self._idle_since = time.monotonic()  # the loop's own time stands still while it works
        self._answering: RequestResponseCycle | None = None  # `cycle` is the last request to come, this the first
        self._has_asked = self._is_within_message = self._is_offered = False
        self._num_bytes = 0  # that came since a head or a piece of a body was made of them
        self._head_ends: asyncio.TimerHandle | None = None
        self._reading_ends: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the place of the longest idle where there is none left; where all are at work, refuse."""
        super().connection_made(transport)
        if len(self.connections) > self._most and not self._close_longest_idle():
            self._refuse(503, "overloaded", "all connections are in use", "try again in 1 s", b"retry-after: 1\r\n")
            return
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, unless no head comes of it."""
        if self.transport.is_closing():
            return
        self._num_bytes += len(data)
        self._unset_keepalive_if_required()
        try:
            self._parse(data)
        except HttpParserError:
            self.logger.warning("a request is no HTTP")
            self.send_400_response("invalid HTTP request received")
        if self.transport.is_closing():
            return
        if self._num_bytes > HEAD_BYTES:
            self._refuse(431, "bad_request", f"a head must have at most {HEAD_BYTES:,} bytes", "send fewer headers")
        elif self._is_idle() and self._is_within_message:
            self._expect_head()
        elif self._is_idle() and self.timeout_keep_alive_task is None and self._has_asked:
            # The rest of a body that was answered before its end: uvicorn would now wait for the next request for good.
            self._drop_head_timer()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is due any more, and who answers is told so: uvicorn tells only the last request that was sent ahead, and
        the answer to the first is then written to a connection that is closed."""
        if self._answering is not None and not self._answering.response_complete:
            self._answering.disconnected = True
            self._answering.message_event.set()
        self._drop_head_timer()
        self._drop_reading_timer()
        super().connection_lost(exc)

    def _parse(self, data: bytes) -> None:
        """Feed the parser. A request may offer to go on in another protocol (`Upgrade: h2c`, as Java's client does with
        each). The parser takes that for accepted and ends the request with its head, whatever body it announces; but who
        speaks nothing else ignores the offer (RFC 9110, 7.8), and so the head is read once more without it."""
        while data:
            try:
                self.parser.feed_data(data)
                return
            except HttpParserUpgrade as offer:
                head, data = self._head_without_offer(), data[offer.args[0] :]
                # The other parser may have taken this head for the connection's last.
                self.parser = HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
                self.parser.feed_data(head)

    def _head_without_offer(self) -> bytes:
        # What the parser let through has no line break in it that could make two headers of one.
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        headers = [b"%s: %s\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        return b"".join([b"%s %s HTTP/%s\r\n" % (method, self.url, version), *headers, b"\r\n"])

    def on_message_begin(self) -> None:
        """A request's first byte."""
        self._is_within_message, self._is_offered = True, False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole; from here on `Bodies` keeps the time. What is raised here ends in `send_400_response`."""
        if len(self.pipeline) >= MOST_AHEAD or self.parser.get_method() == b"CONNECT":
            raise ValueError
        self._is_offered = self.parser.should_upgrade()
        if self._is_offered:  # comes again, by `_parse`
            return
        self._has_asked, self._num_bytes = True, 0
        self._drop_head_timer()
        super().on_headers_complete()
        if not self.pipeline:
            self._answering = self.cycle

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._num_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request's last byte, unless it is the head's, which is read once more."""
        if self._is_offered:
            return
        self._num_bytes, self._is_within_message = 0, False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Idle from here on, unless another request waits."""
        self._idle_since = time.monotonic()
        self._answering = self.pipeline[-1][0] if self.pipeline else None
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The client does not read its answers, so far."""
        super().pause_writing()
        if self._reading_ends is None:
            self._reading_ends = self.loop.call_later(self._within, self.transport.abort)

    def resume_writing(self) -> None:
        """It does."""
        self._drop_reading_timer()
        super().resume_writing()

    def _drop_reading_timer(self) -> None:
        if self._reading_ends is not None:
            self._reading_ends.cancel()
            self._reading_ends = None

    def send_400_response(self, msg: str) -> None:
        """In the shape that all errors have; uvicorn's own is plain text."""
        self._refuse(400, "bad_request", msg.rstrip(".").lower(), "send HTTP/1.1")

    def _is_idle(self) -> bool:
        return not self._has_asked or self.cycle.response_complete

    def _expect_head(self) -> None:
        if self._head_ends is None:
            self._head_ends = self.loop.call_later(self._within, self._give_up_head)

    def _drop_head_timer(self) -> None:
        if self._head_ends is not None:
            self._head_ends.cancel()
            self._head_ends = None

    def _give_up_head(self) -> None:
        if self._is_within_message and not self._has_asked:
            self._refuse(408, "too_slow", f"a head must arrive within {self._within:g} s", "send it faster")
        else:
            self.transport.close()

    def _close_longest_idle(self) -> bool:
        others = (other for other in self.connections if isinstance(other, Connection) and other is not self)
        idle = min((other for other in others if other._is_idle()), key=lambda one: one._idle_since, default=None)
        if idle is None:
            return False
        self.connections.discard(idle)  # its own goodbye comes later in the loop, after more may have come in
        idle.transport.abort()
        return True

    def _refuse(self, status: int, code: str, message: str, mend: str, header: bytes = b"") -> None:
        detail = ErrorDetail(code=code, message=message, mend=mend, request_id="")
        body = ErrorAnswer(error=detail).model_dump_json().encode()
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + head + header + b"\r\n" + body)
        self.transport.close()
        self.loop.call_later(self._within, self.transport.abort)  # where the client does not even take this
