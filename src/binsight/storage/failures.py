"""What an object store's error means for a person: one of our errors, with the mend."""

import re
from dataclasses import dataclass, replace

from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

from binsight.errors import (
    AccessRefused,
    BadInput,
    BinsightError,
    MissingObject,
    MissingStore,
    StorageFailure,
)
from binsight.storage.refusals import Refusal

_CREDENTIAL_CODES = (
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
)
_ONE_OF_MANY = re.compile(
    r"DeleteObjects request failed for key (?P<key>.*?): (?P<message>.*) \(code: (?P<code>\w+)\)$", re.DOTALL
)
"""What the library says where S3 took a request for many objects, and not what it says of one of them."""
_UNLISTED = re.compile(r'^Encountered object with invalid path: .*?Path "(?P<key>.*?)"(?=:| contained)', re.DOTALL)
"""What the library says of an object in a bucket that it cannot list, nor any of the page that the object is on."""
_REGION_CODES = ("AuthorizationHeaderMalformed", "PermanentRedirect")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request: about the object or the objects `what` below the store's `url`, for which IAM wants the permission
    `needs`, signed unless `anonymous`."""

    what: str
    url: str
    endpoint: str
    needs: str
    anonymous: bool = False


def explained(error: Exception, asked: Asked) -> BinsightError:
    """The error of ours for one that `obstore` raised about a request.

    The library's classes do not tell enough (a refused listing is a GenericError), so S3's own error code and
    the HTTP status are read from its message.
    """
    if isinstance(error, BinsightError):
        return error
    text = str(error).split("\n\nDebug source", 1)[0]
    code, status = _first(r"<Code>(\w+)</Code>", text), _first(r"status code: (\d{3})", text)
    if one := _ONE_OF_MANY.search(text):
        asked, text = replace(asked, what=_whole(asked.url, one["key"])), one["message"]
        code, status = one["code"], "200"
    return (
        _absence(error, asked, code, status)
        or _refusal(error, asked, text, code, status)
        or _breakdown(asked, text, code, status)
    )


def broke_off(error: Exception) -> bool:
    """Whether the body of an answer broke off in a way that the library neither takes up nor tries again."""
    return "response body" in str(error).split("\n", 1)[0]


def _absence(error: Exception, asked: Asked, code: str | None, status: str | None) -> BinsightError | None:
    if code == "NoSuchBucket":
        return MissingStore(
            f"the bucket of {asked.url} is not at {asked.endpoint}; check its name and the endpoint"
        )
    if isinstance(error, FileNotFoundError) or status == "404":
        return MissingObject(f"{asked.what} is not there; check the name")
    if unlisted := _UNLISTED.search(str(error)):
        return BadInput(
            f"{_whole(asked.url, unlisted['key'])} cannot be listed: a part of its name is empty, . or .., which no folder "
            "can hold; rename that object, or name a prefix that it is not below"
        )
    if isinstance(error, ValueError):
        return BadInput(f"{asked.what} cannot be an object's name ({error}); rename it")
    return None


def _refusal(
    error: Exception, asked: Asked, text: str, code: str | None, status: str | None
) -> BinsightError | None:
    if (
        "//169.254." in text
    ):  # where machines and containers ask for a role's credentials: the library's last resort
        return StorageFailure(
            f"{asked.url} needs credentials and there are none; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "or read a public bucket unsigned (--anonymous)"
        )
    if code in _CREDENTIAL_CODES:
        return StorageFailure(
            f"{asked.url}: {asked.endpoint} refused the credentials ({code}); check AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or read a public bucket unsigned (--anonymous)"
        )
    if status in ("401", "403") or code == "AccessDenied":
        said = code or str(status)
        return Refusal(
            what=asked.what, needs=asked.needs, code=said, text=text, anonymous=asked.anonymous
        ).explained()
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):  # of a folder
        return AccessRefused(f"access to {asked.what} was refused ({text}); check that you may use it")
    if code in _REGION_CODES or "incorrectly configured region" in text:
        return StorageFailure(f"the bucket of {asked.url} is in another region; set BINSIGHT_REGION to its own")
    return None


def _breakdown(asked: Asked, text: str, code: str | None, status: str | None) -> BinsightError:
    what = asked.what
    if status:
        return StorageFailure(
            f"{what}: {asked.endpoint} answered {code or status}, also when asked again; try again later"
        )
    if asked.url.startswith("s3://"):
        cause = text.rsplit("HTTP error: ", 1)[-1]
        return StorageFailure(
            f"{what}: {asked.endpoint} cannot be reached or breaks off ({cause}), also when tried again; "
            "check the endpoint and the network"
        )
    return StorageFailure(f"{what} cannot be used ({text}); check the rights and the free space")


def _whole(url: str, key: str) -> str:
    """The object that S3 calls so, which counts from the bucket on and not from the store's prefix."""
    return f"s3://{url.removeprefix('s3://').partition('/')[0]}/{key}"


def _first(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return match.group(1) if match else None
