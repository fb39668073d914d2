"""What a request asks for: photos as bytes, in JSON, as files of a form, or as links, with a record where given.

Nothing is decoded as an image here, and no more is read than the limits allow.
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.datastructures import UploadFile
from starlette.requests import Request

from binsight.errors import BadInput, UnknownType
from binsight.records import MOST_UNITS
from binsight.settings import Settings

IMAGE_TYPES = frozenset(
    {"image/jpeg", "image/png", "image/webp", "application/octet-stream", "application/x-image"}
)
LINK_TYPES = frozenset({"string/url", "application/x-s3-uri", "text/uri-list"})
JSON_TYPE, LINES_TYPE, FORM_TYPE = "application/json", "application/jsonlines", "multipart/form-data"
YES = ("1", "true")
KNOWN_TYPES = (*sorted(IMAGE_TYPES), *sorted(LINK_TYPES), JSON_TYPE, LINES_TYPE, FORM_TYPE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One photo of a request: its bytes or a link to them, and what its record says, where that is given."""

    photo: bytes | None = None
    link: str | None = None
    expected: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A whole request. `is_single`: it asked for one photo as such, and gets one answer instead of a list.

    `is_pinned`: it asked for the champion by its version, and no canary may answer.
    """

    asked: tuple["Asked | BadInput", ...]
    is_single: bool
    read_labels: bool = False
    is_pinned: bool = False


class PhotoInput(BaseModel):
    """One photo in JSON: `photo` (base64) or `uri`, and what the record says."""

    model_config = ConfigDict(extra="forbid")

    photo: str | None = Field(None, description="The photo's bytes in base64.")
    uri: str | None = Field(None, description="s3://BUCKET/NAME, where the service may read it.")
    url: str | None = Field(None, description="The same as uri.")
    expected: int | None = Field(
        None, ge=0, le=MOST_UNITS, description="What the record says; the answer then has a verdict."
    )

    @model_validator(mode="after")
    def _one_source(self) -> "PhotoInput":
        self._check_source()
        return self

    def _check_source(self) -> None:
        if sum(value is not None for value in (self.photo, self.uri, self.url)) != 1:
            raise ValueError("exactly one of photo, uri and url must be given")


class CountInput(PhotoInput):
    """A request in JSON: one photo, as in each of `photos`, or `photos`."""

    photos: list[PhotoInput] | None = Field(None, min_length=1)
    read_labels: bool = Field(False, description="Read the bins' labels too; about twice the work.")

    def _check_source(self) -> None:
        if self.photos is None:
            super()._check_source()
        elif any(value is not None for value in (self.photo, self.uri, self.url, self.expected)):
            raise ValueError("either photos or one photo must be given, not both")


ShapeT = TypeVar("ShapeT", bound=BaseModel)


def most_photos(chosen: Settings) -> int:
    """In one request. All of them wait at once: more than may wait would never be let in."""
    return min(chosen.max_request_photos, chosen.queue_photos)


async def read_order(request: Request, *, most: int) -> Order:
    """What the request asks for, at most `most` photos.

    Raises `UnknownType` for another content type, `BadInput` for a body that is not what its type says.
    """
    kind = content_type(request)
    query = request.query_params
    labels = query.get("read_labels", "") in YES
    if kind in IMAGE_TYPES:
        order = Order(
            asked=(Asked(photo=await request.body(), expected=_expected(query.get("expected"))),), is_single=True
        )
    elif kind in LINK_TYPES:
        link = (await request.body()).decode("utf-8", "replace").strip()
        order = Order(asked=(Asked(link=link, expected=_expected(query.get("expected"))),), is_single=True)
    elif kind == JSON_TYPE:
        order = _from_json(await request.body())
    elif kind == LINES_TYPE:
        order = _from_lines(await request.body())
    elif kind == FORM_TYPE:
        order = await _from_form(request, most, query.getlist("expected"))
    else:
        raise UnknownType(f"the content type {kind or '(none)'} is not known; send one of {', '.join(KNOWN_TYPES)}")
    if not 1 <= len(order.asked) <= most:
        raise BadInput(
            f"a request must hold 1 to {most} photos, but holds {len(order.asked)}; send several requests"
        )
    return Order(asked=order.asked, is_single=order.is_single, read_labels=order.read_labels or labels)


def content_type(request: Request) -> str:
    """The media type of the body, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _from_json(body: bytes) -> Order:
    fields = checked(CountInput, body, "the body")
    if fields.photos is None:
        return Order(asked=(asked_in_json(fields, "photo"),), is_single=True, read_labels=fields.read_labels)
    asked = tuple(asked_in_json(photo, f"photos[{place}]") for place, photo in enumerate(fields.photos))
    return Order(asked=asked, is_single=False, read_labels=fields.read_labels)


def _from_lines(body: bytes) -> Order:
    asked: list[Asked | BadInput] = []
    for number, line in enumerate(body.splitlines(), 1):
        if not line.strip():
            continue
        try:
            asked.append(asked_in_json(checked(PhotoInput, line, f"line {number}"), f"line {number}"))
        except BadInput as error:  # the other lines are in order, and their answers keep their places
            asked.append(error)
    return Order(asked=tuple(asked), is_single=False)


async def _from_form(request: Request, most: int, in_query: Sequence[str]) -> Order:
    """The files of a form, and its fields `expected`, for all of them or for each, and `read_labels`."""
    async with request.form(max_files=most + 1, max_fields=most + 1) as form:
        photos = [await value.read() for _, value in form.multi_items() if isinstance(value, UploadFile)]
        fields = [value for value in form.getlist("expected") if isinstance(value, str)]
        labels = form.get("read_labels", "") in YES
    if not photos:
        raise BadInput("the form holds no file; send each photo as a file, as curl -F photo=@bin.jpg does")
    if fields and in_query:
        raise BadInput("expected is in the form and in the address; send it once")
    records = [_expected(text) for text in fields or in_query[:1]] or [None]
    if len(records) not in (1, len(photos)):
        raise BadInput(
            f"the form has {len(records)} fields expected for {len(photos)} photos; send one for all, or one for each in "
            "their order"
        )
    records *= len(photos) // len(records)
    asked = tuple(Asked(photo=photo, expected=record) for photo, record in zip(photos, records, strict=True))
    return Order(asked=asked, is_single=len(asked) == 1, read_labels=labels)


def checked(shape: type[ShapeT], data: bytes, what: str) -> ShapeT:
    """A body, or a part of one, in its shape. Raises `BadInput` naming `what` and the first field at fault."""
    try:
        return shape.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        said = first["msg"].removeprefix("Value error, ")
        raise BadInput(
            f"{what}{f': {field}' if field else ''}: {said[:1].lower()}{said[1:]}; mend the JSON"
        ) from None


def asked_in_json(fields: PhotoInput, where: str) -> Asked:
    """One photo of a request in JSON. Raises `BadInput` where it is not base64."""
    if fields.photo is None:
        return Asked(link=fields.uri or fields.url, expected=fields.expected)
    try:
        photo = base64.b64decode(fields.photo, validate=True)
    except (binascii.Error, ValueError):
        raise BadInput(f"{where} is not base64; encode the photo's bytes without line breaks") from None
    return Asked(photo=photo, expected=fields.expected)


def _expected(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > len(str(MOST_UNITS)):
        raise BadInput(
            f"expected must be a whole number from 0 to {MOST_UNITS:,}, but is {text[:40]!r}; send what the record says"
        )
    return int(text)


def as_lines(values: Sequence[Mapping[str, Any]]) -> str:
    """JSON lines."""
    return "".join(json.dumps(value, separators=(",", ":")) + "\n" for value in values)
