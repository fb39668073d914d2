"""The two shapes that every endpoint answers in: an answer for a photo, and an error."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from binsight.decision.decide import decide
from binsight.errors import (
    AccessRefused,
    BadInput,
    BadPhoto,
    BinsightError,
    ChangedMeanwhile,
    MissingObject,
    NotAllowed,
    NotOffered,
    Overloaded,
    ServiceBusy,
    StorageFailure,
    TooLarge,
    TooLate,
    TooMany,
    TooSlow,
    UnknownCaller,
    UnknownType,
    UnreadLink,
)
from binsight.service.served import Counted

Seconds = Annotated[float, Field(ge=0)]


class TimingAnswer(BaseModel):
    """Where the time went, in seconds; the network's is that of the photo's whole batch."""

    queue: Seconds
    decode: Seconds
    inference: Seconds


class VerdictAnswer(BaseModel):
    """What to do about a record, given the photo."""

    expected: int = Field(description="What the record says.")
    verdict: Literal["verified", "suspect", "not_assessable"]
    p_record: float = Field(description="p(record right | photo), by the photo alone.")
    p_right: float = Field(description="The same joined with how often records err: what to believe of the record.")
    units_off: float = Field(description="The record's expected error in units, by that belief.")
    reason: str


class Answer(BaseModel):
    """The estimate for one photo."""

    count: int = Field(description="The most likely count.")
    probs: list[float] = Field(description="probs[n] = p(n); the last entry stands for this many or more.")
    interval: tuple[int, int] = Field(description="The central interval that holds at least 90%, ends included.")
    bin_label: str | None = Field(
        description="The bin's label as read in the photo, where it was asked for and read."
    )
    flags: list[str] = Field(description="What is wrong with the photo: blurred, dark, …")
    model: str = Field(description="The bundle that answered, NAME:VERSION.")
    request_id: str
    timing: TimingAnswer
    verdict: VerdictAnswer | None = Field(None, description="Where a record was given.")


class ErrorDetail(BaseModel):
    """What went wrong, and what to do about it."""

    code: str = Field(description="A stable word for programs.")
    message: str = Field(description="One sentence.")
    mend: str = Field(description="What to do about it; empty where nothing can be done.")
    request_id: str


class ErrorAnswer(BaseModel):
    """The answer wherever there is no other."""

    error: ErrorDetail


class Answers(BaseModel):
    """Answers to a request with several photos, in their order; an error in the place of each that failed."""

    results: list[Answer | ErrorAnswer]


def answer_for(counted: Counted, *, request_id: str, expected: int | None, withheld: str = "") -> Answer:
    """The answer for one photo, with a verdict where the record is given.

    `withheld` says why the bundle's certificate speaks for nothing now; empty where it does.
    """
    estimate, timing = counted.estimate, counted.timing
    verdict = None
    if expected is not None:
        certificate = None if withheld else counted.served.certificate
        decided = decide(estimate, expected, certificate, withheld=withheld)
        verdict = VerdictAnswer(
            expected=expected,
            verdict=decided.word,
            p_record=round(decided.p_record, 6),
            p_right=round(decided.p_right, 6),
            units_off=round(decided.units_off, 6),
            reason=decided.reason,
        )
    return Answer(
        count=estimate.count,
        probs=[round(p, 6) for p in estimate.probs],
        interval=estimate.interval,
        bin_label=estimate.bin_label,
        flags=list(estimate.flags),
        model=counted.served.name,
        request_id=request_id,
        timing=TimingAnswer(
            queue=round(timing.queue, 6), decode=round(timing.decode, 6), inference=round(timing.inference, 6)
        ),
        verdict=verdict,
    )


STATUS: tuple[tuple[type[Exception], int, str], ...] = (
    (UnknownCaller, 401, "unknown_caller"),
    (NotAllowed, 403, "not_allowed"),
    (AccessRefused, 403, "access_refused"),
    (MissingObject, 404, "not_found"),
    (ChangedMeanwhile, 409, "changed_meanwhile"),
    (TooLate, 504, "too_late"),
    (TooMany, 429, "too_many"),
    (Overloaded, 503, "overloaded"),
    (ServiceBusy, 503, "not_ready"),
    (UnreadLink, 424, "link_unread"),
    (StorageFailure, 502, "storage_failed"),
    (UnknownType, 415, "unknown_type"),
    (NotOffered, 406, "not_offered"),
    (TooLarge, 413, "too_large"),
    (TooSlow, 408, "too_slow"),
    (BadInput, 400, "bad_input"),
)
"""HTTP status and code of each kind of error; the first that fits."""

PHOTO_STATUS: Mapping[str, int] = {"too_many_bytes": 413, "format": 415}
"""Status of a bad photo by its reason, where it is not 400."""


def error_for(error: Exception, request_id: str) -> tuple[int, ErrorAnswer]:
    """Status and answer for an error. One that is not ours says nothing of what happened inside."""
    if isinstance(error, BadPhoto):
        return PHOTO_STATUS.get(error.reason, 400), _detail(f"bad_photo_{error.reason}", str(error), request_id)
    for kind, status, code in STATUS:
        if isinstance(error, kind):
            return status, _detail(code, str(error), request_id)
    message = (
        "the service failed; its log has the request id" if not isinstance(error, BinsightError) else str(error)
    )
    return 500, _detail("failed", message, request_id)


def _detail(code: str, text: str, request_id: str) -> ErrorAnswer:
    """Our sentences end with the mend, after the last semicolon."""
    message, _, mend = text.rpartition("; ")
    detail = ErrorDetail(code=code, message=message or mend, mend=mend if message else "", request_id=request_id)
    return ErrorAnswer(error=detail)


def error_headers(error: Exception) -> dict[str, str]:
    """Headers beside the error: when to try again, or how to say who asks."""
    if isinstance(error, UnknownCaller):
        return {"WWW-Authenticate": 'Bearer realm="binsight"'}
    if isinstance(error, Overloaded):
        return {"Retry-After": str(error.retry_after)}
    return {"Retry-After": "5"} if isinstance(error, ServiceBusy) and not isinstance(error, TooLate) else {}
