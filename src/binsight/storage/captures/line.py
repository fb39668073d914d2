"""One line of SageMaker's layout: as written here, and as SageMaker's own data capture writes it.

| request | the captures of its line |
|---|---|
| a photo | one with its photo |
| JSON or JSON lines with photos | one for each photo that was counted, `EVENT#1`, `EVENT#2`, … where there are several |
| links, a form | as many, without photos |

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html
"""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

from binsight.storage.captures.capture import UNUSABLE, Capture, Problem, moment_of, why_unusable

SHARE = "binsight-share="
"""So begins the custom attribute that tells with which share of the requests a line was kept."""
BASE64 = "BASE64"
_JSON, _LINES, _BYTES = "application/json", "application/jsonlines", "application/octet-stream"


def line_of(capture: Capture) -> bytes:
    """The line of a capture, with its end."""
    data: dict[str, Any] = {}
    if capture.photo is not None:
        data["endpointInput"] = {
            "observedContentType": capture.photo_type,
            "mode": "INPUT",
            "data": base64.b64encode(capture.photo).decode(),
            "encoding": BASE64,
        }
    data["endpointOutput"] = {
        "observedContentType": _JSON,
        "mode": "OUTPUT",
        "data": capture.answer,
        "encoding": "JSON",
    }
    about: dict[str, Any] = {
        "eventId": capture.event_id,
        "inferenceTime": f"{capture.captured_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }
    if capture.inference_id is not None:
        about["inferenceId"] = capture.inference_id
    if capture.share is not None:
        about["customAttributes"] = [f"{SHARE}{capture.share!r}"]
    line = {"captureData": data, "eventMetadata": about, "eventVersion": "0"}
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def captures_in(line: bytes, where: str, *, photos: bool) -> Iterator[Capture | Problem]:
    """The captures of a line that lies at `where`, and what of it is none."""
    try:
        fields = json.loads(line)
        about, kept = fields["eventMetadata"], fields["captureData"]
        event_id, captured_at = str(about["eventId"]), moment_of(about["inferenceTime"])
        inference_id, share = about.get("inferenceId"), _share(about.get("customAttributes"))
        answers = _answers(kept["endpointOutput"])
        came = _came(kept.get("endpointInput"), len(answers))
    except (ValueError, KeyError, TypeError, AttributeError):
        yield Problem(word="corrupt", where=where)
        return
    for place, (answer, photo) in enumerate(zip(answers, came.photos, strict=True), 1):
        end = f"#{place}" if len(answers) > 1 else ""
        if why := why_unusable(answer):
            yield Problem(word=UNUSABLE, where=f"{where}{end}", event_id=f"{event_id}{end}", why=why)
            continue
        yield Capture(
            event_id=f"{event_id}{end}",
            captured_at=captured_at,
            answer=answer,
            inference_id=inference_id,
            photo_sha256=None if photo is None else hashlib.sha256(photo).hexdigest(),
            photo_type=None if photo is None else came.kind,
            photo=photo if photos else None,
            share=share,
            photo_at=None if photo is None else f"{where}{end}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Came:
    """What came in: the photo of each answer, None where none is kept, and the media type of all."""

    photos: Sequence[bytes | None] = field(default_factory=list)
    kind: str = _BYTES


def _came(part: Mapping[str, Any] | None, number: int) -> _Came:
    """The photos of so many answers. Raises as what is not written so does."""
    none = _Came(photos=[None] * number)
    if part is None:
        return none
    kind, data = _kind(part), _data(part)
    if kind.startswith("image/") or kind in (_BYTES, "application/x-image"):
        is_one = number == 1 and part["encoding"] == BASE64
        return _Came(photos=[data], kind=kind) if is_one else none
    if kind == _JSON:
        asked = _value(data)
        asked = asked.get("photos", [asked]) if isinstance(asked, dict) else []
    elif kind == _LINES:
        asked = [_value(line) for line in data.splitlines() if line.strip()]
    else:
        return none
    return _Came(photos=[_photo(one) for one in asked]) if len(asked) == number else none


def _photo(asked: Any) -> bytes | None:
    """The photo of a part of a request in JSON; None where it is a link, or no base64."""
    with suppress(ValueError, TypeError, KeyError):
        return base64.b64decode(asked["photo"], validate=True)
    return None


def _answers(part: Mapping[str, Any]) -> list[str]:
    """The answers for single photos, each as JSON, in an answer as it was sent."""
    data = _data(part)
    if _kind(part) == _LINES:
        return [line.decode() for line in data.splitlines() if line.strip()]
    fields = _value(data)
    if isinstance(fields, dict) and isinstance(results := fields.get("results"), list):
        return [json.dumps(one) for one in results]
    return [data.decode()]


def _data(part: Mapping[str, Any]) -> bytes:
    data = str(part["data"])
    return base64.b64decode(data, validate=True) if part["encoding"] == BASE64 else data.encode()


def _kind(part: Mapping[str, Any]) -> str:
    """The media type without its parameters."""
    return str(part.get("observedContentType")).partition(";")[0].strip().lower()


def _value(text: bytes) -> Any:
    """JSON; None where it is none."""
    with suppress(ValueError):
        return json.loads(text)
    return None


def _share(attributes: Any) -> float | None:
    """What one of them says, None where none does: a line that SageMaker wrote has what its callers sent along."""
    for one in attributes if isinstance(attributes, list) else ():
        if str(one).startswith(SHARE):
            with suppress(ValueError):
                return float(str(one).removeprefix(SHARE))
    return None
