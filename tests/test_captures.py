"""Captures at rest: one contract for both layouts, in a folder and in a bucket; counts added later; retention."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.captures_support import NOON, PHOTOS, a_capture, an_answer
from tests.s3_server import CREDENTIALS, S3Server, running_s3_server

from binsight.counting.sources import photo_reader
from binsight.errors import BadInput, MissingObject, StorageFailure
from binsight.settings import Settings, settings
from binsight.storage.captures import (
    Capture,
    CompactCaptures,
    LineCaptures,
    Place,
    Truths,
    is_line,
    joined,
    line_reader,
    open_captures,
    open_truths,
    prune,
)
from binsight.storage.captures.place import write_durably

Captures = CompactCaptures | LineCaptures
LAYOUTS = ["compact", "sagemaker"]


@pytest.fixture(scope="module")
def bucket_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with running_s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(params=["folder", "bucket"])
def destination(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "folder":
        yield str(tmp_path / "kept")
        return
    server: S3Server = request.getfixturevalue("bucket_server")
    for name, value in {**CREDENTIALS, "BINSIGHT_ENDPOINT_URL": server.endpoint_url}.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    server.put("kept", {"made": b""})
    yield f"s3://kept/{tmp_path.name}"
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture(params=LAYOUTS)
def chosen(request: pytest.FixtureRequest, destination: str, tmp_path: Path) -> Settings:
    return some(destination, tmp_path, capture_layout=request.param)


def some(destination: "str | Path", tmp_path: Path, **values: Any) -> Settings:
    return Settings(capture=str(destination), ledger=f"sqlite:///{tmp_path}/ledger.db", **values)


@pytest.fixture
def captures(chosen: Settings) -> Iterator[Captures]:
    captures = open_captures(chosen)
    yield captures
    captures.close()


def without_photo(capture: Capture) -> Capture:
    return replace(capture, photo=None)


def test_what_was_written_is_read_back_whole_and_in_order(captures: Captures, chosen: Settings) -> None:
    kept = [
        a_capture(0, PHOTOS[0], inference_id="order-7"),
        a_capture(1, PHOTOS[1], answer=an_answer(5, expected=4)),
        a_capture(59.5, PHOTOS[0]),
        a_capture(61, None),
    ]
    captures.write(kept[:2])
    captures.write(kept[2:])
    again = open_captures(chosen)
    assert [replace(one, answer="") for one in again.read(photos=True)] == [replace(one, answer="") for one in kept]
    assert [one.fields for one in again.read()] == [one.fields for one in kept]
    assert list(again.read()) == [without_photo(one) for one in kept]
    assert [one.expected for one in again.read()] == [None, 4, None, None]
    assert list(again.problems()) == []
    again.close()


def test_a_span_of_time_is_read_by_its_ends(captures: Captures) -> None:
    kept = [a_capture(minute, None) for minute in (0, 30, 90, 150)]
    captures.write(kept)
    bounds = {"since": NOON + timedelta(minutes=30), "until": NOON + timedelta(minutes=150)}
    assert list(captures.read(**bounds)) == kept[1:3]


def test_the_share_and_the_place_of_a_photo_are_read_back(captures: Captures, destination: str) -> None:
    kept = [a_capture(0, PHOTOS[0], share=0.1), a_capture(1, PHOTOS[1]), a_capture(2, None, share=1.0)]
    captures.write(kept)
    assert [one.share for one in captures.read()] == [0.1, None, 1.0]
    first, second, third = (one.photo_at for one in captures.read())
    assert first is not None and second is not None and third is None
    by_line, by_name = line_reader(), photo_reader()
    for where, photo in ((first, PHOTOS[0]), (second, PHOTOS[1])):
        assert where.startswith(f"{destination}/binsight/AllTraffic/2025/11/24/12/")
        found = by_line(where) if is_line(where) else by_name(where)
        assert (found() if callable(found) else found) == photo


def test_another_variant_keeps_its_own(captures: Captures, chosen: Settings) -> None:
    other = open_captures(chosen.model_copy(update={"capture_variant": "canary"}))
    captures.write([a_capture()])
    assert list(other.read()) == [] and other.bytes_by_hour() == {}
    other.close()


def test_an_empty_place_has_no_captures(captures: Captures, chosen: Settings) -> None:
    assert list(captures.read()) == list(captures.problems()) == []
    assert captures.bytes_by_hour() == {}
    assert open_truths(chosen).read() == {}


def test_counts_join_by_inference_id_else_by_event_id_and_the_last_is_in_force(
    captures: Captures, chosen: Settings
) -> None:
    kept = [a_capture(0, None, inference_id="order-7"), a_capture(1, None), a_capture(2, None)]
    kept += [a_capture(3 + place, None, inference_id="both") for place in range(2)]
    captures.write(kept)
    truths = open_truths(chosen)
    truths.add(captures.read(), {kept[0].event_id: 2, kept[1].event_id: 9, kept[3].event_id: 1}, now=NOON)
    truths.add(captures.read(), {"order-7": 3}, now=NOON + timedelta(hours=5))
    found = open_truths(chosen).read()
    assert set(found) == {"order-7", kept[1].event_id, kept[3].event_id}, (
        "by inference id where it is one capture's"
    )
    counts = [truth and truth.count for _, truth in joined(captures.read(), found)]
    assert counts == [3, 9, None, 1, None]


def test_a_count_by_inference_id_is_about_what_came_before_it(captures: Captures, chosen: Settings) -> None:
    captures.write([a_capture(0, None, inference_id="bin-A-1")])
    truths = open_truths(chosen)
    truths.add(captures.read(), {"bin-A-1": 2}, now=NOON + timedelta(minutes=5))
    captures.write([a_capture(10, None, inference_id="bin-A-1")])
    found = {
        capture.captured_at: truth and truth.count for capture, truth in joined(captures.read(), truths.read())
    }
    assert found == {NOON: 2, NOON + timedelta(minutes=10): None}
    assert truths.read()["bin-A-1"].counted_at - NOON == timedelta(minutes=5, milliseconds=1)


@pytest.mark.parametrize(
    ("counts", "error"), [({"nobody": 3}, MissingObject), ({"both": 3}, BadInput), ({"order-7": -1}, BadInput)]
)
def test_a_count_about_no_one_capture_adds_none(
    tmp_path: Path, counts: dict[str, int], error: type[Exception]
) -> None:
    truths = open_truths(some(tmp_path / "kept", tmp_path))
    kept = [a_capture(0, None, inference_id=name) for name in ("order-7", "both", "both")]
    with pytest.raises(error, match="; "):
        truths.add(kept, {"order-7": 1} | counts, now=NOON)
    assert truths.read() == {}


def test_retention_deletes_whole_hours_with_all_that_lies_in_them(captures: Captures, chosen: Settings) -> None:
    kept = [a_capture(60 * hour, PHOTOS[hour % 4], inference_id=f"id-{hour}") for hour in range(6)]
    captures.write(kept)
    truths = open_truths(chosen)
    truths.add(captures.read(), {"id-0": 1}, now=NOON)
    truths.add(captures.read(), {"id-5": 1}, now=NOON + timedelta(hours=5))
    sizes = captures.bytes_by_hour()
    assert len(sizes) == 6 and min(sizes.values()) > 1000
    now = NOON + timedelta(hours=30)
    pruned = prune(captures, truths, now=now, keep_days=27.9 / 24, max_bytes=10**12)
    assert list(captures.read(photos=True)) == kept[2:]
    assert pruned.kept_bytes == sum(captures.bytes_by_hour().values())
    assert pruned.kept_bytes + pruned.removed_bytes == sum(sizes.values())
    last_two = sum(sorted(captures.bytes_by_hour().items())[place][1] for place in (2, 3))
    prune(captures, truths, now=now, keep_days=100, max_bytes=last_two)
    assert list(captures.read(photos=True)) == kept[4:]
    assert set(truths.read()) == {"id-5"}
    assert list(captures.problems()) == []


def test_counts_about_another_variant_stay_as_long_as_its_captures_do(captures: Captures, chosen: Settings) -> None:
    other = open_captures(chosen.model_copy(update={"capture_variant": "canary"}))
    captures.write([a_capture(60 * hour, None, inference_id=f"id-{hour}") for hour in range(6)])
    other.write([a_capture(60 * hour, None, inference_id=f"canary-{hour}") for hour in range(1, 6)])
    truths = open_truths(chosen)
    for hour in range(4):
        made_at = NOON + timedelta(hours=hour)
        names = {f"id-{hour}": 1} | ({f"canary-{hour}": 2} if hour else {})
        truths.add([*captures.read(), *other.read()], names, now=made_at)
    now, most = NOON + timedelta(hours=30), 10**12
    prune(captures, truths, now=now, keep_days=25.9 / 24, max_bytes=most)
    assert set(truths.read()) == {"id-1", "id-2", "id-3", "canary-1", "canary-2", "canary-3"}
    prune(other, truths, now=now, keep_days=26.9 / 24, max_bytes=most)
    assert set(truths.read()) == {"id-3", "canary-3"}
    other.close()


# Of one layout each: how it lies on the disk.


def test_a_photo_sent_twice_in_an_hour_is_one_file_and_the_rows_are_two(tmp_path: Path) -> None:
    captures = open_captures(some(tmp_path / "kept", tmp_path))
    captures.write([a_capture(0), a_capture(1)])
    captures.write([a_capture(2)])
    files = [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]
    assert len(list(captures.read())) == 3
    (file,) = files
    assert file.relative_to(tmp_path / "kept").as_posix() == (
        f"binsight/AllTraffic/2025/11/24/12/{a_capture().photo_sha256}.jpg"
    )
    captures.close()


@pytest.mark.parametrize(("damage", "word"), [("remove", "missing"), ("flip", "corrupt"), ("cut", "corrupt")])
def test_a_photo_that_is_gone_or_changed_is_named(tmp_path: Path, damage: str, word: str) -> None:
    captures = open_captures(some(tmp_path / "kept", tmp_path))
    kept = [a_capture(0, PHOTOS[0]), a_capture(1, PHOTOS[1])]
    captures.write(kept)
    (file,) = (tmp_path / "kept").rglob(f"{kept[1].photo_sha256}.jpg")
    data = bytearray(file.read_bytes())
    data[50] ^= 1
    if damage == "remove":
        file.unlink()
    else:
        file.write_bytes(data if damage == "flip" else file.read_bytes()[:-1])
    (problem,) = captures.problems()
    assert (problem.word, problem.event_id) == (word, kept[1].event_id)
    captures.close()


def test_everything_is_on_the_disk_before_its_row_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order that a loss of power is survived by: file, its name, the folders' names, and then the row."""
    captures = open_captures(some(tmp_path / "kept", tmp_path))
    assert isinstance(captures, CompactCaptures)
    happened: list[str] = []
    fsync, rename, add = os.fsync, Path.rename, captures._rows.add
    paths = lambda descriptor: Path(f"/proc/self/fd/{descriptor}").readlink()  # noqa: E731
    monkeypatch.setattr(os, "fsync", lambda fd: (happened.append(f"sync {paths(fd).name[:7]}"), fsync(fd))[1])
    monkeypatch.setattr(
        Path, "rename", lambda path, to: (happened.append(f"rename {to.name[:6]}"), rename(path, to))[1]
    )
    monkeypatch.setattr(captures._rows, "add", lambda rows: (happened.append("row"), add(rows))[1])
    capture = a_capture()
    captures.write([capture])
    digest = str(capture.photo_sha256)
    folders = [tmp_path.name, "kept", "binsight", "AllTraffic", "2025", "11", "24"]
    assert happened == [
        *(f"sync {name[:7]}" for name in folders),
        *(f"sync .{digest[:6]}", f"rename {digest[:6]}", "sync 12", "row"),
    ]
    captures.close()


