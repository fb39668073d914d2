"""Photos by https link, from hosts that the settings name: hardened, since this is how such services are broken into.

```
link ─▶ plain https://HOST/PATH, else refused ─▶ among the allowed ─▶ host resolved once ─▶ every address public
     ─▶ connected to that very address, with the host's name in TLS and Host ─▶ 200, an image, no larger than allowed
```
Whatever goes wrong after the link itself was in order has one sentence: more would tell the sender about networks that
they cannot see. The log says what it was.
"""

import asyncio
import logging
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping

import httpcore
from httpcore import AsyncNetworkBackend, AsyncNetworkStream

from binsight.errors import BadInput, BadPhoto, NotAllowed, StorageFailure
from binsight.service.addresses import is_public

log = logging.getLogger(__name__)

WITHIN_S = 10
"""From the first question for the host's address to the photo's last byte."""

_HOST = r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])"
_PATH = r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]+)*/?"
_QUERY = r"[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*"
_LINK = re.compile(rf"https://(?P<host>{_HOST})(?P<path>{_PATH})(?P<query>\?{_QUERY})?")
"""No port, no user, no fragment, no escape in the path, and a last label that begins with a letter: `127.1`, `0x7f.1` and
`2130706433` are addresses to whoever resolves them."""

_TYPES = frozenset({"application/octet-stream", "binary/octet-stream", "image/jpeg", "image/png", "image/webp"})
_HEADERS: Mapping[bytes | str, bytes | str] = {
    "Connection": "close",
    "Accept": "image/jpeg, image/png, image/webp",
    "Accept-Encoding": "identity",
    "User-Agent": "binsight",
}

Resolver = Callable[[str], Awaitable[Iterable[str]]]
"""The addresses of a host, as text."""


class _Unreadable(Exception):
    """Why, for the log alone."""


async def resolved(host: str) -> list[str]:
    """The addresses of a host, by the system. Raises `OSError`."""
    found = await asyncio.get_running_loop().getaddrinfo(host, 443, type=socket.SOCK_STREAM)
    return [str(address[0]) for _, _, _, _, address in found]


class HttpsLinks:
    """Reads photos below the allowed prefixes, `https://HOST/` or `https://HOST/PREFIX/`."""

    def __init__(
        self,
        allowed: tuple[str, ...],
        *,
        max_bytes: int,
        resolver: Resolver = resolved,
        tls: ssl.SSLContext | None = None,
        network: AsyncNetworkBackend | None = None,
    ) -> None:
        """`resolver`, `tls` (whom to trust) and `network` (what connects to an address) are the system's by default.

        Raises `BadInput` for a prefix that is not one.
        """
        for prefix in allowed:
            _parts(prefix)
            if not prefix.endswith("/"):
                raise BadInput(f"the allowed prefix {prefix} must end with a slash, or /a would allow /ab")
        self._allowed, self._max_bytes, self._resolver = allowed, max_bytes, resolver
        self._tls = tls or (ssl.create_default_context() if allowed else None)
        self._network = network or httpcore.AnyIOBackend()

    async def read(self, link: str) -> bytes:
        """The bytes of a linked photo.

        Raises `BadInput` for a link that is none, `NotAllowed` for one outside of the allowed prefixes, `BadPhoto` for
        what is too large or no image, `StorageFailure` for all the rest, without saying what.
        """
        host, target = _parts(link)
        if not any(link.startswith(prefix) for prefix in self._allowed):
            raise NotAllowed("this link is not among the places that this service may read; ask who runs it")
        try:
            async with asyncio.timeout(WITHIN_S):
                return await self._fetched(host, target)
        except (_Unreadable, TimeoutError, OSError, httpcore.NetworkError, httpcore.ProtocolError) as error:
            log.info("a link to %s was not read: %s", host, str(error) or type(error).__name__)
        except httpcore.TimeoutException:
            log.info("a link to %s was not read: it took too long", host)
        raise StorageFailure("the linked photo cannot be read; check the link, or send the photo itself")

    async def _fetched(self, host: str, target: str) -> bytes:
        addresses = list(await self._resolver(host))
        if not addresses or not all(map(is_public, addresses)):
            raise _Unreadable(f"its addresses are not all public ({', '.join(addresses)})")
        url = httpcore.URL(scheme=b"https", host=host.encode(), port=443, target=target.encode())
        async with (
            httpcore.AsyncConnectionPool(
                ssl_context=self._tls, network_backend=_Pinned(host, addresses, self._network)
            ) as pool,
            pool.stream("GET", url, headers={"Host": host, **_HEADERS}) as response,
        ):
            self._check(response.status, {name.lower(): value for name, value in response.headers})
            return await self._body(response.aiter_stream())

    def _check(self, status: int, headers: Mapping[bytes, bytes]) -> None:
        if status != 200:  # another place that it points to is not followed either
            raise _Unreadable(f"it answered {status}")
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise _Unreadable("it is compressed, which was not asked for")
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")
        if kind not in _TYPES:
            raise BadPhoto("the link leads to no JPEG, PNG or WebP; send the photo itself", reason="format")
        if int(headers.get(b"content-length", b"0")) > self._max_bytes:
            raise self._too_large()

    async def _body(self, chunks: AsyncIterator[bytes]) -> bytes:
        body = bytearray()
        async for chunk in chunks:
            body += chunk
            if len(body) > self._max_bytes:
                raise self._too_large()
        return bytes(body)

    def _too_large(self) -> BadPhoto:
        return BadPhoto(
            f"the linked photo must have at most {self._max_bytes:,} bytes; send a smaller one",
            reason="too_many_bytes",
        )


class _Pinned(AsyncNetworkBackend):
    """Connects to the addresses that were looked at, and never asks for the host's again.

    https://www.encode.io/httpcore/network-backends/: TLS and the Host header have the host's name by then.
    """

    def __init__(self, host: str, addresses: Iterable[str], network: AsyncNetworkBackend) -> None:
        self._host, self._addresses, self._network = host, tuple(addresses), network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        assert (host, port) == (self._host, 443)
        for address in self._addresses:
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore.NetworkError as error:
                failure = error
        raise failure


def _parts(link: str) -> tuple[str, str]:
    """Host, and path with query. Raises `BadInput` for whatever another reader could understand otherwise."""
    match = _LINK.fullmatch(link)
    path = match["path"] if match else ""
    if (
        match is None
        or not path
        or len(link) > 2000
        or len(match["host"]) > 253
        or {".", ".."} & set(path.split("/"))
    ):
        raise BadInput("this is not a plain https://HOST/PATH link; send the photo itself")
    return match["host"], path + (match["query"] or "")
