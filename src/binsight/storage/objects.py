"""Objects in a folder or in an S3 or S3-compatible bucket, addressed by URL, through `obstore`.

```
s3://bucket/prefix      a bucket; the endpoint and the region come from the settings or from arguments
file:///path or a path  a folder
```

Credentials stay with the library, which reads AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and
the roles of containers and machines itself. It also retries: answers of 5xx, 408 and 429, connections refused
or reset and timeouts, with exponential back-off; and it takes up a body that was cut short at the byte where it
broke, by a ranged request for the same ETag. Added here are a new read where it does not (a connection reset in
mid-body), the check of the whole body against an ETag that is an MD5, and errors that a person can act on.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import md5
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, S3Store

from binsight.errors import BadInput, BinsightError, ChangedMeanwhile, MissingStore, StorageFailure
from binsight.settings import settings
from binsight.storage.failures import Asked, broke_off, explained
from binsight.storage.refusals import DELETE, GET, LIST, PUT

_PAGE = 1000  # names a listing request, S3's own largest page
_PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1.6, 0)  # after each whole read that broke off or does not match its checksum
_FAILURES = (BaseError, OSError, ValueError)  # what obstore raises; ValueError for a name that cannot be one

# Eleven tries over some 20 seconds (the waits are drawn between the first and `base` times the last): long enough
# for a throttled or restarting server, short enough for a person who mistyped an address.
_RETRY: Any = {
    "max_retries": 10,
    "retry_timeout": timedelta(minutes=2),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=10), "base": 3},
}
# The library's own limit of 30 s a request would cut large photos off on a slow line.
_CLIENT: Any = {"connect_timeout": "5s", "read_timeout": "30s", "timeout": "10m"}


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object of a listing: its name below the store's URL, its size in bytes, and a tag that changes with its
    content (the ETag), empty where the store has none."""

    name: str
    size: int
    tag: str = ""


