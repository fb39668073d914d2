"""The service with capture on: what is acknowledged is kept, and what cannot be kept never costs an answer."""

import asyncio
import base64
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from tests.captures_support import PHOTOS, an_answer
from tests.service_support import client_of, some_settings
from tests.test_strip import tagged

from binsight.errors import BadInput, StorageFailure
from binsight.imaging import decode_photo
from binsight.imaging.drawn import drawn_photo
from binsight.service import capture as capture_module
from binsight.service.app import make_app
from binsight.service.capture import CAPTURE, Capturer
from binsight.service.metrics import Metrics
from binsight.service.middleware import CAPTURED, INFERENCE_ID
from binsight.service.served import Offered
from binsight.service.shares import is_within
from binsight.settings import Settings
from binsight.storage.captures import Capture, CompactCaptures, open_captures
from binsight.storage.captures.opening import capture_place

PHOTO = drawn_photo(3, seed=3)
JPEG = {"content-type": "image/jpeg"}


def chosen_in(folder: Path, **values: Any) -> Settings:
    usual = {"capture": str(folder / "kept"), "ledger": f"sqlite:///{folder}/ledger.db", "capture_within_s": 20}
    return some_settings(**usual | values)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("capture")


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[TestClient]:
    with client_of(make_app(chosen=chosen_in(folder))) as client:
        yield client


def kept_in(folder: Path) -> dict[str, Capture]:
    captures = open_captures(chosen_in(folder))
    kept = {one.event_id: one for one in captures.read(photos=True)}
    assert list(captures.problems()) == []
    captures.close()
    return kept


def result(client: TestClient, word: str) -> float:
    found = [
        line
        for line in client.get("/metrics").text.splitlines()
        if f'binsight_captures_total{{result="{word}"}}' in line
    ]
    return float(found[0].split()[-1]) if found else 0


def test_an_acknowledged_photo_is_kept_with_its_answer_and_without_its_metadata(
    client: TestClient, folder: Path
) -> None:
    photo = tagged(PHOTO, 6)
    response = client.post("/invocations?expected=4", content=photo, headers=JPEG | {INFERENCE_ID: "order-7"})
    kept = kept_in(folder)[response.headers[CAPTURED]]
    assert kept.fields == response.json()
    assert (kept.inference_id, kept.expected, kept.model) == ("order-7", 4, response.json()["model"])
    assert kept.photo is not None and b"Warehouse" not in kept.photo
    np.testing.assert_array_equal(np.asarray(decode_photo(kept.photo)), np.asarray(decode_photo(photo)))


@pytest.mark.parametrize("endpoint", ["/v1/count", "/invocations"])
def test_of_several_photos_each_has_its_event_in_its_place(client: TestClient, folder: Path, endpoint: str) -> None:
    photos = [base64.b64encode(data).decode() for data in (PHOTO, b"no photo", PHOTOS[1])]
    response = client.post(endpoint, json={"photos": [{"photo": photo} for photo in photos]})
    first, second, third = response.headers[CAPTURED].split(", ")
    kept, results = kept_in(folder), response.json()["results"]
    assert second == "-" and "error" in results[1]
    assert [kept[first].fields, kept[third].fields] == [results[0], results[2]]
    assert kept[third].photo == PHOTOS[1]


def test_the_inference_protocol_captures_too(client: TestClient, folder: Path) -> None:
    data = base64.b64encode(PHOTO).decode()
    body = {"inputs": [{"name": "photo", "shape": [1], "datatype": "BYTES", "data": [data]}]}
    response = client.post("/v2/models/default/infer", json=body)
    assert kept_in(folder)[response.headers[CAPTURED]].fields["count"] == response.json()["outputs"][1]["data"][0]


def test_what_was_not_counted_is_not_captured(client: TestClient) -> None:
    before = result(client, "kept")
    response = client.post("/v1/count", content=b"no photo", headers=JPEG)
    assert response.status_code == 415 and CAPTURED not in response.headers
    assert CAPTURED not in client.get("/ping").headers
    assert result(client, "kept") == before


@pytest.mark.parametrize("given", ["x" * 65, "tab\there"])
def test_an_inference_id_that_sagemaker_would_not_take_is_not_kept(
    client: TestClient, folder: Path, given: str
) -> None:
    response = client.post("/v1/count", content=PHOTO, headers=JPEG | {INFERENCE_ID: given})
    assert kept_in(folder)[response.headers[CAPTURED]].inference_id is None


def test_nothing_is_kept_unless_it_is_asked_for(tmp_path: Path) -> None:
    with client_of(make_app(chosen=chosen_in(tmp_path, capture=None))) as client:
        response = client.post("/v1/count", content=PHOTO, headers=JPEG)
        assert response.status_code == 200 and CAPTURED not in response.headers
        assert "binsight_capture_works" not in client.get("/metrics").text
    assert list(tmp_path.iterdir()) == []


