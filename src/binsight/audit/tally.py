"""What an audit came to, gathered while its lines pass: numbers, why, and the lines that people look at first."""

import heapq
from collections import Counter
from dataclasses import dataclass, field

from binsight.audit.lines import BAD_PHOTO, NOT_ASSESSABLE, STALE, SUSPECT, VERIFIED, WORDS, AuditLine, Judging
from binsight.decision.decide import band_for

NO_PHOTO, UNREADABLE_PHOTO, WITHHELD, NO_CERTIFICATE, NOT_SURE = (
    "no photo that can be counted",
    "photo flagged",
    "the certificate is suspended",
    "no certificate for such records",
    "below the certified threshold",
)
"""Why a record is not assessable, in the order in which it is asked."""


@dataclass(slots=True)
class Tally:
    """Numbers of an audit, and its `most` lines with the largest expected errors among those that need a person."""

    by: Judging
    most: int = 200
    words: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(WORDS, 0)))
    reasons: Counter[str] = field(default_factory=Counter)
    exceptions: Counter[str] = field(default_factory=Counter)
    units_expected: int = 0
    units_off: float = 0.0
    _worst: list[tuple[float, int, AuditLine]] = field(default_factory=list)

    def add(self, line: AuditLine) -> None:
        """Take a line in."""
        self.words[line.word] += 1
        self.units_expected += line.record.expected
        self.units_off += line.units_off
        if line.word == NOT_ASSESSABLE:
            self.reasons[self._why(line)] += 1
        if line.exception:
            self.exceptions[line.exception] += 1
        if line.word == SUSPECT or line.exception:
            # The place in the audit stands second, so that equal errors keep its order and lines are never compared.
            heapq.heappush(self._worst, (line.units_off, -self.num_records, line))
            if len(self._worst) > self.most:
                heapq.heappop(self._worst)

    @property
    def num_records(self) -> int:
        return self.words.total()

    @property
    def worst(self) -> list[AuditLine]:
        """Suspects and exceptions, those with the largest expected error first."""
        return [line for _, _, line in sorted(self._worst, reverse=True)]

    @property
    def num_failed(self) -> int:
        """Photos that could not be counted."""
        return self.exceptions[BAD_PHOTO]

    def share(self, word: str) -> float:
        """The share of the records with this verdict; 0 where there are none."""
        return self.words[word] / max(1, self.num_records)

    def as_json(self) -> dict[str, object]:
        """The numbers, for scripts."""
        return {
            "num_records": self.num_records,
            **{f"num_{word}": self.words[word] for word in (VERIFIED, SUSPECT, NOT_ASSESSABLE, STALE)},
            "not_assessable": dict(self.reasons),
            "exceptions": dict(self.exceptions),
            "units_expected": self.units_expected,
            "units_off": round(self.units_off, 3),
        }

    def _why(self, line: AuditLine) -> str:
        if line.exception:
            return line.exception.replace("_", " ")
        if line.p_record is None or line.estimate is None:
            return NO_PHOTO
        if line.estimate.flags:
            return UNREADABLE_PHOTO
        if self.by.withheld:
            return WITHHELD
        band = band_for(self.by.certificate, line.record.expected, self.by.alpha) if self.by.certificate else None
        return NO_CERTIFICATE if band is None or band.threshold is None else NOT_SURE
