"""What the service answers, as frozen values, and its errors as those of Binsight's own tree."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from binsight.errors import (
    AccessRefused,
    BadInput,
    BadPhoto,
    BinsightError,
    ChangedMeanwhile,
    MissingObject,
    NotAllowed,
    NotOffered,
    NotReady,
    Overloaded,
    ServiceFailed,
    StorageFailure,
    TooLarge,
    TooLate,
    TooMany,
    TooSlow,
    UnknownCaller,
    UnknownType,
    UnreadLink,
)
from binsight.records import CountEstimate, Verdict

BAD_PHOTO = "bad_photo_"
"""What the code of a photo at fault begins with; its reason follows."""

BY_CODE: Mapping[str, type[BinsightError]] = {
    "unknown_caller": UnknownCaller,
    "not_allowed": NotAllowed,
    "access_refused": AccessRefused,
    "changed_meanwhile": ChangedMeanwhile,
    "not_found": MissingObject,
    "too_late": TooLate,
    "not_ready": NotReady,
    "link_unread": UnreadLink,
    "storage_failed": StorageFailure,
    "unknown_type": UnknownType,
    "not_offered": NotOffered,
    "too_large": TooLarge,
    "too_slow": TooSlow,
    "bad_input": BadInput,
}
BY_STATUS: Mapping[int, type[BinsightError]] = {
    401: UnknownCaller,
    403: NotAllowed,
    404: MissingObject,
    406: NotOffered,
    408: TooSlow,
    413: TooLarge,
    415: UnknownType,
    502: StorageFailure,
    504: TooLate,
}
"""For a code that this version does not know, and for what a proxy in front of the service answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds that a photo spent in the service's queue, being decoded, and in the network with its whole batch."""

    queue: float
    decode: float
    inference: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The service's answer for one photo.

    `count` and `interval` are as the service worked them out; `estimate` has the whole distribution, rounded to six
    places on its way. `model` is NAME:VERSION, `verdict` is there where a record was given.
    """

    count: int
    interval: tuple[int, int]
    estimate: CountEstimate
    model: str
    request_id: str
    timing: Timing
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A bundle in service, as `role`: champion, canary or shadow.

    `certificate` says which records it may verify: None where none is in force.
    """

    role: str
    name: str
    version: str
    num_counts: int
    certificate: Mapping[str, Any] | None
    figures: Mapping[str, Any]


def answer_of(fields: Mapping[str, Any], photo: str) -> Answer:
    """The answer for the photo of that name. Raises `ServiceFailed` where the fields are not such an answer."""
    try:
        verdict = fields.get("verdict")
        low, high = fields["interval"]
        return Answer(
            count=int(fields["count"]),
            interval=(int(low), int(high)),
            estimate=CountEstimate(
                photo=photo,
                probs=tuple(map(float, fields["probs"])),
                bin_label=fields["bin_label"],
                flags=tuple(fields["flags"]),
            ),
            model=str(fields["model"]),
            request_id=str(fields["request_id"]),
            timing=Timing(**{name: float(fields["timing"][name]) for name in ("queue", "decode", "inference")}),
            verdict=verdict and _verdict(verdict),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _not_ours(error) from None


def models_of(fields: Mapping[str, Any]) -> list[Model]:
    """The models in service. Raises as `answer_of`."""
    try:
        names = ("role", "name", "version", "num_counts", "certificate", "figures")
        return [Model(**{name: one[name] for name in names}) for one in fields["models"]]
    except (KeyError, TypeError) as error:
        raise _not_ours(error) from None


def error_of(status: int, fields: object, *, request_id: str, retry_after: float | None) -> BinsightError:
    """The error that an answer stands for, its sentence ending with the mend, with its code and request id.

    `fields` is the answer's JSON, or None where it is not JSON: a proxy's, of which only the status is known.
    """
    detail = fields.get("error") if isinstance(fields, Mapping) else None
    if not isinstance(detail, Mapping):
        message = f"what answers with status {status} is not Binsight's service"
        detail = {"message": message, "mend": "check the address, or ask who runs it"}
    code = str(detail.get("code", ""))
    sentence = "; ".join(filter(None, (str(detail.get("message", "")), str(detail.get("mend", "")))))
    error = _error(status, code, sentence, retry_after)
    error.code, error.request_id = code, str(detail.get("request_id") or request_id)
    return error


def _error(status: int, code: str, sentence: str, retry_after: float | None) -> BinsightError:
    if code.startswith(BAD_PHOTO):
        return BadPhoto(sentence, reason=code.removeprefix(BAD_PHOTO))
    if kind := BY_CODE.get(code) or BY_STATUS.get(status):
        return kind(sentence)
    if status in (429, 503):
        busy = TooMany if status == 429 else Overloaded
        return busy(sentence, retry_after=round(retry_after or 1))
    return BadInput(sentence) if 400 <= status < 500 else ServiceFailed(sentence)


def _verdict(fields: Mapping[str, Any]) -> Verdict:
    return Verdict(
        expected=int(fields["expected"]),
        word=str(fields["verdict"]),
        p_record=float(fields["p_record"]),
        p_right=float(fields["p_right"]),
        units_off=float(fields["units_off"]),
        reason=str(fields["reason"]),
    )


def _not_ours(error: Exception) -> ServiceFailed:
    what = f"{type(error).__name__}: {error}"
    return ServiceFailed(f"the answer is not one of Binsight's ({what}); check the address and both versions")
