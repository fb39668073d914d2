"""The endpoints that SageMaker calls: `/ping`, `/invocations`, `/execution-parameters`, and Prometheus' `/metrics`.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

from typing import Any

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from binsight.errors import NotOffered, NotReady, ServiceBusy
from binsight.records import MOST_UNITS
from binsight.service.access import needs
from binsight.service.answering import Answering
from binsight.service.answers import Answer, Answers, ErrorAnswer
from binsight.service.middleware import INFERENCE_ID
from binsight.service.photos import (
    IMAGE_TYPES,
    JSON_TYPE,
    LINES_TYPE,
    Order,
    as_lines,
    content_type,
    most_photos,
    read_order,
)
from binsight.storage.api_key import COUNT, READ

CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
MAX_PAYLOAD_MB = 6
"""SageMaker's own limit of a request in real time, and what it cuts the parts of a batch transform to."""

router = APIRouter(tags=["SageMaker"])

REQUEST_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            **{kind: {"schema": {"type": "string", "format": "binary"}} for kind in sorted(IMAGE_TYPES)},
            "application/x-s3-uri": {
                "schema": {"type": "string", "examples": ["s3://bucket/bin-images/00001.jpg"]}
            },
            JSON_TYPE: {"schema": {"$ref": "#/components/schemas/CountInput"}},
            LINES_TYPE: {"schema": {"type": "string"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "photo": {"type": "string", "format": "binary"},
                        "expected": {"type": "integer", "minimum": 0, "maximum": MOST_UNITS},
                        "read_labels": {"type": "boolean"},
                    },
                }
            },
        },
    }
}
"""What `read_order` takes, for the API's description."""


def answering_of(request: Request) -> Answering:
    """What counts. Raises `NotReady` until the bundle is warm, and where it could not be taken into service."""
    state = request.app.state
    if state.answering is None:
        why = f"the model cannot be used ({state.failure})" if state.failure else "the model is being loaded"
        raise NotReady(f"{why}; ask again when /ping answers 200")
    answering: Answering = state.answering
    return answering


async def order_of(request: Request, answering: Answering) -> Order:
    """What the request asks for, as `read_order`, where there is room for it."""
    await check_room(request, answering)
    return await read_order(request, most=most_photos(request.app.state.settings))


async def check_room(request: Request, answering: Answering) -> None:
    """Raises as `Lanes.check_room` before the body is made sense of: a refusal must cost little."""
    try:
        answering.lanes.check_room()
    except ServiceBusy:
        async for _ in request.stream():  # left unread, it resets the connection before the client has its answer
            pass
        raise


@router.get("/ping", response_class=Response)
async def ping(request: Request) -> Response:
    """200 once the model is loaded and warm, until the service is asked to end."""
    lanes = request.app.state.lanes
    return Response(status_code=200 if lanes is not None and lanes.is_ready else 503)


@router.post(
    "/invocations", response_model=Answer | Answers, openapi_extra=REQUEST_BODY, dependencies=[needs(COUNT)]
)
async def invocations(request: Request) -> Response:
    """Count the photos of a request; with several, `results` holds an answer or an error for each."""
    answering = answering_of(request)
    wanted = _wanted_type(request)
    order = await order_of(request, answering)
    response = await respond(request, answering, order, wanted)
    for name in (INFERENCE_ID, CUSTOM_ATTRIBUTES):
        if value := request.headers.get(name):
            response.headers[name] = value
    return response


@router.get("/execution-parameters", dependencies=[needs(READ)])
async def execution_parameters(request: Request) -> dict[str, int | str]:
    """What a batch transform may send."""
    return {
        "MaxConcurrentTransforms": 2 * request.app.state.num_lanes,  # one in work and one on its way for each lane
        "BatchStrategy": "SINGLE_RECORD",
        "MaxPayloadInMB": MAX_PAYLOAD_MB,
    }


@router.get("/metrics", response_class=Response, dependencies=[needs(READ)])
async def metrics(request: Request) -> Response:
    """For Prometheus."""
    return Response(request.app.state.metrics.text(), media_type=CONTENT_TYPE_LATEST)


async def respond(request: Request, answering: Answering, order: Order, wanted: str) -> Response:
    """Count and answer in the wanted type. One photo that cannot be counted is the whole request's error."""
    if order.is_single and wanted == JSON_TYPE:
        (answer,) = await answering.counted(request, order, request.state.id)
        return JSONResponse(answer.model_dump())
    answers: list[Answer | ErrorAnswer] = await answering.many(request, order, request.state.id)
    values = [answer.model_dump() for answer in answers]
    if wanted == LINES_TYPE:
        return Response(as_lines(values), media_type=LINES_TYPE)
    return JSONResponse({"results": values})


def _wanted_type(request: Request) -> str:
    """JSON lines or JSON, by the Accept header; where it leaves the choice, lines for lines and JSON for the rest."""
    given = request.headers.get("accept", "*/*").lower()
    accepted = {part.partition(";")[0].strip() for part in given.split(",")}
    usual = LINES_TYPE if content_type(request) == LINES_TYPE else JSON_TYPE
    if usual in accepted or accepted & {"*/*", "application/*", ""}:
        return usual
    for kind in (JSON_TYPE, LINES_TYPE):
        if kind in accepted:
            return kind
    raise NotOffered(
        f"the answer can be {JSON_TYPE} or {LINES_TYPE}, but not {given[:80]}; change the Accept header"
    )
