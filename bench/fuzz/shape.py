"""Whether an answer is one that the service may give."""

import json

FIELDS = {"code", "message", "mend", "request_id"}


def wrong(status: int, body: bytes, *, is_v2: bool = False) -> str | None:
    """What is wrong with an answer: no answer, a 500, or an error in another shape than the one. None: nothing is."""
    if status == 0:
        return "no answer"
    if status == 500:
        return f"500: {body[:400]!r}"
    if status < 400 or not body:  # /ping and HEAD have no body
        return None
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        error = None
    if (isinstance(error, dict) and set(error) == FIELDS) or (is_v2 and isinstance(error, str)):
        return None
    return f"{status} in another shape: {body[:400]!r}"
