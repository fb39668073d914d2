"""The Open Inference Protocol, version 2, for tools that speak it.

https://github.com/kserve/open-inference-protocol: one input `photo` of BYTES in base64, outputs `probs` and `count`.
"""

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from binsight import __version__
from binsight.errors import BadInput, MissingObject
from binsight.service.access import needs
from binsight.service.answers import Answer
from binsight.service.photos import Order as PhotoOrder
from binsight.service.photos import PhotoInput, asked_in_json, checked, most_photos
from binsight.service.sagemaker import answering_of, check_room
from binsight.service.served import Served
from binsight.storage.api_key import COUNT, READ

REQUEST_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/InferRequest"}}},
    }
}

MOST_AXES = 8
"""Of a shape; a photo of bytes needs one."""

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])


class InferInput(BaseModel):
    """The photos of a request."""

    name: Literal["photo"]
    shape: list[Annotated[int, Field(ge=1)]] = Field(
        min_length=1, max_length=MOST_AXES, description="[photos]; other axes may be there besides."
    )
    datatype: Literal["BYTES"]
    data: list[Any] = Field(
        description="Each photo's bytes in base64, in one list or in lists nested as shape has it."
    )


class InferOutput(BaseModel):
    """One output that is wanted."""

    name: Literal["probs", "count"]


class InferRequest(BaseModel):
    """A request for estimates."""

    id: str | None = Field(None, max_length=64)
    inputs: list[InferInput] = Field(min_length=1, max_length=1)
    outputs: list[InferOutput] = Field(
        default_factory=list, description="Those that are wanted; all of them by default."
    )


@router.get("", dependencies=[needs(READ)])
async def server() -> dict[str, Any]:
    """What this server is."""
    return {"name": "binsight", "version": __version__, "extensions": []}


@router.get("/health/live")
async def live() -> dict[str, bool]:
    """Whether the process runs."""
    return {"live": True}


@router.get("/health/ready")
async def ready(request: Request) -> JSONResponse:
    """Whether photos are taken."""
    lanes = request.app.state.lanes
    is_ready = lanes is not None and lanes.is_ready
    return JSONResponse({"ready": is_ready}, 200 if is_ready else 503)


@router.get("/models/{name}", dependencies=[needs(READ)])
@router.get("/models/{name}/versions/{version}", dependencies=[needs(READ)])
async def model(request: Request, name: str, version: str | None = None) -> dict[str, Any]:
    """The model's inputs and outputs."""
    served = _served(request, name, version)
    num_counts = served.counter.bundle.spec.num_counts
    return {
        "name": name,
        "versions": [served.counter.bundle.version],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "photo", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {"name": "probs", "datatype": "FP64", "shape": [-1, num_counts]},
            {"name": "count", "datatype": "INT64", "shape": [-1]},
        ],
    }


@router.get("/models/{name}/ready", dependencies=[needs(READ)])
@router.get("/models/{name}/versions/{version}/ready", dependencies=[needs(READ)])
async def model_ready(request: Request, name: str, version: str | None = None) -> Response:
    """Whether this model takes photos."""
    _served(request, name, version)
    return await ready(request)


@router.post("/models/{name}/infer", openapi_extra=REQUEST_BODY, dependencies=[needs(COUNT)])
@router.post("/models/{name}/versions/{version}/infer", openapi_extra=REQUEST_BODY, dependencies=[needs(COUNT)])
async def infer(request: Request, name: str, version: str | None = None) -> dict[str, Any]:
    """Estimates for the photos; the first that cannot be counted fails the request."""
    answering = answering_of(request)
    _served(request, name, version)
    await check_room(request, answering)
    body = checked(InferRequest, await request.body(), "the body")
    photos = _photos(body.inputs[0], most=most_photos(request.app.state.settings))
    asked = tuple(asked_in_json(PhotoInput(photo=data), f"data[{place}]") for place, data in enumerate(photos))
    order = PhotoOrder(asked=asked, is_single=False, is_pinned=version is not None)
    answers = await answering.counted(request, order, request.state.id)
    probs = [p for answer in answers for p in answer.probs]
    num_counts = len(answers[0].probs)
    outputs = [
        {"name": "probs", "datatype": "FP64", "shape": [len(answers), num_counts], "data": probs},
        {"name": "count", "datatype": "INT64", "shape": [len(answers)], "data": [one.count for one in answers]},
    ]
    wanted = {one.name for one in body.outputs}
    return {
        "model_name": name,
        "model_version": _version(answers),
        "id": body.id or request.state.id,
        "outputs": [one for one in outputs if not wanted or one["name"] in wanted],
    }


def _photos(given: InferInput, *, most: int) -> list[str]:
    """The photos of an input in their order, whether its data is flat or nested: the protocol has both."""
    is_flat = all(isinstance(one, str) for one in given.data)
    photos = list(_flattened(given.data, [len(given.data)] if is_flat else given.shape))
    if math.prod(given.shape) != len(photos) or len(photos) > most:
        raise BadInput(
            f"shape must say how many photos data holds, at most {most}, but is {given.shape} for "
            f"{len(photos)}; mend the request"
        )
    return photos


def _flattened(data: Any, shape: list[int]) -> Iterator[str]:
    """Row by row. Raises `BadInput` where the data is not of the shape."""
    if not shape and isinstance(data, str):
        yield data
    elif shape and isinstance(data, list) and len(data) == shape[0]:
        for one in data:
            yield from _flattened(one, shape[1:])
    else:
        raise BadInput("data must be base64 in one list, or in lists nested as shape has it; mend the request")


def _version(answers: list[Answer]) -> str:
    return answers[0].model.rpartition(":")[2]


def _served(request: Request, name: str, version: str | None) -> Served:
    """The model asked for. Raises `MissingObject` where it is not the one in service."""
    served = answering_of(request).lanes.served
    bundle = served.counter.bundle
    if name != bundle.spec.name or version not in (None, bundle.version):
        asked = name if version is None else f"{name} {version}"
        raise MissingObject(f"there is no model {asked[:80]!r}; the one in service is {bundle.spec.name}")
    return served
