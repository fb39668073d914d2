"""What is sent for one photo: its bytes as they are, or the link to them."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from binsight.errors import BadInput, MissingObject

Photo = bytes | Path | str | Callable[[], bytes]
"""A photo's bytes, its file, a link (`s3://…`, `https://…`) that the service reads itself, or what returns the bytes."""

BYTES_TYPE, LINK_TYPE = "application/octet-stream", "text/uri-list"
"""The service finds out by the bytes whether they are JPEG, PNG or WebP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request, without the address of the service."""

    path: str
    method: str = "GET"
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)


def ask_about(photo: Photo, path: str, *, expected: int | None = None, read_labels: bool = False) -> Ask:
    """The request for one photo.

    Raises `MissingObject` for a file that cannot be read, `BadInput` for a link of another kind or a negative record.
    """
    if expected is not None and expected < 0:
        raise BadInput(f"expected must be 0 or more, but is {expected}; give what the record says")
    query = {} if expected is None else {"expected": str(expected)}
    if read_labels:
        query["read_labels"] = "1"
    if isinstance(photo, str) and "://" in photo:
        if not photo.startswith(("s3://", "https://")):
            raise BadInput(
                f"{photo[:200]} is no link that the service follows; give s3:// or https://, or the photo itself"
            )
        body, kind = photo.encode(), LINK_TYPE
    else:
        body, kind = _bytes(photo), BYTES_TYPE
    return Ask(path=path, method="POST", body=body, headers={"Content-Type": kind}, query=query)


def name_of(photo: Photo, place: int) -> str:
    """What to call a photo that was given no name: its path, its link, or its place among the others."""
    return os.fspath(photo) if isinstance(photo, Path | str) else f"photo {place}"


def _bytes(photo: Photo) -> bytes:
    if isinstance(photo, bytes):
        return photo
    if not isinstance(photo, Path | str):
        return photo()
    try:
        return Path(photo).read_bytes()
    except OSError as error:
        raise MissingObject(f"{photo} cannot be read ({error.strerror}); check the path and the rights") from None
