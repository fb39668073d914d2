"""The function itself."""

import json
import os
from collections.abc import Mapping
from typing import Any

from binsight.errors import BadInput, BinsightError, NotReady, TooLarge
from binsight.lambda_front.backends import ask
from binsight.lambda_front.events import (
    NOTHING,
    OURS,
    Answered,
    Event,
    answer_to,
    asked_in,
    event_in,
    is_direct,
    method_of,
    request_id_of,
)

SHAPE = "BINSIGHT_SHAPE"
STATUS: tuple[tuple[type[BinsightError], int, str], ...] = (
    (TooLarge, 413, "too_large"),
    (BadInput, 400, "bad_input"),
    (NotReady, 503, "not_ready"),
    (BinsightError, 502, "failed"),
)
"""Of each error that is the function's own; the service's come as they are."""


def handler(event: Any, context: Any = None) -> dict[str, Any]:
    """Answer one event, always: an error is an answer in the service's own error shape.

    `context` is Lambda's; of it only the request id is used, where the event has none.
    """
    own_id = getattr(context, "aws_request_id", "")
    try:
        return _answer(event_in(event), own_id)
    except BadInput as error:
        request_id = request_id_of(NOTHING, own_id)
        refused = _refusal(400, "bad_input", str(error), request_id)
        direct = not isinstance(event, Mapping) or is_direct(event)
        return answer_to(refused, shape=OURS, direct=direct, request_id=request_id)


def _answer(event: Event, own_id: str) -> dict[str, Any]:
    request_id = request_id_of(event, own_id)
    direct, shape = is_direct(event), OURS
    try:
        if method_of(event) != "POST":
            answered = _refusal(405, "bad_request", "a photo is sent with POST; change the method", request_id)
        else:
            asked = asked_in(event, request_id=request_id, shape=os.environ.get(SHAPE, OURS))
            answered, shape = ask(asked), asked.shape
        return answer_to(answered, shape=shape, direct=direct, request_id=request_id)
    except BinsightError as error:
        status, code = next((status, code) for kind, status, code in STATUS if isinstance(error, kind))
        refused = _refusal(status, code, str(error), request_id)
        return answer_to(refused, shape=OURS, direct=direct, request_id=request_id)


def _refusal(status: int, code: str, sentence: str, request_id: str) -> Answered:
    message, _, mend = sentence.rpartition("; ")
    detail = {"code": code, "message": message or mend, "mend": mend if message else "", "request_id": request_id}
    return Answered(status=status, body=json.dumps({"error": detail}).encode())
