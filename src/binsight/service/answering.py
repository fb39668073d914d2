"""From an order to its answers: links read, photos queued, deadlines and clients that leave watched."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request

from binsight.errors import BadInput, BinsightError, TooLate, UnreadLink
from binsight.records import CANARY, CHAMPION, SHADOW
from binsight.service.answers import Answer, ErrorAnswer, answer_for, error_for
from binsight.service.bodies import ClientLeft, Held
from binsight.service.drift import DriftWatch
from binsight.service.lanes import Lanes
from binsight.service.links import Links
from binsight.service.metrics import Metrics
from binsight.service.middleware import INFERENCE_ID
from binsight.service.photos import Asked, Order
from binsight.service.served import Counted, Offered, Served
from binsight.service.shadow import Shadow, ToCompare
from binsight.service.shares import is_within
from binsight.service.suspensions import Suspensions
from binsight.service.traces import Traces

if TYPE_CHECKING:
    from binsight.service.capture import Capturer

MAX_INFERENCE_ID = 64
"""SageMaker's own limit; a longer one is not kept, and the event id stands in for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """What every endpoint that counts shares."""

    lanes: Lanes
    links: Links
    metrics: Metrics
    within: float
    drift: DriftWatch
    traces: Traces
    suspensions: Suspensions
    capturer: "Capturer | None" = None
    canary_share: float = 0.0
    shadow: Shadow | None = None
    shadow_share: float = 0.0

    async def counted(self, request: Request, order: Order, request_id: str) -> list[Answer]:
        """The answers to an order. Raises what kept the first photo that was not counted from it."""
        answers = []
        photos = await self._photos(request, order)
        for asked, result in zip(order.asked, await self._results(request, order, photos), strict=True):
            if isinstance(result, Exception):
                raise result
            answers.append(self._answer(result, asked, request_id))
        await self._capture(request, photos, answers)
        return answers

    async def many(self, request: Request, order: Order, request_id: str) -> list[Answer | ErrorAnswer]:
        """An answer, or the error, for each photo of an order. Raises only what concerns the order as a whole."""
        photos = await self._photos(request, order)
        results = await self._results(request, order, photos)
        answers = [
            self._error(result, request_id)
            if isinstance(result, Exception)
            else self._answer(result, asked, request_id)
            for asked, result in zip(order.asked, results, strict=True)
        ]
        await self._capture(request, photos, answers)
        return answers

    def withheld(self, served: Served) -> str:
        """Why a bundle's certificate speaks for nothing now; empty where it does, or where it has none.

        Drift withdraws it: it speaks for photos like those that it was made on.
        """
        if served.certificate is None:
            return ""
        if self.drift.is_drifting(served.name):
            return "the certificate is withdrawn while photos drift"
        return self.suspensions.why(served)

    def _answer(self, counted: Counted, asked: "Asked | BadInput", request_id: str) -> Answer:
        assert isinstance(asked, Asked)
        withheld = "" if asked.expected is None else self.withheld(counted.served)
        answer = answer_for(counted, request_id=request_id, expected=asked.expected, withheld=withheld)
        verdict = answer.verdict.verdict if answer.verdict else None
        if verdict:
            self.metrics.verdicts.labels(verdict).inc()
        self.metrics.roles.counted(counted, verdict=verdict)
        return answer

    def _error(self, error: Exception, request_id: str) -> ErrorAnswer:
        answer = error_for(error, request_id)[1]
        self.metrics.errors.labels(answer.error.code).inc()
        return answer

    async def _capture(
        self, request: Request, photos: Sequence[bytes | Exception], answers: "Sequence[Answer | ErrorAnswer]"
    ) -> None:
        """Keep what was counted; which of it is safe goes into the answer's headers."""
        if self.capturer is None:
            return
        given = request.headers.get(INFERENCE_ID, "")
        offered = {
            place: Offered(photo=photo, answer=answer.model_dump_json())
            for place, (photo, answer) in enumerate(zip(photos, answers, strict=True))
            if isinstance(photo, bytes) and isinstance(answer, Answer)
        }
        kept = await self.capturer.keep(
            tuple(offered.values()),
            request_id=request.state.id,
            inference_id=given if given.isprintable() and 0 < len(given) <= MAX_INFERENCE_ID else None,
        )
        ids = dict(zip(offered, kept, strict=True))
        if any(kept):
            request.state.captured = ", ".join(ids.get(place) or "-" for place in range(len(photos)))

    async def _photos(self, request: Request, order: Order) -> list[bytes | Exception]:
        """The bytes of each photo, after the caller's rate has been asked. Raises `TooMany`."""
        if request.state.key is not None:
            request.app.state.rates.take(request.state.key, len(order.asked))
        return await asyncio.gather(*(self._photo(asked, request.state.held) for asked in order.asked))

    async def _results(
        self, request: Request, order: Order, photos: Sequence[bytes | Exception]
    ) -> list[Counted | Exception]:
        good = [(f"photo {place}", photo) for place, photo in enumerate(photos) if isinstance(photo, bytes)]
        for_canary = not order.is_pinned and is_within(self.canary_share, CANARY, request.state.id)
        futures = self.lanes.submit(good, within=self.within, read_labels=order.read_labels, for_canary=for_canary)
        counted = iter(await self._watched(request, futures))
        results = [next(counted) if isinstance(photo, bytes) else photo for photo in photos]
        for result in results:
            self.metrics.photos.labels("failed" if isinstance(result, Exception) else "counted").inc()
            if isinstance(result, Counted):
                self.traces.photo(result)
                request.state.model, request.state.role = result.served.name, result.role
            elif not isinstance(result, BinsightError):
                self.metrics.roles.failed(CHAMPION, self.lanes.served)
        self._offer(order, photos, results, request.state.id)
        return results

    def _offer(
        self,
        order: Order,
        photos: Sequence[bytes | Exception],
        results: Sequence[Counted | Exception],
        request_id: str,
    ) -> None:
        """Let the shadow have what the champion counted, for its share of the requests."""
        if self.shadow is None or not is_within(self.shadow_share, SHADOW, request_id):
            return
        for asked, photo, counted in zip(order.asked, photos, results, strict=True):
            if isinstance(counted, Counted) and counted.role == CHAMPION:
                assert isinstance(asked, Asked) and isinstance(photo, bytes)
                self.shadow.offer(ToCompare(photo=photo, counted=counted, expected=asked.expected))

    async def _photo(self, asked: "Asked | BadInput", held: Held) -> bytes | Exception:
        if isinstance(asked, BadInput):
            return asked
        if asked.link is None:
            return asked.photo or b""
        try:
            photo = await asyncio.wait_for(self.links.read(asked.link), self.within)
            held.take(len(photo))
            return photo
        except TimeoutError:
            return UnreadLink("the link was not read in time; try again later")
        except BinsightError as error:
            return error

    async def _watched(self, request: Request, futures: "Sequence[Future[Counted]]") -> list[Counted | Exception]:
        """What became of each; all are given up when the client leaves. A lane keeps the deadline of what waits, this
        that of what hangs in a lane."""
        waited = [asyncio.wrap_future(future) for future in futures]
        together = asyncio.gather(*waited, return_exceptions=True)
        left = asyncio.create_task(_until_left(request))
        try:
            await asyncio.wait((together, left), timeout=self.within + 1, return_when=asyncio.FIRST_COMPLETED)
            if left.done() and not together.done():
                raise ClientLeft
        finally:
            left.cancel()
            for one in waited:
                one.cancel()  # those that failed too: asyncio logs errors that nobody looked at, where the client left
        late = TooLate("the answer took too long; try again later")
        return [late if one.cancelled() else one.exception() or one.result() for one in waited]  # type: ignore[misc]


async def _until_left(request: Request) -> None:
    """Return once the client is gone. The body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
