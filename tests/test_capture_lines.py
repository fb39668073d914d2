"""Captures in SageMaker's layout: how they are written, and what is read that SageMaker's own data capture wrote."""

import base64
import json
import os
import shutil
import tracemalloc
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.captures_support import NOON, PHOTOS, a_capture, an_answer

from binsight.errors import MissingObject, StorageFailure
from binsight.settings import Settings
from binsight.storage.captures import (
    CompactCaptures,
    LineCaptures,
    Place,
    Problem,
    Truths,
    line_reader,
    open_captures,
)

Lines = CompactCaptures | LineCaptures


@pytest.fixture
def captures(tmp_path: Path) -> Iterator[Lines]:
    captures = open_captures(Settings(capture=str(tmp_path), capture_layout="sagemaker", capture_endpoint="bins"))
    yield captures
    captures.close()


def test_a_line_is_as_sagemaker_writes_it(captures: Lines, tmp_path: Path) -> None:
    capture = a_capture(inference_id="caller-id")
    captures.write([capture, a_capture(1, None)])
    (file,) = (tmp_path / "bins" / "AllTraffic" / "2025" / "11" / "24" / "12").iterdir()
    assert file.suffix == ".jsonl"
    first, second = map(json.loads, file.read_text().splitlines())
    assert first == {
        "captureData": {
            "endpointInput": {
                "observedContentType": "image/jpeg",
                "mode": "INPUT",
                "data": base64.b64encode(PHOTOS[0]).decode(),
                "encoding": "BASE64",
            },
            "endpointOutput": {
                "observedContentType": "application/json",
                "mode": "OUTPUT",
                "data": capture.answer,
                "encoding": "JSON",
            },
        },
        "eventMetadata": {
            "eventId": capture.event_id,
            "inferenceTime": "2025-11-24T12:00:30Z",
            "inferenceId": "caller-id",
        },
        "eventVersion": "0",
    }
    assert list(second["captureData"]) == ["endpointOutput"] and "inferenceId" not in second["eventMetadata"]


@pytest.mark.parametrize(
    ("attributes", "share"),
    [
        (["team=7", "binsight-share=0.25"], 0.25),
        (["binsight-share=much"], None),
        (["team=7"], None),
        ("binsight-share=0.5", None),
        (None, None),
    ],
)
def test_a_line_says_in_a_custom_attribute_with_which_share_it_was_kept(
    captures: Lines, tmp_path: Path, attributes: object, share: float | None
) -> None:
    captures.write([a_capture(share=0.1)])
    (file,) = tmp_path.rglob("*.jsonl")
    line = json.loads(file.read_text())
    assert line["eventMetadata"]["customAttributes"] == ["binsight-share=0.1"]
    line["eventMetadata"]["customAttributes"] = attributes
    file.write_text(json.dumps(line) + "\n")
    assert [one.share for one in captures.read()] == [share]


def test_a_torn_last_line_is_tolerated_and_a_damaged_one_is_named(captures: Lines, tmp_path: Path) -> None:
    kept = [a_capture(minute, PHOTOS[minute]) for minute in range(3)]
    captures.write(kept)
    (file,) = tmp_path.rglob("*.jsonl")
    whole = file.read_bytes()
    file.write_bytes(whole[:-5])
    assert list(captures.read(photos=True)) == kept[:2]
    assert [problem.word for problem in captures.problems()] == ["torn"]
    lines = whole.splitlines(keepends=True)
    file.write_bytes(lines[0] + lines[1].replace(b'"data":"', b'"data":"!', 1) + lines[2])
    assert list(captures.read(photos=True)) == [kept[0], kept[2]]
    assert [(problem.word, problem.where[-2:]) for problem in captures.problems()] == [("corrupt", ":2")]


