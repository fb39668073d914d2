"""The two clients. Each only drives the steps of `exchange`: one blocks its thread, the other its task."""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from binsight.client.answers import Answer, Model, answer_of, models_of
from binsight.client.asking import Ask, Photo, ask_about, name_of
from binsight.client.exchange import Outcome, Patience, Send, Steps, exchange, was_listening
from binsight.errors import BadInput, BinsightError, MissingExtra

try:
    import httpx
except ImportError:
    raise MissingExtra("the client", extra="client") from None

Named = tuple[str, Photo]
Result = tuple[str, Answer | BinsightError]

COUNT, VERIFY, MODELS, PING = "/v1/count", "/v1/verify", "/v1/models", "/ping"


def _options(url: str, key: str | None, verify: bool | ssl.SSLContext) -> dict[str, Any]:
    """What both kinds of connection pool are made with. Raises `BadInput` for a URL or a key that is none."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise BadInput(f"{url[:200]} is no address ({error}); give https://HOST or http://HOST:PORT") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise BadInput(f"{url[:200]} is no address of a service; give https://HOST or http://HOST:PORT")
    key = _checked_key(key or "")
    headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    return {"base_url": parsed, "headers": headers, "verify": verify}


def _checked_key(text: str) -> str:
    """Without the line's end that a file or a secret store left on it. What is wrong with a key is told without the key."""
    key = text.strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise BadInput(
            "the key must be letters, digits and signs of ASCII alone; copy it again from where it was made"
        )
    return key


