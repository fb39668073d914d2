"""One line of an audit: a record, what its photo showed, and what follows."""

from dataclasses import dataclass
from typing import Any

from binsight.decision.belief import RecordErrors, believe_unseen
from binsight.decision.certificate import Certificate
from binsight.decision.decide import ALPHA, USUAL_COSTS, USUAL_ERRORS, Costs, decide
from binsight.records import CountEstimate, StockRecord

VERIFIED, SUSPECT, NOT_ASSESSABLE, STALE = "verified", "suspect", "not_assessable", "stale"
BAD_PHOTO, WRONG_BIN = "bad_photo", "wrong_bin"
"""Exceptions, which a person must look at whatever the count says: a photo that cannot be counted, or of another bin."""
WORDS = (VERIFIED, SUSPECT, NOT_ASSESSABLE, STALE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """What records are judged by, beside their photos; a certificate of None has nothing verified, and `withheld` says why
    it is None where there is one."""

    certificate: Certificate | None
    alpha: float = ALPHA
    errors: RecordErrors = USUAL_ERRORS
    costs: Costs = USUAL_COSTS
    withheld: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLine:
    """A record and its verdict. Without an estimate (no photo, or none that can be counted) `p_record` is None, and
    `p_right` and `units_off` are those of any record.

    `photo_sha256` is the hash of the photo's bytes, where it was counted in this audit.
    """

    record: StockRecord
    word: str
    reason: str
    estimate: CountEstimate | None
    p_record: float | None
    p_right: float
    units_off: float
    exception: str | None = None
    photo_sha256: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The fixed shape of one line, and the photo and exception after it."""
        return {
            "bin_id": self.record.bin_id,
            "expected": self.record.expected,
            "count": None if self.estimate is None else self.estimate.count,
            "p_record": None if self.p_record is None else round(self.p_record, 6),
            "verdict": self.word,
            "reason": self.reason,
            "p_right": round(self.p_right, 6),
            "units_off": round(self.units_off, 4),
            "photo": None if self.estimate is None else self.estimate.photo,
            "exception": self.exception,
            "site": self.record.site,
        }


def judged(record: StockRecord, estimate: CountEstimate, by: Judging) -> AuditLine:
    """The line of a record whose photo was counted."""
    verdict = decide(
        estimate,
        record.expected,
        by.certificate,
        alpha=by.alpha,
        errors=by.errors,
        costs=by.costs,
        withheld=by.withheld,
    )
    return AuditLine(
        record=record,
        word=verdict.word,
        reason=verdict.reason,
        estimate=estimate,
        p_record=verdict.p_record,
        p_right=verdict.p_right,
        units_off=verdict.units_off,
    )


def unseen(
    record: StockRecord,
    reason: str,
    by: Judging,
    *,
    word: str = NOT_ASSESSABLE,
    exception: str | None = None,
    estimate: CountEstimate | None = None,
) -> AuditLine:
    """The line of a record of which no photo says anything: none is there, or what it shows is not this record's."""
    belief = believe_unseen(record.expected, by.errors)
    return AuditLine(
        record=record,
        word=word,
        reason=reason,
        estimate=estimate,
        p_record=None,
        p_right=belief.p_right,
        units_off=belief.units_off,
        exception=exception,
    )
