"""The events that reach the function, and the shapes that it answers in.

| event | from |
|---|---|
| `{"url": "s3://…"}`, or any body of `/invocations` in JSON | who invokes the function itself |
| version 2.0, `requestContext.http` | a function URL, an HTTP API |
| `httpMethod` | a REST API |

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from binsight.errors import BadInput, ServiceFailed, TooLarge

OURS, ORIGINAL = "binsight", "original"
MAX_BYTES = 6 * 1024 * 1024
"""What Lambda and SageMaker take at most in one request."""
ORIGINAL_COUNTS = range(1, 6)
"""The counts that the original system told apart."""
SMALLEST_P = 5e-7
"""Probabilities arrive rounded to six places; of one that arrives as 0 the logarithm is taken here."""

JSON_TYPE = "application/json"
_LINK_TYPES = frozenset({"string/url", "application/x-s3-uri", "text/uri-list"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._\-]{1,64}")
_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
_PASSED = ("content-type", "accept", _ATTRIBUTES)
"""The headers that reach the service."""
_OPTIONS = ("expected", "read_labels")

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an event asks the service. `is_direct`: it came without HTTP, and so goes its answer."""

    body: bytes
    content_type: str
    accept: str
    request_id: str
    attributes: str
    shape: str
    is_direct: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What the service answered, or what stands in its place."""

    status: int
    body: bytes
    content_type: str = JSON_TYPE


NOTHING: Event = {}
"""What is asked by what is no event at all."""
_OBJECTS = ("headers", "queryStringParameters", "requestContext")


def event_in(value: object) -> Event:
    """What reached the function, as an event. Raises `BadInput` where it has not an event's shape."""
    if not isinstance(value, Mapping):
        raise BadInput('an event must be a JSON object; send {"url": "s3://BUCKET/NAME"}')
    context = value.get("requestContext")
    parts = {name: value.get(name) for name in _OBJECTS}
    parts["requestContext.http"] = context.get("http") if isinstance(context, Mapping) else None
    if wrong := next((name for name, part in parts.items() if not isinstance(part, Mapping | None)), None):
        raise BadInput(f"{wrong} of the event must be an object; send the event as the gateway makes it")
    if not is_direct(value) and not isinstance(value.get("body"), str | None):
        raise BadInput("the event's body must be text; send the event as the gateway makes it")
    return value


def is_direct(event: Event) -> bool:
    """Whether the event came without HTTP."""
    return "requestContext" not in event and "httpMethod" not in event


def request_id_of(event: Event, otherwise: str) -> str:
    """The caller's `X-Request-Id`, else the gateway's own, else `otherwise`: the first that the service takes."""
    context = event.get("requestContext") or {}
    for text in (_headers(event).get("x-request-id"), context.get("requestId"), otherwise):
        if text and _REQUEST_ID.fullmatch(str(text)):
            return str(text)
    return "unnamed"


def method_of(event: Event) -> str:
    """The HTTP method; POST where there is none."""
    http = (event.get("requestContext") or {}).get("http") or {}
    return str(http.get("method") or event.get("httpMethod") or "POST")