class Client:
    """A service at `url`, for threads: safe to share among them. Close it, or use it in a `with`.

    `key` goes along as `Authorization: Bearer`. `verify` is False for a certificate that is not to be checked, or a
    context that knows it. A method raises the error of Binsight's tree that the service answered (with its `code`,
    `mend` and `request_id`), `Unreachable` where nothing answered in time, and `ServiceFailed` where what answered
    is no such service.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        patience: Patience | None = None,
        verify: bool | ssl.SSLContext = True,
    ) -> None:
        self.patience = patience or Patience()
        self._url, self._was_heard = url, False
        self._http = httpx.Client(**_options(url, key, verify))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    @property
    def was_heard(self) -> bool:
        """Whether anybody has taken a connection at the address yet."""
        return self._was_heard

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def count(
        self,
        photo: Photo,
        *,
        expected: int | None = None,
        read_labels: bool = False,
        request_id: str | None = None,
        name: str | None = None,
    ) -> Answer:
        """Count one photo; with `expected`, what its record says, the answer has a verdict.

        A `request_id` of up to 64 letters, digits, `.`, `_` and `-` is found again in the service's log.
        """
        ask = ask_about(photo, COUNT, expected=expected, read_labels=read_labels)
        return answer_of(self._call(ask, request_id), name or name_of(photo, 1))

    def verify(self, photo: Photo, expected: int, *, request_id: str | None = None) -> Answer:
        """What to do about the record of one photo: `answer.verdict`."""
        ask = ask_about(photo, VERIFY, expected=expected)
        return answer_of(self._call(ask, request_id), name_of(photo, 1))

    def count_many(
        self, photos: Iterable[Photo | Named], *, read_labels: bool = False, at_once: int = 4
    ) -> Iterator[Result]:
        """Each photo's name with its answer, or with the error that kept it from being counted, in their order.

        A photo may be given as (name, photo). At most `at_once` are under way, and no more are taken from `photos`.
        """
        waiting: deque[tuple[str, Future[Answer]]] = deque()
        with ThreadPoolExecutor(_checked(at_once)) as pool:
            for name, photo in _named(photos):
                waiting.append((name, pool.submit(self.count, photo, read_labels=read_labels, name=name)))
                if len(waiting) == at_once:
                    yield _result(*waiting.popleft())
            while waiting:
                yield _result(*waiting.popleft())

    def models(self) -> list[Model]:
        """The bundles in service."""
        return models_of(self._call(Ask(path=MODELS), None))

    def ready(self) -> bool:
        """Whether the service takes photos now; asked once, without patience."""
        reply = self._send(_ping(self.patience))
        return isinstance(reply, httpx.Response) and reply.status_code == 200

    def _call(self, ask: Ask, request_id: str | None) -> dict[str, Any]:
        steps: Steps = exchange(
            ask, self.patience, at=self._url, was_heard=lambda: self._was_heard, request_id=request_id
        )
        outcome: Outcome = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                fields: dict[str, Any] = end.value
                return fields
            if isinstance(step, Send):
                outcome = self._send(step)
            else:
                time.sleep(step.seconds)
                outcome = None

    def _send(self, step: Send) -> Outcome:
        try:
            outcome: Outcome = self._http.request(**_arguments(step))
        except httpx.RequestError as error:
            outcome = error
        self._was_heard = self._was_heard or was_listening(outcome)
        return outcome


class AsyncClient:
    """A service at `url`, for tasks of an event loop; everything else is as in `Client`."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        patience: Patience | None = None,
        verify: bool | ssl.SSLContext = True,
    ) -> None:
        self.patience = patience or Patience()
        self._url, self._was_heard = url, False
        self._http = httpx.AsyncClient(**_options(url, key, verify))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.close()

    @property
    def was_heard(self) -> bool:
        """As `Client.was_heard`."""
        return self._was_heard

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    async def count(
        self,
        photo: Photo,
        *,
        expected: int | None = None,
        read_labels: bool = False,
        request_id: str | None = None,
        name: str | None = None,
    ) -> Answer:
        """As `Client.count`; a file is read in a thread."""
        ask = await asyncio.to_thread(ask_about, photo, COUNT, expected=expected, read_labels=read_labels)
        return answer_of(await self._call(ask, request_id), name or name_of(photo, 1))

    async def verify(self, photo: Photo, expected: int, *, request_id: str | None = None) -> Answer:
        """As `Client.verify`."""
        ask = await asyncio.to_thread(ask_about, photo, VERIFY, expected=expected)
        return answer_of(await self._call(ask, request_id), name_of(photo, 1))

    async def count_many(
        self, photos: Iterable[Photo | Named], *, read_labels: bool = False, at_once: int = 4
    ) -> AsyncIterator[Result]:
        """As `Client.count_many`."""
        waiting: deque[tuple[str, asyncio.Task[Answer]]] = deque()
        _checked(at_once)
        try:
            for name, photo in _named(photos):
                task = asyncio.create_task(self.count(photo, read_labels=read_labels, name=name))
                waiting.append((name, task))
                if len(waiting) == at_once:
                    yield await _awaited(*waiting.popleft())
            while waiting:
                yield await _awaited(*waiting.popleft())
        finally:
            for _, task in waiting:
                task.cancel()

    async def models(self) -> list[Model]:
        """As `Client.models`."""
        return models_of(await self._call(Ask(path=MODELS), None))

    async def ready(self) -> bool:
        """As `Client.ready`."""
        reply = await self._send(_ping(self.patience))
        return isinstance(reply, httpx.Response) and reply.status_code == 200

    async def _call(self, ask: Ask, request_id: str | None) -> dict[str, Any]:
        steps: Steps = exchange(
            ask, self.patience, at=self._url, was_heard=lambda: self._was_heard, request_id=request_id
        )
        outcome: Outcome = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                fields: dict[str, Any] = end.value
                return fields
            if isinstance(step, Send):
                outcome = await self._send(step)
            else:
                await asyncio.sleep(step.seconds)
                outcome = None

    async def _send(self, step: Send) -> Outcome:
        try:
            outcome: Outcome = await self._http.request(**_arguments(step))
        except httpx.RequestError as error:
            outcome = error
        self._was_heard = self._was_heard or was_listening(outcome)
        return outcome


def _arguments(step: Send) -> dict[str, Any]:
    ask = step.ask
    return {
        "method": ask.method,
        "url": ask.path,
        "content": ask.body,
        "headers": ask.headers,
        "params": ask.query,
        "timeout": httpx.Timeout(step.timeout_s, connect=step.connect_s),
    }


def _ping(patience: Patience) -> Send:
    seconds = min(5, patience.within_s)
    return Send(Ask(path=PING), seconds, min(seconds, patience.connect_within_s))


def _checked(at_once: int) -> int:
    if at_once < 1:
        raise BadInput(f"at_once must be 1 or more, but is {at_once}; give how many photos may be under way")
    return at_once


def _named(photos: Iterable[Photo | Named]) -> Iterator[Named]:
    for place, photo in enumerate(photos, 1):
        yield photo if isinstance(photo, tuple) else (name_of(photo, place), photo)


def _result(name: str, future: "Future[Answer]") -> Result:
    try:
        return name, future.result()
    except BinsightError as error:
        return name, error


async def _awaited(name: str, task: "asyncio.Task[Answer]") -> Result:
    try:
        return name, await task
    except BinsightError as error:
        return name, error
