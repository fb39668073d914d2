"""Bodies of requests: how large, how many bytes at once, how slowly they may come.

```
Content-Length ─▶ too large: 413 ─▶ no room now: 503 ─▶ read, and counted as it comes; stalled or late: 408
                                                          └─ too large, or no room any more: 413, 503
```
What a body announces takes no room, or a few that never come would keep everybody out. So several that are let in may find
no room for their rest. None of them waits for another's: who finds none is refused at once and gives back what it held, and
there is always room for one.
"""

import asyncio
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from binsight.errors import Overloaded, TooLarge, TooSlow

_STALLED_S = 10
"""A body of which nothing has come for so long is given up, however much time it has left."""
_LINGER_S = 2
"""A client that is still sending gets so long to read an answer that came before the end of its body: a connection that
is closed with bytes unread is reset, and takes the answer with it."""
_LEFT_TO_THE_SERVER = 64 * 1024
"""The rest of a body of so few bytes is read and thrown away by the server itself, and the connection stays open."""


class ClientLeft(Exception):
    """Nobody waits for the answer any more."""


@dataclass(slots=True)
class Room:
    """Bytes that may be in memory at once for all requests together. For one thread: the event loop's."""

    num_bytes: int
    taken: int = 0

    def take(self, num_bytes: int) -> None:
        """Raises as `check`."""
        self.check(num_bytes)
        self.taken += num_bytes

    def check(self, num_bytes: int) -> None:
        """Raises `Overloaded` where there is no room for so many more."""
        if self.taken + num_bytes > self.num_bytes:
            raise Overloaded("requests fill the memory that they may have; try again in 1 s", retry_after=1)


@dataclass(slots=True)
class Held:
    """What one request holds of the room, until it ends. It is `request.state.held`."""

    room: Room
    num_bytes: int = 0

    def take(self, num_bytes: int) -> None:
        """Hold so many more. Raises `Overloaded`."""
        self.room.take(num_bytes)
        self.num_bytes += num_bytes

    def give_back(self) -> None:
        """Hold nothing any more."""
        self.room.taken -= self.num_bytes
        self.num_bytes = 0


class Bodies:
    """ASGI middleware, the outermost, in front of everything that may read a body.

    What is wrong with a body is raised where it is read: `TooLarge`, `Overloaded`, `TooSlow`, or `ClientLeft`.
    """

    def __init__(self, app: ASGIApp, *, most: int, room: Room, within: float) -> None:
        self._app, self._most, self._room, self._within = app, most, room, within

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        held = Held(self._room)
        scope.setdefault("state", {})["held"] = held
        body = _Body(
            Headers(scope=scope), receive=receive, send=send, most=self._most, within=self._within, held=held
        )
        try:
            await self._app(scope, body.receive, body.send)
        finally:
            held.give_back()
        await body.linger()


class _Body:
    """One body on its way, and its answer where that comes before the body's end."""

    def __init__(
        self, headers: Headers, *, receive: Receive, send: Send, most: int, within: float, held: Held
    ) -> None:
        self._receive, self._send = receive, send
        self._most, self._within, self._held = most, within, held
        length = headers.get("content-length", "")
        self._length = int(length) if length.isdecimal() else None
        is_chunked = "transfer-encoding" in headers
        self._is_there = is_chunked or bool(self._length)
        self._is_long = is_chunked or (self._length or 0) > _LEFT_TO_THE_SERVER
        self._num_bytes = 0
        self._end: float | None = None  # when it must be whole, once reading has begun
        self._is_whole = False
        self._lingers = False

    async def receive(self) -> Message:
        """The next part. Raises what is wrong with the body, before more of it is taken in."""
        if self._is_whole:
            return await self._receive()
        loop = asyncio.get_running_loop()
        if self._end is None:
            self._end = loop.time() + self._within
            self._check(self._length or 0)
            self._held.room.check(self._length or 0)
        try:
            message = await asyncio.wait_for(self._receive(), min(_STALLED_S, self._end - loop.time()))
        except TimeoutError:
            raise TooSlow(
                f"a request must arrive within {self._within:g} s and without a pause of {_STALLED_S} s; send it faster"
            ) from None
        if message["type"] == "http.disconnect" and self._is_there:
            raise ClientLeft
        self._num_bytes += len(message.get("body", b""))
        self._check(self._num_bytes)
        self._held.take(len(message.get("body", b"")))
        self._is_whole = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Pass an answer on; one that comes early says that the connection ends, and stays open for `linger`."""
        if message["type"] == "http.response.start" and self._is_long and not self._is_whole:
            self._lingers = True
            MutableHeaders(scope=message)["Connection"] = "close"
        if self._lingers and message["type"] == "http.response.body":
            message = {**message, "more_body": True}
        await self._send(message)

    async def linger(self) -> None:
        """Throw away what still comes, for a moment, then end the answer."""
        if not self._lingers:
            return
        try:
            async with asyncio.timeout(_LINGER_S):
                while True:
                    message = await self._receive()
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            pass
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def _check(self, num_bytes: int) -> None:
        if num_bytes > self._most:
            raise TooLarge(f"a request must be at most {self._most:,} bytes, but this one is larger; send less")