class Objects:
    """The objects under one URL. `list`, `read`, `read_async`, `read_ranges`, `write`, `add` and `remove`: this is the
    whole surface.

    Names are relative to the URL, with `/` between their parts. Every method raises `MissingStore` where the
    bucket or folder is not there, `MissingObject` where the object is not, `AccessRefused` where the store does
    not allow it, with the permission that is missing, and `StorageFailure` where credentials are refused, the
    store cannot be reached, or it still fails after all retries.
    """

    def __init__(self, url: str, store: S3Store | LocalStore, endpoint: str, *, anonymous: bool = False) -> None:
        self.url = url
        self._store = store
        self._endpoint = endpoint
        self._anonymous = anonymous
        # Encrypted buckets give tags that look like an MD5 and are none: found out at the first object.
        self._etag_is_md5 = True

    def list(self, prefix: str = "") -> "Listing":
        """The objects below `prefix` (whole name parts, not half of one), page by page; for `for` and `async for`.

        A bucket lists them in the order of their names, a folder in any order.
        """
        return Listing(self, prefix)

    def read(self, name: str, *, max_bytes: int | None = None, tag: str = "") -> bytes:
        """The bytes of an object.

        Raises, before reading them, `BadInput` where they are more than `max_bytes`, and `ChangedMeanwhile` where the
        object has another tag than the one that a listing gave.
        """
        previous = None
        for pause_s in _PAUSES_S:
            try:
                result = obstore.get(self._store, name)
                meta = result.meta  # made anew each time it is asked for
                self._check_tag(name, meta["e_tag"], tag)
                self._check_size(name, meta["size"], max_bytes)
                data = result.bytes().to_bytes()
            except _FAILURES as error:
                failure = self._explained(error, name, GET)
                if not broke_off(error):
                    raise failure from None
            else:
                if self._is_whole(data, meta["e_tag"], previous):
                    return data
                failure, previous = self._damaged(name), data
            time.sleep(pause_s)
        raise failure

    def read_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        """Parts of an object, each by its offset and size in bytes; what lies close together in one request.

        No ETag covers a part, and of an object that ends within it there is less: whoever asks must know a checksum.
        """
        starts, sizes = [start for start, _ in ranges], [size for _, size in ranges]
        for pause_s in _PAUSES_S:
            try:
                parts = obstore.get_ranges(self._store, name, starts=starts, lengths=sizes)
                return [part.to_bytes() for part in parts]
            except _FAILURES as error:
                failure = self._explained(error, name, GET)
                if not broke_off(error):
                    raise failure from None
            time.sleep(pause_s)
        raise failure

    async def read_async(self, name: str, *, max_bytes: int | None = None) -> bytes:
        """As `read`, for many requests in flight."""
        previous = None
        for pause_s in _PAUSES_S:
            try:
                result = await obstore.get_async(self._store, name)
                meta = result.meta  # made anew each time it is asked for
                self._check_size(name, meta["size"], max_bytes)
                data = (await result.bytes_async()).to_bytes()
            except _FAILURES as error:
                failure = self._explained(error, name, GET)
                if not broke_off(error):
                    raise failure from None
            else:
                if self._is_whole(data, meta["e_tag"], previous):
                    return data
                failure, previous = self._damaged(name), data
            await asyncio.sleep(pause_s)
        raise failure

    def write(self, name: str, data: bytes | Path) -> None:
        """Write bytes, or a file's contents, whole or not at all, over an object of that name."""
        try:
            obstore.put(self._store, name, data)
        except _FAILURES as error:
            raise self._explained(error, name, PUT) from None

    def add(self, name: str, data: bytes) -> bool:
        """Write bytes where there is no object of that name yet: of several who do so at once, one is told True."""
        try:
            obstore.put(self._store, name, data, mode="create")
        except AlreadyExistsError:
            return False
        except _FAILURES as error:
            raise self._explained(error, name, PUT) from None
        return True

    def remove(self, names: Sequence[str]) -> None:
        """Delete objects, as many in one request as the store takes. One that is not there is no failure."""
        try:
            obstore.delete(self._store, list(names))
        except FileNotFoundError:  # a folder's; somebody else deleted it meanwhile
            return
        except _FAILURES as error:
            raise self._explained(error, names[0] if len(names) == 1 else "", DELETE) from None

    def _check_size(self, name: str, size: int, max_bytes: int | None) -> None:
        if max_bytes is not None and size > max_bytes:
            raise BadInput(
                f"{self._full(name)} must be at most {max_bytes:,} bytes, but has {size:,}; store it smaller"
            )

    def _check_tag(self, name: str, found: str | None, wanted: str) -> None:
        if wanted and found and _tag(found) != wanted:
            raise ChangedMeanwhile(f"{self._full(name)} was changed since it was listed; list it again")

    def _is_whole(self, data: bytes, etag: str | None, previous: bytes | None) -> bool:
        """Whether the bytes are what the server meant to send, as far as its ETag tells.

        An ETag of 32 hexadecimal digits is the MD5 of the bytes, except in buckets that encrypt with keys of
        their own, where it is not: two reads that agree outweigh it, and it is not asked again.
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
        """
        digest = _tag(etag)
        if not self._etag_is_md5 or not re.fullmatch("[0-9a-f]{32}", digest):
            return True
        if md5(data, usedforsecurity=False).hexdigest() == digest:
            return True
        if data == previous:
            self._etag_is_md5 = False
            return True
        return False

    def _damaged(self, name: str) -> StorageFailure:
        return StorageFailure(
            f"{self._full(name)} arrived {len(_PAUSES_S)} times with bytes that do not match its checksum; "
            "try again later, or look for a fault on the way (proxy, disk of the server)"
        )

    def _full(self, name: str) -> str:
        return f"{self.url.rstrip('/')}/{name}" if name else self.url

    def _explained(self, error: Exception, name: str, needs: str) -> BinsightError:
        asked = Asked(
            what=self._full(name), url=self.url, endpoint=self._endpoint, needs=needs, anonymous=self._anonymous
        )
        return explained(error, asked)