def asked_in(event: Event, *, request_id: str, shape: str) -> Asked:
    """What the event asks; `shape` is the answer's where the event does not say.

    Raises `BadInput` where it asks nothing that the service knows, `TooLarge` beyond `MAX_BYTES`.
    """
    if is_direct(event):
        fields = dict(event)
        wanted = fields.pop("shape", shape)
        if not {"url", "uri", "photo", "photos"} & set(fields):
            raise BadInput('the event has neither url nor photo; send {"url": "s3://BUCKET/NAME"}')
        body, kind, headers = json.dumps(fields).encode(), JSON_TYPE, {}
    else:
        headers = _headers(event)
        query = {name: str(value) for name, value in (event.get("queryStringParameters") or {}).items()}
        wanted = query.pop("shape", shape)
        body, kind = _body(event), headers.get("content-type", "")
        if options := {name: query[name] for name in _OPTIONS if name in query}:
            body, kind = _in_json(body, kind, options), JSON_TYPE
    if wanted not in (OURS, ORIGINAL):
        raise BadInput(f"shape must be {OURS} or {ORIGINAL}, but is {str(wanted)[:40]!r}; leave it out for {OURS}")
    if len(body) > MAX_BYTES:
        raise TooLarge(
            f"a request must be at most {MAX_BYTES:,} bytes on its way, but this one has {len(body):,}; "
            "put the photo into the bucket with a presigned PUT, and send its s3:// link"
        )
    for name in _PASSED:
        if not (given := headers.get(name, "")).isascii() or not given.isprintable():
            raise BadInput(f"the header {name} must be printable ASCII; change what is sent")
    accept = JSON_TYPE if wanted == ORIGINAL else headers.get("accept", "*/*")
    return Asked(
        body=body,
        content_type=kind,
        accept=accept,
        request_id=request_id,
        attributes=headers.get(_ATTRIBUTES, ""),
        shape=wanted,
        is_direct=is_direct(event),
    )


def answer_to(answered: Answered, *, shape: str, direct: bool, request_id: str) -> dict[str, Any]:
    """The function's result: `statusCode` and `body`, the body as text where HTTP carries it on.

    Raises `ServiceFailed` where the original's shape is wanted of an answer that has no probabilities.
    """
    text = answered.body.decode("utf-8", "replace")
    if answered.status == 200 and shape == ORIGINAL:
        text = json.dumps(_log_probabilities(text))
    if direct:
        return {"statusCode": answered.status, "body": _value(text)}
    headers = {"Content-Type": answered.content_type, "X-Request-Id": request_id}
    if answered.status == 503:
        headers["Retry-After"] = "1"
    return {"statusCode": answered.status, "headers": headers, "body": text, "isBase64Encoded": False}


def _log_probabilities(text: str) -> list[list[float]]:
    """A row a photo, as the original's logits: log p(n) for n = 1 … 5. Their softmax is p(n | 1 ≤ n ≤ 5)."""
    fields = _value(text)
    answers = fields.get("results", [fields]) if isinstance(fields, dict) else []
    try:
        return [[round(math.log(max(one["probs"][n], SMALLEST_P)), 6) for n in ORIGINAL_COUNTS] for one in answers]
    except (KeyError, IndexError, TypeError):
        raise ServiceFailed(
            "not every photo has probabilities of 1 to 5 items; ask without shape to see what each was answered"
        ) from None


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:  # JSON lines, or what a proxy answers
        return text


def _headers(event: Event) -> dict[str, str]:
    """By lower-case name, as version 2 has them and REST APIs have not."""
    return {name.lower(): str(value) for name, value in (event.get("headers") or {}).items()}


def _body(event: Event) -> bytes:
    body: str = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return body.encode()
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise BadInput("the event's body is not base64; send it as it is, and let the gateway encode it") from None


def _in_json(body: bytes, kind: str, options: Mapping[str, str]) -> bytes:
    """A photo or a link with the options of its query. SageMaker carries no query to the service."""
    media = kind.partition(";")[0].strip().lower()
    fields: dict[str, Any] = {}
    if media in _LINK_TYPES:
        fields["uri"] = body.decode("utf-8", "replace").strip()
    elif media.startswith("image/") or media == "application/octet-stream":
        fields["photo"] = base64.b64encode(body).decode()
    else:
        raise BadInput(f"{' and '.join(options)} in the query goes with a photo or a link; put it into the JSON")
    if "expected" in options:
        if not options["expected"].isdecimal() or len(options["expected"]) > 9:
            raise BadInput("expected must be a whole number of 0 or more; send what the record says")
        fields["expected"] = int(options["expected"])
    if options.get("read_labels") in ("1", "true"):
        fields["read_labels"] = True
    return json.dumps(fields).encode()
