"""The service's description of itself (OpenAPI), with the bodies that endpoints read themselves."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from binsight.service.inference_protocol import InferRequest
from binsight.service.photos import CountInput


def describe(app: FastAPI) -> dict[str, Any]:
    """The document at /openapi.json."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        _, bodies = models_json_schema(
            [(CountInput, "validation"), (InferRequest, "validation")], ref_template="#/components/schemas/{model}"
        )
        document.setdefault("components", {}).setdefault("schemas", {}).update(bodies["$defs"])
        app.openapi_schema = document
    return app.openapi_schema