class Listing:
    """The objects below a prefix, asked for page by page as they are consumed."""

    def __init__(self, objects: Objects, prefix: str) -> None:
        self._objects = objects
        self._prefix = prefix

    def __iter__(self) -> Iterator[ObjectInfo]:
        try:
            for page in self._pages():
                yield from _infos(page)
        except _FAILURES as error:
            raise self._objects._explained(error, self._prefix, LIST) from None

    async def __aiter__(self) -> AsyncIterator[ObjectInfo]:
        try:
            async for page in self._pages():
                for info in _infos(page):
                    yield info
        except _FAILURES as error:
            raise self._objects._explained(error, self._prefix, LIST) from None

    def _pages(self) -> Any:
        return obstore.list(self._objects._store, self._prefix or None, chunk_size=_PAGE)


def _infos(page: Sequence[Any]) -> Iterator[ObjectInfo]:
    return (ObjectInfo(entry["path"], entry["size"], _tag(entry["e_tag"])) for entry in page)


def _tag(etag: str | None) -> str:
    """Without the quotes, which some servers leave out in listings."""
    return (etag or "").strip('"')


def open_store(
    url: str,
    *,
    endpoint_url: str | None = None,
    region: str | None = None,
    anonymous: bool = False,
    create: bool = False,
) -> Objects:
    """The objects under `url`, without asking the store anything yet.

    `endpoint_url` and `region` default to the settings'; `anonymous` sends unsigned requests, for public
    buckets; `create` makes a folder that is not there (buckets are never made). Raises `BadInput` for a URL of
    another kind and `MissingStore` for a folder that is not there. Plain HTTP is spoken only to an endpoint that
    the user wrote as http://.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme == "file":
        return _open_folder(url, Path(rest if separator else url), create)
    if scheme != "s3":
        raise BadInput(f"{url} must be s3://bucket/prefix, file:///folder or a folder, but starts with {scheme}://")
    bucket, _, prefix = rest.partition("/")
    if not bucket:
        raise BadInput(f"{url} must name a bucket: s3://bucket/prefix")
    endpoint = endpoint_url or settings().endpoint_url
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise BadInput(f"the endpoint must start with https:// or http://, but is {endpoint}")
    config: dict[str, Any] = {"endpoint": endpoint.rstrip("/")} if endpoint else {}
    if anonymous:
        config["skip_signature"] = True
    store = S3Store(
        bucket,
        prefix=prefix.strip("/") or None,
        region=region or settings().region,
        client_options=_CLIENT | {"allow_http": bool(endpoint) and str(endpoint).startswith("http://")},
        retry_config=_RETRY,
        **config,
    )
    return Objects(url, store, endpoint or "Amazon S3", anonymous=anonymous)


def _open_folder(url: str, folder: Path, create: bool) -> Objects:
    if not folder.is_dir() and not create:
        if not folder.exists():
            raise MissingStore(f"the folder {url} is not there; check the path")
        if not folder.is_dir():  # looked at again: another process may have made it since
            raise BadInput(f"{url} must be a folder, but is a file; name the folder that holds it")
    try:
        return Objects(url, LocalStore(folder.absolute(), mkdir=create), "the disk")
    except (BaseError, OSError) as error:
        text = str(error).split("\n\n", 1)[0]
        raise StorageFailure(f"the folder {url} cannot be opened ({text}); check the path and the rights") from None


def read_bytes(url: str, *, endpoint_url: str | None = None, anonymous: bool = False) -> bytes:
    """The bytes of the one object at `url`, `s3://bucket/path/photo.jpg` or a file. Errors as `Objects.read`."""
    name = url.rpartition("/")[2]
    folder = url.removesuffix(name) or "."
    return open_store(folder, endpoint_url=endpoint_url, anonymous=anonymous).read(name)
