"""Photos by link: `s3://`, and `https://` where it is switched on, of each what the settings allow.

Links are how such services are broken into.
"""

import asyncio
from typing import TYPE_CHECKING

from binsight.errors import AccessRefused, BadInput, BadPhoto, MissingObject, NotAllowed, StorageFailure, UnreadLink

# Libraries of stores and of https are imported by those who allow such links: the others are ready sooner.
if TYPE_CHECKING:
    from binsight.service.https_links import HttpsLinks

_AT_ONCE = 8
"""Linked photos that are read at the same time."""


class Links:
    """Reads linked photos from the prefixes that are allowed: `s3://BUCKET/`, `s3://BUCKET/PREFIX/`, `https://HOST/`, …"""

    def __init__(
        self,
        allowed: tuple[str, ...],
        *,
        max_bytes: int,
        anonymous: bool = False,
        https: "HttpsLinks | None" = None,
    ) -> None:
        """`https` reads the links of its kind; by default what is allowed of them. Raises `BadInput` for a prefix that
        is not one."""
        over_https = tuple(prefix for prefix in allowed if prefix.startswith("https://"))
        self._https = https or (_https_links(over_https, max_bytes) if over_https else None)
        self._turns = asyncio.Semaphore(_AT_ONCE)
        allowed = tuple(prefix for prefix in allowed if prefix not in over_https)
        for prefix in allowed:
            _parts(prefix)
            if not prefix.endswith("/"):
                raise BadInput(f"the allowed prefix {prefix} must end with a slash, or s3://a would allow s3://ab")
        self._allowed, self._max_bytes, self._anonymous = allowed, max_bytes, anonymous

    async def read(self, link: str) -> bytes:
        """The bytes of a linked photo.

        Raises `BadInput` for a link that is none, `NotAllowed` for one outside of the allowed prefixes, `BadPhoto`
        for an object that is too large (before it is read), `MissingObject` and `AccessRefused` where a store says so,
        `UnreadLink` for whatever else fails there.
        """
        async with self._turns:
            try:
                if self._https and link.startswith("https://"):
                    return await self._https.read(link)
                return await self._read_s3(link)
            except AccessRefused:
                raise
            except StorageFailure as error:
                raise UnreadLink(str(error)) from None

    async def _read_s3(self, link: str) -> bytes:
        bucket, name = _parts(link)
        if not name or name.endswith("/"):
            raise BadInput(f"{_shown(link)} names no object; give s3://BUCKET/NAME")
        if not any(link.startswith(prefix) for prefix in self._allowed):
            raise NotAllowed(f"{_shown(link)} is not among the places that this service may read; ask who runs it")
        from binsight.storage.objects import open_store

        store = open_store(f"s3://{bucket}", anonymous=self._anonymous)
        try:
            return await store.read_async(name, max_bytes=self._max_bytes)
        except MissingObject:
            raise MissingObject(f"{_shown(link)} is not there; check the name") from None
        except BadInput as error:
            raise BadPhoto(str(error), reason="too_many_bytes") from None


def _https_links(allowed: tuple[str, ...], max_bytes: int) -> "HttpsLinks":
    from binsight.service.https_links import HttpsLinks

    return HttpsLinks(allowed, max_bytes=max_bytes)


def _parts(link: str) -> tuple[str, str]:
    """Bucket and name. Raises `BadInput` for whatever another reader could understand otherwise."""
    scheme, separator, rest = link.partition("://")
    if not separator or scheme.lower() != "s3":
        raise BadInput(
            f"{_shown(link)} is no link that this service follows; send one that begins with s3://, or the photo itself"
        )
    bucket, _, name = rest.partition("/")
    plain = link.isascii() and link.isprintable() and not set("\\\\?#@%") & set(link)
    if scheme != "s3" or not bucket or not plain or ".." in name.split("/") or "//" in rest:
        raise BadInput(f"{_shown(link)} is not a plain s3://BUCKET/NAME; send the photo itself")
    return bucket, name


def _shown(link: str) -> str:
    return ascii(link[:200])[1:-1]
