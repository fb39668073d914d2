"""What an object store's error means for a person: one of our errors, with the mend."""

import re

from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

from binsight.errors import (
    AccessRefused,
    BadInput,
    BinsightError,
    MissingObject,
    MissingStore,
    StorageFailure,
)

_CREDENTIAL_CODES = (
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
)
_REGION_CODES = ("AuthorizationHeaderMalformed", "PermanentRedirect")


def explained(error: Exception, *, what: str, url: str, endpoint: str) -> BinsightError:
    """The error of ours for one that `obstore` raised about the object `what` below the store's `url`.

    The library's classes do not tell enough (a refused listing is a GenericError), so S3's own error code and
    the HTTP status are read from its message.
    """
    if isinstance(error, BinsightError):
        return error
    text = str(error).split("\n\nDebug source", 1)[0]
    code = _first(r"<Code>(\w+)</Code>", text)
    status = _first(r"status code: (\d{3})", text)
    return (
        _absence(error, what, url, endpoint, code, status)
        or _refusal(error, what, url, endpoint, text, code, status)
        or _breakdown(what, url, endpoint, text, code, status)
    )


def broke_off(error: Exception) -> bool:
    """Whether the body of an answer broke off in a way that the library neither takes up nor tries again."""
    return "response body" in str(error).split("\n", 1)[0]


def _absence(
    error: Exception, what: str, url: str, endpoint: str, code: str | None, status: str | None
) -> BinsightError | None:
    if code == "NoSuchBucket":
        return MissingStore(f"the bucket of {url} is not at {endpoint}; check its name and the endpoint")
    if isinstance(error, FileNotFoundError) or status == "404":
        return MissingObject(f"{what} is not there; check the name")
    if isinstance(error, ValueError):
        return BadInput(f"{what} cannot be an object's name ({error}); rename it")
    return None


def _refusal(
    error: Exception, what: str, url: str, endpoint: str, text: str, code: str | None, status: str | None
) -> BinsightError | None:
    if (
        "//169.254." in text
    ):  # where machines and containers ask for a role's credentials: the library's last resort
        return StorageFailure(
            f"{url} needs credentials and there are none; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "or read a public bucket unsigned (--anonymous)"
        )
    if code in _CREDENTIAL_CODES:
        return StorageFailure(
            f"{url}: {endpoint} refused the credentials ({code}); check AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or read a public bucket unsigned (--anonymous)"
        )
    if status in ("401", "403") or isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return AccessRefused(
            f"access to {what} was refused ({code or status or text}); check that it exists and that you may use it"
        )
    if code in _REGION_CODES or "incorrectly configured region" in text:
        return StorageFailure(f"the bucket of {url} is in another region; set BINSIGHT_REGION to its own")
    return None


def _breakdown(
    what: str, url: str, endpoint: str, text: str, code: str | None, status: str | None
) -> BinsightError:
    if status:
        return StorageFailure(
            f"{what}: {endpoint} answered {code or status}, also when asked again; try again later"
        )
    if url.startswith("s3://"):
        cause = text.rsplit("HTTP error: ", 1)[-1]
        return StorageFailure(
            f"{what}: {endpoint} cannot be reached or breaks off ({cause}), also when tried again; "
            "check the endpoint and the network"
        )
    return StorageFailure(f"{what} cannot be used ({text}); check the rights and the free space")


def _first(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return match.group(1) if match else None
