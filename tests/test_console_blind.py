"""Who counts is sent nothing of what record, model or others say before the count is in: every byte is looked at.

Two proofs. Numbers and words that stand nowhere else are put into everything that must stay hidden, and looked for in every
answer, plain and in the usual encodings. And the same visit is made in two worlds that differ in all of that and in nothing
else: what is sent must be the same, byte by byte, but for random tokens.
"""

import base64
import html
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count as counting_from
from pathlib import Path
from urllib.parse import unquote

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from tests.blind_support import COUNT, NEXT_RECORD, OTHERS_COUNT, RECORD, a_world
from tests.console_support import Visitor, a_console, forms_of, signed_in, where

from binsight.storage.ledger import Ledger, TaskRows

AISLE = "/walk?site=DC1&aisle=A"
HIDDEN = {
    "the record": str(RECORD),
    "the record of the next bin": str(NEXT_RECORD),
    "the record's items": "WOMBAT",
    "the record's class": "NUMBAT",
    "a unit's value": "48213",
    "the verdict": "suspect",
    "its reason": "QUOKKA",
    "the distribution": "0.041739",
    "how sure it is": "0.0173939",
    "the model": "feedfacecafe",
    "who audited": "possum",
    "another's count": str(OTHERS_COUNT),
    "another's comment": "BILBY",
    "another's name": "cassowary",
    "who decided": "drongo",
    "what was decided": "KOALA",
    "why it is to be counted": "planned",
    "why the next is": "random",
    "the photo's name": "-qty",
    "what the photo's metadata say": "PLATYPUS",
}
"""What must stay hidden, and what to look for: words and numbers that stand nowhere else."""


# --- Looking ---


@dataclass
class Recorder:
    """Keeps every byte that an app sends, whatever the client makes of it."""

    app: ASGIApp
    sent: list[tuple[str, bytes]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        what = f"{scope['method']} {scope['path']}" if scope["type"] == "http" else scope["type"]

        async def keep(message: Message) -> None:
            for name, value in message.get("headers", ()):
                self.sent.append((what, name + b": " + value))
            if message["type"] == "http.response.start":
                self.sent.append((what, str(message["status"]).encode()))
            self.sent.append((what, message.get("body", b"")))
            await send(message)

        await self.app(scope, receive, keep)


def readings(data: bytes) -> list[str]:
    """What was sent, and what it says to those who know the usual encodings."""
    plain = data.decode("latin-1")
    spread = [data[start::2].decode("latin-1") for start in (0, 1)]  # UTF-16, as EXIF has it
    texts = [plain, unquote(plain), html.unescape(plain), *spread]
    for token in re.findall(rb"[A-Za-z0-9+/_-]{8,}={0,2}", data):
        padded = token.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        if len(padded) % 4 != 1:
            texts.append(base64.b64decode(padded + b"=" * (-len(padded) % 4)).decode("latin-1"))
    for token in re.findall(rb"(?:[0-9a-fA-F]{2}){4,}", data):
        texts.append(bytes.fromhex(token.decode()).decode("latin-1"))
    return texts


def found_in(data: bytes) -> set[str]:
    """Which of the hidden things these bytes say, and how often numbers in random tokens do not count: they stand alone."""
    texts = readings(data)
    return {name for name, words in HIDDEN.items() if any(stands_in(words, text) for text in texts)}


def stands_in(words: str, text: str) -> bool:
    if words.isdigit():
        return re.search(rf"(?<![0-9a-fA-F]){words}(?![0-9a-fA-F])", text) is not None
    return words.casefold() in text.casefold()


# --- A visit ---


def visit_until_the_count(recorder: Recorder) -> Visitor:
    """All that somebody who counts can be sent before the outcome of his count: pages, photos, JSON, errors."""
    ben = Visitor(recorder)  # type: ignore[arg-type]
    ben.get("/count")
    ben.sign_in("ben", "a wrong password")
    station = ben.sign_in("ben")
    assert where(station) == "/count"
    following, token = re.findall(r"/photo/([0-9a-f-]{36})", station.text)
    for one in (token, following):
        photo = ben.get(f"/photo/{one}")
        assert photo.headers["content-type"] == "image/jpeg", "it is there to be looked at"
    form = forms_of(station)[1].fields
    signs = {"csrf": form["csrf"], "token": [token, following]}
    for path in ("/alive", "/leave", "/alive"):
        assert ben.client.post(f"/console{path}", data=signs).json() == {"num_tasks": 2}
    ben.get("/count")
    for path in ("outcome", "take-back"):  # not before the count
        ben.client.post(f"/console/count/{token}/{path}", data=form)
    for counted in ("", "x", "-1", "99999999"):
        ben.submit(station, COUNT, counted=counted)
    ben.submit(station, "/skip", reason="nonsense")
    for path in (
        "/tasks",
        "/settings",
        "/nowhere",
        "/photo/unknown",
        "/walk",
        "/walk?site=DC1&aisle=B",
        "/password",
    ):
        ben.get(path)
        ben.client.get(f"/console{path}", headers={"accept": "application/json"})
        ben.client.head(f"/console{path}")
    ben.client.get("/console/")
    walk = ben.get(AISLE)
    ben.submit(walk, "/skip", reason="IN_USE", here=AISLE)
    assert where(ben.submit(station, COUNT, counted="5", comment="mine")) == "/count"
    counted = ben.get("/count")
    ben.get("/walk")
    ben.get(AISLE)
    sent = {"data": form | {"counted": "5"}, "headers": {"accept": "application/json"}}
    assert ben.client.post(f"/console/count/{token}", **sent).json()["was_there"]  # type: ignore[arg-type]
    ben.client.post(f"/console/count/{token}", data=form | {"counted": "6"})
    again = ben.submit(counted, "/take-back")
    ben.get(AISLE)
    ben.submit(again, COUNT, counted="5")
    ben.get("/walk")
    ben.submit(ben.get("/count"), COUNT, counted="5")
    ben.get("/walk")
    ben.submit(ben.get(AISLE), "/skip", reason="NO_ACCESS")
    return ben


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, Path]]:
    return [a_world(tmp_path_factory.mktemp(name), is_other=name == "other") for name in ("blind", "other")]


