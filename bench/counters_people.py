"""Simulated people for `bench.counters`: they count from photos as a browser without scripts would have them do it."""

import asyncio
import random
import re
import time
from collections import Counter
from dataclasses import dataclass, field

import httpx
from tests.console_support import PASSWORD

LEASE_S = 15
"""How long a bin is a person's: the least that a policy may say."""
TASK = re.compile(r'id="photo" src="/console/photo/([^"]+)"')
LAST = re.compile(r'action="(/console/count/[^"]+/take-back)"')
CSRF = re.compile(r'name="csrf" value="([^"]+)"')


@dataclass
class Heard:
    """What people were answered. `counts`: token → number; `late` likewise, of 409 for a bin that somebody else
    has; `given` and `sent`: when a token was first seen, and first sent, by one clock for all."""

    counts: dict[str, int] = field(default_factory=dict)
    late: dict[str, int] = field(default_factory=dict)
    given: dict[str, float] = field(default_factory=dict)
    sent: dict[str, float] = field(default_factory=dict)
    acts: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)


class Person:
    """One who counts, as a browser would have him do it."""

    def __init__(self, name: str, url: str, heard: Heard, think: float, seed: int) -> None:
        self.name, self._heard, self._think, self._chance = name, heard, think, random.Random(seed)
        self._client = httpx.AsyncClient(base_url=url, timeout=60, follow_redirects=True)

    async def work(self, end: float) -> None:
        async with self._client:
            await self._sign_in()
            while time.monotonic() < end:
                await self._one(end)

    async def _sign_in(self) -> None:
        form = await self._asked("GET", "/console/sign-in")
        (csrf,) = set(CSRF.findall(form.text))
        page = await self._asked(
            "POST", "/console/sign-in", {"csrf": csrf, "name": self.name, "password": PASSWORD}
        )
        assert page.status_code == 200, page.text[-500:]

    async def _one(self, end: float) -> None:
        page = await self._asked("GET", "/console/count")
        found, csrf = TASK.search(page.text), CSRF.search(page.text)
        if page.status_code != 200 or csrf is None:
            self._heard.acts[f"page {page.status_code}"] += 1
            await asyncio.sleep(self._think)
            return
        if found is None:
            self._heard.acts["nothing to count"] += 1
            await asyncio.sleep(self._think)
            return
        self._heard.given.setdefault(found[1], time.monotonic())
        token, form = found[1], {"csrf": csrf[1], "here": "/count"}
        await self._asked("GET", f"/console/photo/{token}")
        act = self._chance.random()
        if act < 0.02 and end - time.monotonic() > 2 * LEASE_S:
            self._heard.acts["slow"] += 1
            await asyncio.sleep(LEASE_S + self._chance.uniform(0, 5))
        else:
            await asyncio.sleep(self._chance.uniform(0.5, 1.5) * self._think)
        if act > 0.98:
            self._heard.acts["passed on"] += 1
            await self._asked("POST", f"/console/count/{token}/skip", form | {"reason": "IN_USE"})
            return
        await self._count(token, form, twice=act > 0.95)
        if 0.90 < act < 0.93:
            await self._take_back()

    async def _count(self, token: str, form: dict[str, str], *, twice: bool) -> None:
        number = 3 if self._chance.random() < 0.7 else 4
        sent = (token, number, form | {"counted": str(number)})
        await asyncio.gather(*(self._sent(*sent) for _ in range(1 + twice)))

    async def _sent(self, token: str, number: int, form: dict[str, str]) -> None:
        """Send a count until it is answered, or give up."""
        self._heard.sent.setdefault(token, time.monotonic())
        while True:
            began = time.perf_counter()
            try:
                answer = await self._client.post(
                    f"/console/count/{token}", data=form, headers={"accept": "application/json"}
                )
            except httpx.TransportError:
                self._heard.acts["unanswered"] += 1
                if self._chance.random() < 0.2:
                    return
                await asyncio.sleep(self._chance.uniform(0.1, 1))
                continue
            break
        self._heard.seconds.append(time.perf_counter() - began)
        self._heard.acts[f"count {answer.status_code}"] += 1
        if answer.status_code == 200:
            assert answer.json() == {"token": token, "counted": number, "was_there": answer.json()["was_there"]}
            self._heard.counts[token] = number
        elif answer.status_code == 409 and "is noted" in answer.text:
            self._heard.late[token] = number

    async def _take_back(self) -> None:
        page = await self._asked("GET", "/console/count")
        found, csrf = LAST.search(page.text), CSRF.search(page.text)
        if found and csrf:
            self._heard.acts["taken back"] += 1
            await self._asked("POST", found[1], {"csrf": csrf[1], "here": "/count"})

    async def _asked(self, method: str, path: str, form: dict[str, str] | None = None) -> httpx.Response:
        """An answer, however often the service has to be asked."""
        while True:
            try:
                return await self._client.request(method, path, data=form)
            except httpx.TransportError:
                await asyncio.sleep(self._chance.uniform(0.1, 1))
