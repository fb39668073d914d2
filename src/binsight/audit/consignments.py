"""Whether a consignment may leave, by the photos of its totes: one pure function, and what it is kept and shown as.

```
a tote is suspect ─────────────────────────────────────────────▶ HOLD
every tote verified under a certificate, every line read ──────▶ RELEASE
otherwise (no photo, not sure enough, a line not readable) ────▶ CHECK
```
A photo shows how many items there are, not which: a swap of equal numbers, within a tote or between two, is not seen.

The certificate's bound carries over from totes to consignments: one with a tote that is off by one is released only if
that tote is verified, which happens to at most so many of such totes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from binsight.audit.lines import SUSPECT, VERIFIED, AuditLine

RELEASE, HOLD, CHECK = "RELEASE", "HOLD", "CHECK"
DECISIONS = (RELEASE, HOLD, CHECK)
SWAPS = (
    "A photo shows how many items are in a tote, not which: a swap of equal numbers cannot be seen, within a tote or "
    "between totes."
)


def decide_consignment(totes: Sequence[AuditLine], *, is_whole: bool) -> str:
    """RELEASE, HOLD or CHECK. `is_whole`: every line of the consignment could be read and is in `totes`."""
    if any(tote.word == SUSPECT for tote in totes):
        return HOLD
    if is_whole and totes and all(tote.word == VERIFIED for tote in totes):
        return RELEASE
    return CHECK


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedConsignment:
    """A consignment, what became of its totes, and what was wrong with its lines. `entry` is its place in the journal,
    where it is kept there."""

    id: str
    totes: Sequence[AuditLine]
    problems: Sequence[str]
    entry: int | None = None
    entry_hash: str | None = None

    @property
    def decision(self) -> str:
        """RELEASE, HOLD or CHECK."""
        return decide_consignment(self.totes, is_whole=not self.problems)

    def as_json(self) -> dict[str, Any]:
        """The fixed shape of one consignment: its decision first, then the totes with their evidence."""
        return {
            "consignment": self.id,
            "decision": self.decision,
            "totes": [tote_json(tote) for tote in self.totes],
            "problems": list(self.problems),
            "entry": self.entry,
            "entry_hash": self.entry_hash,
        }


def tote_json(tote: AuditLine) -> dict[str, Any]:
    """One tote: expected, seen and verdict, and the evidence of it."""
    seen = tote.estimate
    return {
        "tote": tote.record.bin_id,
        "expected": tote.record.expected,
        "seen": None if seen is None else seen.count,
        "interval": None if seen is None else list(seen.interval),
        "verdict": tote.word,
        "reason": tote.reason,
        "exception": tote.exception,
        "skus": list(tote.record.skus),
        "photo": None if seen is None else seen.photo,
        "photo_sha256": tote.photo_sha256,
        "p_record": None if tote.p_record is None else round(tote.p_record, 6),
        "probs": None if seen is None else [round(p, 6) for p in seen.probs],
    }
