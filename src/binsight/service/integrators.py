"""The endpoints for those who build on the service: `/v1/count`, `/v1/verify`, `/v1/models`."""

from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from binsight.decision.certificate import Certificate
from binsight.errors import BadInput
from binsight.records import CANARY, CHAMPION, SHADOW
from binsight.service.access import needs
from binsight.service.answering import Answering
from binsight.service.answers import Answer, Answers, ErrorAnswer
from binsight.service.photos import JSON_TYPE, Asked
from binsight.service.sagemaker import REQUEST_BODY, answering_of, order_of, respond
from binsight.service.served import Served
from binsight.storage.api_key import COUNT, READ

router = APIRouter(prefix="/v1", tags=["Binsight"])

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer} for status in (400, 401, 403, 404, 408, 413, 415, 424, 429, 502, 503, 504)
}


class ModelAnswer(BaseModel):
    """A bundle in service."""

    role: str = Field(
        description="champion; canary, which answers a share of the requests; or shadow, which is not heard."
    )
    name: str
    version: str = Field(description="By content: the same bundle has the same version anywhere.")
    num_counts: int = Field(description="K: probs[n] for n = 0 … K-1, the last K-1 or more.")
    certificate: Certificate | None = Field(description="Which records it may verify; null where none is in force.")
    figures: dict[str, Any] = Field(description="What was measured when the bundle was made, and on which photos.")


class Models(BaseModel):
    """The bundles in service."""

    models: list[ModelAnswer]


@router.post(
    "/count",
    response_model=Answer | Answers,
    responses=ERRORS,
    openapi_extra=REQUEST_BODY,
    dependencies=[needs(COUNT)],
)
async def count(request: Request) -> Response:
    """Count one photo or several, as bytes, JSON, files of a form, or links."""
    answering = answering_of(request)
    order = await order_of(request, answering)
    return await respond(request, answering, order, JSON_TYPE)


@router.post(
    "/verify",
    response_model=Answer | Answers,
    responses=ERRORS,
    openapi_extra=REQUEST_BODY,
    dependencies=[needs(COUNT)],
)
async def verify(request: Request) -> Response:
    """Count, and say of each photo's record (`expected`, in the JSON or as `?expected=3`) whether it is verified."""
    answering = answering_of(request)
    order = await order_of(request, answering)
    asked = tuple(map(_with_record, order.asked))
    if order.is_single and isinstance(asked[0], BadInput):
        raise asked[0]
    return await respond(request, answering, replace(order, asked=asked), JSON_TYPE)


@router.get("/models", responses=ERRORS, dependencies=[needs(READ)])
async def models(request: Request) -> Models:
    """The bundles in service, the champion first: certificates and figures."""
    answering = answering_of(request)
    in_service = {CHAMPION: answering.lanes.served, CANARY: answering.lanes.canary}
    if answering.shadow is not None:
        in_service[SHADOW] = answering.shadow.served
    return Models(
        models=[_model(role, served, answering) for role, served in in_service.items() if served is not None]
    )


def _model(role: str, served: Served, answering: Answering) -> ModelAnswer:
    spec = served.counter.bundle.spec
    return ModelAnswer(
        role=role,
        name=spec.name,
        version=served.version,
        num_counts=spec.num_counts,
        certificate=None if answering.withheld(served) else served.certificate,
        figures=spec.figures,
    )


def _with_record(asked: "Asked | BadInput") -> "Asked | BadInput":
    if isinstance(asked, Asked) and asked.expected is None:
        return BadInput("a record to verify needs expected, what it says; send it with the photo")
    return asked