def test_answers_alone_can_be_kept(tmp_path: Path) -> None:
    with client_of(make_app(chosen=chosen_in(tmp_path, capture_what="answer"))) as client:
        event = client.post("/v1/count", content=PHOTO, headers=JPEG).headers[CAPTURED]
    assert kept_in(tmp_path)[event].photo_sha256 is None
    assert not (tmp_path / "kept").exists()


def test_the_share_is_chosen_by_the_request_id(tmp_path: Path) -> None:
    ids = [f"request-{number}" for number in range(2000)]
    for share in (0, 0.1, 0.5, 1):
        assert abs(sum(is_within(share, CAPTURE, one) for one in ids) / len(ids) - share) < 0.04
    assert {one for one in ids if is_within(0.1, CAPTURE, one)} < {
        one for one in ids if is_within(0.5, CAPTURE, one)
    }
    with client_of(make_app(chosen=chosen_in(tmp_path, capture_share=0.5))) as client:
        for one in ids[:6]:
            response = client.post("/v1/count", content=PHOTO, headers=JPEG | {"x-request-id": one})
            assert (CAPTURED in response.headers) == is_within(0.5, CAPTURE, one)
    assert {one.share for one in kept_in(tmp_path).values()} == {0.5}, "what a count that is added stands for"


def test_a_place_that_is_none_ends_the_service_before_it_starts(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="ftp://"):
        make_app(chosen=chosen_in(tmp_path, capture="ftp://host/kept"))


def test_a_place_that_fails_at_the_start_costs_no_answer(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file, no folder")
    with client_of(make_app(chosen=chosen_in(tmp_path))) as client:
        response = client.post("/v1/count", content=PHOTO, headers=JPEG)
        assert response.status_code == 200 and CAPTURED not in response.headers
        assert "binsight_capture_works 0.0" in client.get("/metrics").text


# The capturer alone, in front of stores that fail as told.


class Moody(CompactCaptures):
    """A real store that first does what its `mood` is."""

    mood: Callable[[], object] = staticmethod(lambda: None)

    def __init__(self, *arguments: Any, **values: Any) -> None:
        super().__init__(*arguments, **values)
        self.groups: list[int] = []

    def write(self, captures: Sequence[Capture]) -> int:
        self.groups.append(len(captures))
        self.mood()
        return super().write(captures)


class Kept:
    """A capturer in front of a moody store, asked as the event loop asks it."""

    def __init__(self, folder: Path, **values: Any) -> None:
        self.metrics = Metrics()
        self.chosen = chosen_in(folder, **values)
        self.capturer = Capturer(self.chosen, self.metrics, opened=self._opened)
        self.store: Moody | None = None
        self.capturer.start()
        self.wait_for(lambda: self.store is not None)

    def _opened(self, chosen: Settings) -> Moody:
        names = {"endpoint": chosen.capture_endpoint, "variant": chosen.capture_variant}
        self.store = Moody(capture_place(chosen), chosen.ledger, **names)
        return self.store

    def wait_for(self, what: Callable[[], bool]) -> None:
        end = time.monotonic() + 30
        while not what():
            assert time.monotonic() < end
            time.sleep(0.01)

    async def keep(self, number: int = 1) -> list[str | None]:
        offered = [Offered(photo=PHOTOS[place % 4], answer=an_answer(place)) for place in range(number)]
        return await self.capturer.keep(offered, request_id="any", inference_id=None)

    def counted(self, word: str) -> float:
        return float(self.metrics.captures.labels(word)._value.get())


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Callable[..., Kept]]:
    made: list[Kept] = []

    def make(**values: Any) -> Kept:
        made.append(Kept(tmp_path, **values))
        return made[-1]

    yield make
    for one in made:
        one.capturer.close(within=30)


def run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)


