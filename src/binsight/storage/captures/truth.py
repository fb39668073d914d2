"""Counts added to captures later, in SageMaker's ground-truth layout, and the two joined."""

import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from binsight.errors import BadInput, MissingObject
from binsight.records import MOST_UNITS
from binsight.storage.captures.capture import UNUSABLE, Capture, Problem, Truth, hour_folder, hour_of
from binsight.storage.captures.place import Place

SUFFIX = ".jsonl"
_MINUTE = re.compile(r"/([0-5]\d)-([0-5]\d)-(\d{3})-[^/]*$")
"""So a file of ours says when within its hour it was made."""


class Truths:
    """The counts added to the captures of one endpoint. The one made last about a capture is in force."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def add(self, captures: Iterable[Capture], counts: Mapping[str, int], *, now: datetime) -> Sequence[Truth]:
        """Add counts, by event id or inference id; they are on the disk when this returns.

        Each is kept under the capture's inference id, as SageMaker joins them, or under its event id where it has none or
        shares it with another capture. Raises `MissingObject`, adding none, where an id is no capture's, and `BadInput`
        where it is several captures' or a count is not in 0 … `MOST_UNITS`.
        """
        if wrong := next((name for name, count in counts.items() if not 0 <= count <= MOST_UNITS), None):
            raise BadInput(f"the count of {wrong} must be 0 to {MOST_UNITS:,}, but is {counts[wrong]:,}; mend it")
        by_event: dict[str, str | None] = {}
        by_inference: dict[str, list[str]] = {}
        for capture in captures:
            by_event[capture.event_id] = capture.inference_id
            if capture.inference_id is not None:
                by_inference.setdefault(capture.inference_id, []).append(capture.event_id)
        truths = []
        for name, count in counts.items():
            about = _about(name, by_event, by_inference)
            truths.append(Truth(about=about, count=count, counted_at=now))
        if truths:
            data = "".join(json.dumps(_line(truth), separators=(",", ":")) + "\n" for truth in truths)
            name = f"{hour_folder(now)}/{now:%M-%S}-{now.microsecond // 1000:03}-{uuid.uuid4()}{SUFFIX}"
            self._place.put({name: data.encode()})
        return truths

    def read(self) -> dict[str, Truth]:
        """The count in force about each id. Lines that cannot be read, and counts that are none, are passed over:
        `problems` names them."""
        return {one.about: one for one in self._found() if isinstance(one, Truth)}

    def problems(self) -> Iterator[Problem]:
        """Lines that hold no count that can be used."""
        yield from (one for one in self._found() if isinstance(one, Problem))

    def _found(self) -> Iterator[Truth | Problem]:
        """What the lines hold, in the order of time, as the names of the files have it."""
        for info in self._place.names(SUFFIX):
            counted_at, where = _made_at(info.name), self._place.address(info.name)
            for number, line in enumerate(self._place.objects().read(info.name).splitlines(), 1):
                yield _truth(line, counted_at, f"{where}:{number}")

    def remove_before(self, moment: datetime) -> None:
        """Delete the hours that were over then. A count is about a capture of its own hour or an earlier one."""
        self._place.remove_before(moment)


def joined(captures: Iterable[Capture], truths: Mapping[str, Truth]) -> Iterator[tuple[Capture, Truth | None]]:
    """Each capture with the count about it: by its event id, else by its inference id; None where nobody counted.

    An inference id that names a bin comes again with each photo of it. A count is about what was there when it was made.
    """
    for capture in captures:
        yield capture, truths.get(capture.event_id) or _earlier(capture, truths.get(capture.inference_id or ""))


def _earlier(capture: Capture, truth: Truth | None) -> Truth | None:
    return truth if truth is not None and capture.captured_at <= truth.counted_at else None


def _about(name: str, by_event: Mapping[str, str | None], by_inference: Mapping[str, list[str]]) -> str:
    if name in by_event:
        inference_id = by_event[name]
        return name if inference_id is None or len(by_inference[inference_id]) > 1 else inference_id
    events = by_inference.get(name, [])
    if not events:
        raise MissingObject(f"there is no capture {name}; see binsight captures list")
    if len(events) > 1:
        raise BadInput(f"{len(events)} captures have the inference id {name}; give an event id")
    return name


def _line(truth: Truth) -> dict[str, object]:
    return {
        "groundTruthData": {"data": str(truth.count), "encoding": "CSV"},
        "eventMetadata": {"eventId": truth.about},
        "eventVersion": "0",
    }


def _made_at(name: str) -> datetime:
    """When a file of counts was made, to the millisecond of its name; at the end of its hour where it does not say."""
    hour = hour_of(name)
    assert hour is not None
    if (found := _MINUTE.search(name)) is None:
        return hour + timedelta(hours=1)
    minutes, seconds, milliseconds = map(int, found.groups())
    # The name is cut to the millisecond, and a capture that the count is about may be of the same one.
    return hour + timedelta(minutes=minutes, seconds=seconds, milliseconds=milliseconds + 1)


def _truth(line: bytes, counted_at: datetime, where: str) -> Truth | Problem:
    try:
        fields = json.loads(line)
        about, said = str(fields["eventMetadata"]["eventId"]), str(fields["groundTruthData"]["data"])
    except (ValueError, KeyError, TypeError):
        return Problem(word=UNUSABLE, where=where, why="the line is no added count")
    text = said.strip()
    if not text.isascii() or not text.isdecimal() or len(text) > len(str(MOST_UNITS)):
        why = f"the added count must be a whole number of 0 to {MOST_UNITS:,}, but is {said[:40]!r}"
        return Problem(word=UNUSABLE, where=where, event_id=about, why=why)
    return Truth(about=about, count=int(text), counted_at=counted_at)