@pytest.fixture
def copies(worlds: list[tuple[str, Path]], tmp_path: Path) -> list[str]:
    """The ledgers of the two worlds, to be changed."""
    for number, (url, _) in enumerate(worlds):
        shutil.copy(url.removeprefix("sqlite:///"), tmp_path / f"{number}.db")
    return [f"sqlite:///{tmp_path}/{number}.db" for number in range(2)]


# --- Proofs ---


def test_nothing_that_is_sent_before_a_count_says_what_record_model_or_others_say(copies: list[str]) -> None:
    recorder = Recorder(a_console(copies[0]))
    visit_until_the_count(recorder)
    assert len(recorder.sent) > 400
    ledger = Ledger.open(copies[0])
    names = {task.id: "the task's id" for task in TaskRows(ledger).find()}
    names |= {TaskRows(ledger).find()[0].audit: "the audit's id"}
    ledger.close()
    for what, data in recorder.sent:
        assert found_in(data) == set(), what
        assert not [name for name in names if name.encode() in data], what


def test_the_search_finds_all_of_it_where_it_may_stand(copies: list[str], worlds: list[tuple[str, Path]]) -> None:
    recorder = Recorder(a_console(copies[0]))
    ben = visit_until_the_count(recorder)
    before = len(recorder.sent)
    ben.submit(ben.get("/count"), f"{COUNT}/outcome")
    outcome = set().union(*(found_in(data) for _, data in recorder.sent[before:]))
    assert "the record of the next bin" in outcome
    assert "its reason" in outcome, "the flag of the estimate"

    recorder = Recorder(a_console(copies[0]))
    drongo = signed_in(recorder, "drongo")  # type: ignore[arg-type]
    ledger = Ledger.open(copies[0])
    task = TaskRows(ledger).find()[0]
    ledger.close()
    drongo.get(f"/tasks/{task.id}")
    seen = set().union(*(found_in(data) for _, data in recorder.sent))
    assert seen >= {
        "the record", "the verdict", "its reason", "another's count", "another's comment", "another's name",
        "who decided", "what was decided", "the record's items",
    }  # fmt: skip

    photo = worlds[0][1]
    assert found_in(photo.read_bytes()) == {"the record", "what the photo's metadata say"}
    data = Path(copies[0].removeprefix("sqlite:///")).read_bytes()
    assert {name for name, words in HIDDEN.items() if words.encode() in data} >= HIDDEN.keys() - {
        "the record", "the record of the next bin", "another's count", "how sure it is", "what the photo's metadata say",
    }, "the ledger has it"  # fmt: skip


@pytest.mark.parametrize("encode", [
    lambda text: base64.b64encode(f'["{text}"]'.encode()),
    lambda text: base64.urlsafe_b64encode(f"{{'n': {text}}}".encode()).rstrip(b"="),
    lambda text: text.encode().hex().encode(),
    lambda text: text.encode("utf-16-be"),
    lambda text: "".join(f"%{ord(letter):02x}" for letter in text).encode(),
    lambda text: "".join(f"&#{ord(letter)};" for letter in text).encode(),
])  # fmt: skip
def test_the_search_reads_the_usual_encodings(encode: Callable[[str], bytes]) -> None:
    for name, words in HIDDEN.items():
        assert name in found_in(b"    " + encode(words) + b"    ")


def test_the_same_is_sent_whatever_record_model_and_others_say(copies: list[str]) -> None:
    transcripts = []
    for url in copies:
        recorder = Recorder(a_console(url))
        ben = visit_until_the_count(recorder)
        transcript = without_tokens(recorder.sent)
        before = len(recorder.sent)
        ben.submit(ben.get("/count"), f"{COUNT}/outcome")
        transcripts.append((transcript, without_tokens(recorder.sent[before:])))
    (one, its_outcome), (other, others_outcome) = transcripts
    for (what, mine), (_, theirs) in zip(one, other, strict=True):
        assert mine == theirs, what
    assert its_outcome != others_outcome, "and these are two worlds"


TOKEN = re.compile(
    rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{64}|[0-9a-f]{32}"
    rb"|(?<=binsight_session=)[\w-]{43}|(?<=binsight_visit=)[\w-]{32}"
)
"""Leases and ids, tokens of forms, ids of requests, cookies."""


def without_tokens(sent: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """What was sent, each random token named by its turn."""
    turns: dict[bytes, bytes] = {}
    fresh = counting_from()

    def turn(found: "re.Match[bytes]") -> bytes:
        if found[0] not in turns:
            turns[found[0]] = b"token %d" % next(fresh)
        return turns[found[0]]

    timeless = ((what, re.sub(rb"expires=[^;]+", b"", data)) for what, data in sent)
    return [(TOKEN.sub(turn, what.encode()).decode(), TOKEN.sub(turn, data)) for what, data in timeless]