def test_an_added_count_is_as_sagemaker_reads_it(tmp_path: Path) -> None:
    truths = Truths(Place.of(str(tmp_path)))
    truths.add([a_capture(inference_id="order-7")], {"order-7": 3}, now=NOON)
    (file,) = (tmp_path / "2025" / "11" / "24" / "12").iterdir()
    assert json.loads(file.read_text()) == {
        "groundTruthData": {"data": "3", "encoding": "CSV"},
        "eventMetadata": {"eventId": "order-7"},
        "eventVersion": "0",
    }


def test_a_write_that_fails_leaves_nothing_half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", failing)
    (tmp_path / "day").mkdir()
    with pytest.raises(StorageFailure, match="Input/output error"):
        write_durably({tmp_path / "day" / "photo": b"data"})
    assert list((tmp_path / "day").iterdir()) == []


@pytest.mark.parametrize("url", ["ftp://host/x", "s3://"])
def test_a_place_that_is_none_is_refused_before_anything_is_opened(url: str) -> None:
    with pytest.raises(BadInput):
        Place.of(url)


def test_hours_are_told_in_utc(tmp_path: Path) -> None:
    captures = open_captures(some(tmp_path, tmp_path))
    captures.write([a_capture(captured_at=datetime.fromisoformat("2025-11-24T01:30:00+02:00"))])
    assert [path.parent.relative_to(tmp_path).as_posix()[-13:] for path in tmp_path.rglob("*.jpg")] == [
        "2025/11/23/23"
    ]
    captures.close()