def test_a_failed_write_leaves_no_torn_line_and_the_next_goes_to_a_new_file(
    captures: Lines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captures.write([a_capture(0)])
    write = os.write

    def half(descriptor: int, data: memoryview) -> int:
        monkeypatch.setattr(os, "write", full)
        return write(descriptor, data[: len(data) // 2])

    def full(descriptor: int, data: memoryview) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(StorageFailure, match="No space left"):
        captures.write([a_capture(1)])
    monkeypatch.setattr(os, "write", write)
    captures.write([a_capture(2)])
    assert list(captures.problems()) == []
    assert [one.captured_at.minute for one in captures.read()] == [0, 2]
    assert len(list(tmp_path.rglob("*.jsonl"))) == 2


def test_what_is_added_to_a_folder_that_was_removed_or_replaced_is_kept_in_the_new_one(
    captures: Lines, tmp_path: Path
) -> None:
    kept = [a_capture(minute) for minute in range(4)]
    captures.write(kept[:1])
    shutil.rmtree(tmp_path / "bins")
    captures.write(kept[1:2])
    (tmp_path / "bins").rename(tmp_path / "before")
    (tmp_path / "bins").mkdir()
    captures.write(kept[2:3])
    (file,) = (tmp_path / "bins").rglob("*.jsonl")
    copy = tmp_path / "copy"
    copy.write_bytes(file.read_bytes())
    copy.replace(file)  # as a restored backup does
    captures.write(kept[3:])
    assert [one.event_id for one in captures.read()] == [kept[2].event_id, kept[3].event_id]
    assert len(list((tmp_path / "before").rglob("*.jsonl"))) == 1


def test_a_file_of_an_hour_is_read_line_by_line(captures: Lines) -> None:
    big = bytes(2_000_000)
    captures.write([a_capture(minute, None) for minute in range(3)])
    for minute in range(10):
        captures.write([a_capture(minute, PHOTOS[0] + big)])
    tracemalloc.start()
    assert sum(1 for _ in captures.read()) == 13
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * len(big), "as much as a few photos, and not as the whole hour"


# Lines that SageMaker's own data capture wrote.


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


JSON, LINES = "application/json", "application/jsonlines"
ERROR = {"error": {"code": "bad_photo_format", "message": "", "mend": "", "request_id": ""}}
RESULTS = json.dumps({"results": [json.loads(an_answer(3)), ERROR, json.loads(an_answer(5))]})
PHOTO, OTHER = ({"photo": base64_of(photo)} for photo in PHOTOS[:2])
LINK = {"uri": "s3://bins/1.jpg"}


def sent(kind: str, data: str | bytes, encoding: str = "JSON") -> dict[str, str]:
    text = data if isinstance(data, str) else base64_of(data)
    return {"observedContentType": kind, "mode": "INPUT", "data": text, "encoding": encoding}


def write_line(folder: Path, came: dict[str, str], went: dict[str, str] | str) -> Path:
    if isinstance(went, str):
        went = sent(JSON, went)
    line = {
        "captureData": {"endpointInput": came, "endpointOutput": went | {"mode": "OUTPUT"}},
        "eventMetadata": {"eventId": "event", "inferenceTime": "2025-11-24T12:00:30Z"},
        "eventVersion": "0",
    }
    file = folder / "bins" / "AllTraffic" / "2025" / "11" / "24" / "12" / "00-30-000-sagemaker.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(line) + "\n")
    return file


@pytest.mark.parametrize(
    ("came", "photo", "kind"),
    [
        (sent("image/jpeg", PHOTOS[0], "BASE64"), PHOTOS[0], "image/jpeg"),
        (sent("application/octet-stream", PHOTOS[0], "BASE64"), PHOTOS[0], "application/octet-stream"),
        (sent(JSON, json.dumps(PHOTO)), PHOTOS[0], "application/octet-stream"),
        (
            sent(f"{JSON}; charset=utf-8", json.dumps(PHOTO).encode(), "BASE64"),
            PHOTOS[0],
            "application/octet-stream",
        ),
        (sent(JSON, json.dumps(LINK)), None, None),
        (sent(JSON, '{"photo": "no base64!"}'), None, None),
        (sent("text/uri-list", b"s3://bins/1.jpg", "BASE64"), None, None),
        (sent("multipart/form-data; boundary=x", b"--x", "BASE64"), None, None),
    ],
)
def test_the_photo_is_read_out_of_whatever_form_it_came_in(
    captures: Lines, tmp_path: Path, came: dict[str, str], photo: bytes | None, kind: str | None
) -> None:
    write_line(tmp_path, came, an_answer(4))
    (one,) = captures.read(photos=True)
    assert (one.event_id, one.photo, one.photo_type, one.fields["count"]) == ("event", photo, kind, 4)
    assert (one.photo_at is None) == (photo is None) and list(captures.problems()) == []
    if one.photo_at is not None:
        assert line_reader()(one.photo_at) == photo


@pytest.mark.parametrize(
    ("came", "went", "photos"),
    [
        (sent(JSON, json.dumps({"photos": [PHOTO, PHOTO, OTHER]})), sent(JSON, RESULTS), PHOTOS[:2]),
        (sent(JSON, json.dumps({"photos": [LINK, PHOTO, OTHER]})), sent(JSON, RESULTS), [None, PHOTOS[1]]),
        (
            sent(LINES, "\n".join(map(json.dumps, (PHOTO, LINK, OTHER))).encode(), "BASE64"),
            sent(LINES, "\n".join((an_answer(3), json.dumps(ERROR), an_answer(5))).encode(), "BASE64"),
            PHOTOS[:2],
        ),
        (sent("multipart/form-data; boundary=x", b"--x", "BASE64"), sent(JSON, RESULTS), [None, None]),
    ],
)
def test_a_request_with_several_photos_is_a_capture_for_each_that_was_counted(
    captures: Lines, tmp_path: Path, came: dict[str, str], went: dict[str, str], photos: list[bytes | None]
) -> None:
    file = write_line(tmp_path, came, went)
    found = list(captures.read(photos=True))
    assert [(one.event_id, one.fields["count"], one.photo) for one in found] == [
        ("event#1", 3, photos[0]),
        ("event#3", 5, photos[1]),
    ]
    assert list(captures.problems()) == [
        Problem(word="unusable", where=f"{file}:1#2", event_id="event#2", why="the photo was not counted")
    ]
    read = line_reader()
    assert [read(one.photo_at) for one in found if one.photo_at] == [photo for photo in photos if photo]
    with pytest.raises(MissingObject):
        read(f"{file}:1#2")
    truths = Truths(Place.of(str(tmp_path), "bins", "ground_truth"))
    truths.add(captures.read(), {"event#3": 6}, now=NOON + timedelta(hours=1))
    assert truths.read()["event#3"].count == 6


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (an_answer(3, expected=10**23), "verdict.expected: "),
        (
            an_answer(3).replace('"verdict": null', f'"verdict": {{"expected": {"9" * 4400}}}'),
            "the answer is no JSON",
        ),
        (an_answer(-1), "count: "),
        (json.dumps({"count": 3}), "probs: "),
        ("[1, 2]", "the answer: "),
        ("<html>", "the answer is no JSON"),
    ],
)
def test_an_answer_that_is_none_or_out_of_range_is_named_and_passed_over(
    captures: Lines, tmp_path: Path, answer: str, why: str
) -> None:
    write_line(tmp_path, sent("image/jpeg", PHOTOS[0], "BASE64"), answer)
    assert list(captures.read()) == []
    (problem,) = captures.problems()
    assert (problem.word, problem.event_id) == ("unusable", "event") and problem.why.startswith(why)