def test_a_failing_disk_stops_capture_is_told_once_and_capture_goes_on_by_itself(
    kept: Callable[..., Kept], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(capture_module, "TRY_AGAIN_AFTER_S", 1.0)
    one = kept()
    assert one.store is not None

    def fail() -> None:
        raise StorageFailure("the disk is full; free space")

    with caplog.at_level(logging.INFO):
        assert all(run(one.keep(3)))
        one.store.mood = fail
        assert run(one.keep(3)) == [None] * 3
        tried = len(one.store.groups)
        assert run(one.keep(3)) == [None] * 3 and len(one.store.groups) == tried, "not tried again at once"
        time.sleep(1.1)
        assert run(one.keep()) == [None] and len(one.store.groups) == tried + 1
        assert not one.capturer.works
        one.store.mood = lambda: None
        time.sleep(1.1)
        assert all(run(one.keep())) and one.capturer.works
    said = [record.getMessage() for record in caplog.records if "capture" in record.getMessage()]
    assert said == [
        "captures are not kept, serving goes on: the disk is full; free space",
        "captures are kept again",
    ]
    assert (one.counted("failed"), one.counted("stopped"), one.counted("kept")) == (4, 3, 4)


def test_a_capture_that_the_store_cannot_take_fails_alone(
    kept: Callable[..., Kept], caplog: pytest.LogCaptureFixture
) -> None:
    """A record of more than a database's integers hold, which no endpoint lets in."""
    one = kept()
    worse = json.dumps(json.loads(an_answer()) | {"verdict": {"expected": 10**20}})
    offered = [Offered(photo=PHOTOS[0], answer=answer) for answer in (an_answer(0), worse, an_answer(2))]
    first, bad, last = run(one.capturer.keep(offered, request_id="any", inference_id=None))
    assert first is not None and last is not None and bad is None
    assert run(one.capturer.keep(offered[1:2], request_id="any", inference_id=None)) == [None]
    assert one.capturer.works and all(run(one.keep(3))), "nobody else waits until it is tried again"
    assert (one.counted("failed"), one.counted("stopped"), one.counted("kept")) == (2, 0, 5)
    assert one.store is not None and {one.event_id for one in one.store.read()} >= {first, last}


def test_where_nothing_can_be_taken_it_is_the_store(kept: Callable[..., Kept]) -> None:
    one = kept()
    assert one.store is not None

    def break_down() -> None:
        raise RuntimeError("what no store should say")

    one.store.mood = break_down
    assert run(one.keep(3)) == [None] * 3
    assert not one.capturer.works
    one.capturer._stopped_until = 0
    assert run(one.keep()) == [None] and one.counted("failed") == 4, (
        "nor is a lone one taken for the only one at fault"
    )
    assert not one.capturer.works
    one.store.mood, one.capturer._stopped_until = lambda: None, 0
    assert all(run(one.keep(2))) and one.capturer.works


def test_a_slow_disk_delays_an_answer_so_long_and_the_next_ones_not_at_all(kept: Callable[..., Kept]) -> None:
    one = kept(capture_within_s=0.3)
    assert one.store is not None
    gate = threading.Event()
    one.store.mood = lambda: gate.wait(60)
    started = time.monotonic()
    assert run(one.keep()) == [None]
    waited = time.monotonic() - started
    assert 0.3 <= waited < 3
    started = time.monotonic()
    for _ in range(50):
        assert run(one.keep()) == [None]
    assert time.monotonic() - started < 3, "fifty would have waited 15 s"
    assert not one.capturer.works
    gate.set()
    one.wait_for(lambda: one.capturer.works)
    one.wait_for(lambda: all(run(one.keep())))
    late, stopped = one.counted("late"), one.counted("stopped")
    assert late + stopped == 51 and late <= 3, "who comes before the writer's own time is up may still wait for it"


def test_what_waits_is_bounded_and_shares_a_transaction(kept: Callable[..., Kept]) -> None:
    one = kept()
    assert one.store is not None
    gate = threading.Event()
    one.store.mood = lambda: gate.wait(60)

    async def many() -> list[list[str | None]]:
        first = asyncio.create_task(one.keep())
        while not one.store or not one.store.groups:
            await asyncio.sleep(0.01)
        rest = [asyncio.create_task(one.keep(8)) for _ in range(40)]
        while one.counted("busy") + one.capturer.num_waiting < 320:
            await asyncio.sleep(0.01)
        gate.set()
        return await asyncio.gather(first, *rest)

    found = [event for events in run(many()) for event in events]
    assert sum(event is not None for event in found) == 1 + capture_module.QUEUE_CAPTURES
    assert one.counted("busy") == 320 - capture_module.QUEUE_CAPTURES
    assert one.store.groups == [1, 64, 64, 64, 64]
    assert len(set(found) - {None}) == len(list(one.store.read()))


def test_a_disk_with_little_room_left_is_not_filled(kept: Callable[..., Kept]) -> None:
    one = kept(capture_free_bytes=10**18)
    assert run(one.keep()) == [None]
    assert one.store is not None and one.store.groups == []


def test_beyond_the_bytes_that_may_be_kept_nothing_is_until_there_is_room(
    kept: Callable[..., Kept], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture_module, "TRY_AGAIN_AFTER_S", 0.0)
    one = kept(capture_max_bytes=1)
    assert all(run(one.keep()))
    assert run(one.keep()) == [None], "full, and what there is, is too young to be deleted"


def test_a_photo_that_cannot_be_cleaned_is_not_kept_and_the_others_are(kept: Callable[..., Kept]) -> None:
    one = kept()
    offered = [Offered(photo=data, answer=an_answer()) for data in (b"\xff\xd8\xff\xe1\xff\xff", PHOTOS[0])]
    first, second = run(one.capturer.keep(offered, request_id="any", inference_id=None))
    assert first is None and second is not None
    assert one.counted("not_cleaned") == 1 and one.capturer.works


def test_what_was_taken_is_finished_at_the_end(kept: Callable[..., Kept]) -> None:
    one = kept()

    async def leave() -> None:
        task = asyncio.create_task(one.keep(4))
        await asyncio.sleep(0)
        task.cancel()

    run(leave())
    one.capturer.close(within=30)
    store = open_captures(one.chosen)
    assert len(list(store.read())) == 4
    assert run(one.keep()) == [None]
    store.close()
