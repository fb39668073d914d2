"""The values: what was kept of one counted photo, and the count that a person added to it later."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from binsight.errors import BadInput
from binsight.records import MOST_UNITS

UNUSABLE = "unusable"
"""The word for what is as it was kept and is no count of a photo all the same: no disk is at fault."""
_HOUR_FOLDER = re.compile(r"\d{4}/\d{2}/\d{2}/\d{2}(?=/|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """One photo and its answer.

    `captured_at` has a time zone; `inference_id` is the caller's, if it gave one. `answer` is the answer's JSON as it was
    sent. `photo_sha256` and `photo_type` (a media type) are None where the answer alone was kept. `photo` is None there
    too, and where a capture is read without its photo. `share` of the requests were kept then, None where nobody knows;
    `photo_at` is where the photo of a capture that was read lies: a file, an object, or a line of one (FILE.jsonl:NUMBER).
    """

    event_id: str
    captured_at: datetime
    answer: str
    inference_id: str | None = None
    photo_sha256: str | None = None
    photo_type: str | None = None
    photo: bytes | None = None
    share: float | None = None
    photo_at: str | None = field(default=None, compare=False)

    @property
    def fields(self) -> Mapping[str, Any]:
        """The answer's fields: `count`, `probs`, `model`, …"""
        fields: Mapping[str, Any] = json.loads(self.answer)
        return fields

    @property
    def model(self) -> str:
        """The bundle that answered, NAME:VERSION."""
        return str(self.fields["model"])

    @property
    def expected(self) -> int | None:
        """What the record said, where the request came with one."""
        verdict = self.fields.get("verdict")
        return None if verdict is None else int(verdict["expected"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """A count that was made later. `about` is a capture's inference id, else its event id; `counted_at` is when, at the
    latest: files that others made tell the hour."""

    about: str
    count: int
    counted_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something kept that is not as it was when it was acknowledged: `missing` or `corrupt`, or `torn` by a crash; or that
    is `unusable` as it was kept, and `why`.

    What is torn was never acknowledged. `where` names the file, `event_id` the capture as far as that can be told.
    """

    word: str
    where: str
    event_id: str | None = None
    why: str = ""


class _Verdict(BaseModel):
    model_config = ConfigDict(strict=True)

    expected: int = Field(ge=0, le=MOST_UNITS)


class _Answer(BaseModel):
    """What of an answer is relied on."""

    model_config = ConfigDict(strict=True)

    count: int = Field(ge=0, le=MOST_UNITS)
    probs: list[float]
    flags: list[str]
    model: str
    verdict: _Verdict | None = None


def why_unusable(answer: str) -> str:
    """Why an answer is not that for one photo which was counted; empty where it is."""
    try:
        fields = json.loads(answer)
        if isinstance(fields, dict) and "error" in fields:
            return "the photo was not counted"
        _Answer.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the answer"
        return f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]}"
    except ValueError as error:
        return f"the answer is no JSON ({str(error)[:80]})"
    return ""


def hour_folder(moment: datetime) -> str:
    """`2026/11/24/18`, in UTC, as SageMaker names its folders."""
    return f"{moment.astimezone(UTC):%Y/%m/%d/%H}"


def hour_of(name: str) -> datetime | None:
    """The hour whose folder a name lies in; None where it lies in none."""
    found = _HOUR_FOLDER.search(name)
    try:
        return datetime.strptime(found[0], "%Y/%m/%d/%H").replace(tzinfo=UTC) if found else None
    except ValueError:
        return None


def moment_of(text: str) -> datetime:
    """A moment written in ISO 8601, UTC where it names no zone. Raises `BadInput` where it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"{text[:40]!r} is no moment; write it as 2026-11-24 or 2026-11-24T18:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
