"""Captures for tests: small true ones, and places to keep them in."""

import hashlib
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from binsight.imaging.drawn import drawn_photo
from binsight.imaging.strip import photo_type, stripped
from binsight.storage.captures import Capture

NOON = datetime(2025, 11, 24, 12, 0, 30, tzinfo=UTC)
PHOTOS = [stripped(drawn_photo(number, seed=number)) for number in range(4)]


def an_answer(count: int = 3, expected: int | None = None) -> str:
    verdict = (
        None if expected is None else {"expected": expected, "verdict": "suspect", "p_record": 0.1, "reason": ""}
    )
    answer = {"count": count, "probs": [0.5, 0.5], "flags": [], "model": "default:0123456789ab", "verdict": verdict}
    return json.dumps(answer)


def a_capture(minute: float = 0, photo: bytes | None = PHOTOS[0], **values: Any) -> Capture:
    """A capture so many minutes after noon."""
    chosen: dict[str, Any] = {
        "event_id": str(uuid.uuid4()),
        "captured_at": NOON + timedelta(minutes=minute),
        "answer": an_answer(),
    }
    if photo is not None:
        kind, digest = photo_type(photo), hashlib.sha256(photo).hexdigest()
        chosen |= {"photo": photo, "photo_type": kind, "photo_sha256": digest}
    return Capture(**chosen | values)
