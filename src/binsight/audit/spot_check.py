"""What people counted in bins that an audit drew by lot, and in others, and what that says of certificate and records.

```
COUNTS ─▶ by bin ─▶ lines of the audit ─┬─▶ drawn, verified ─▶ evidence ─▶ in force, or suspended
                                        └─▶ all bins by their probability to be counted ─▶ IRA
```
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from binsight.audit.lines import STALE, VERIFIED
from binsight.audit.plan import BinName
from binsight.audit.standing import Standing, reasons_json, standing_of
from binsight.audit.stored import site_of
from binsight.decision.surveillance import LiveShare, Reason, live_shares
from binsight.decision.weighting import Weighted, weighted_share
from binsight.errors import MissingObject
from binsight.records import StockRecord
from binsight.storage.ledger import Audits, Certificates, Entry, Ledger
from binsight.storage.ledger.certificates import COUNTED, SUSPENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedLine:
    """A line of an audit whose bin was counted."""

    place: int
    verdict: str
    expected: int
    counted: int

    @property
    def is_right(self) -> bool:
        return self.expected == self.counted


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotCheck:
    """What counts came to. `num_new` of the bins drawn were not counted before; `num_open` still are to be; bins that were
    counted and stand in no line of the audit are `num_unknown`.

    `accuracy` is of all records, or None, and `why_not` then says what it would take.
    """

    standing: Standing
    shares: tuple[LiveShare, ...]
    evidence: float
    suspended: tuple[Reason, ...]
    num_new: int
    num_open: int
    num_unknown: int
    accuracy: Weighted | None
    why_not: str


def spot_check(ledger: Ledger, audit: str, counts: Iterable[StockRecord], *, by: str) -> SpotCheck:
    """Keep what people counted after an audit, and suspend its certificate where they found too many wrong.

    A bin counts once: what was kept of it before stays. Raises `MissingObject` for an audit that drew nothing. Needs SciPy.
    """
    certificates = Certificates(ledger)
    watched = certificates.of_audit(Audits(ledger).read(audit).id)
    if watched is None:
        raise MissingObject(f"audit {audit} drew no bins: it had no certificate, or did not end; name another")
    lines, num_unknown = counted_lines(ledger, audit, counts)
    drawn = {place for place, _ in watched.body["drawn"]}
    num_new, found = take_counts(certificates, watched, lines, by=by)
    standing = standing_of(watched.subject, certificates.acts(watched.subject))
    state = standing.state(datetime.now(UTC))
    accuracy, why_not = accuracy_of(lines, watched.body)
    return SpotCheck(
        standing=standing_of(watched.subject, certificates.acts(watched.subject)),
        shares=tuple(live_shares(standing.counts)),
        evidence=state.evidence,
        suspended=found,
        num_new=num_new,
        num_open=len(drawn - standing.counted.get(audit, set())),
        num_unknown=num_unknown,
        accuracy=accuracy,
        why_not=why_not,
    )


def take_counts(
    certificates: Certificates, watched: Entry, lines: Iterable[CountedLine], *, by: str
) -> tuple[int, tuple[Reason, ...]]:
    """Keep the counts of bins that the audit of `watched` drew, each once, and suspend its certificate where they found too
    many wrong. How many counts were new, and why it is suspended, if it is."""
    audit = watched.body["audit"]
    drawn = {place for place, _ in watched.body["drawn"]}
    known = standing_of(watched.subject, certificates.acts(watched.subject)).counted.get(audit, set())
    new = [line for line in lines if line.place in drawn and line.place not in known]
    if not new:
        return 0, ()
    kept = [[line.place, line.counted, line.expected] for line in new]
    certificates.add(COUNTED, watched.subject, {"audit": audit, "counts": kept}, by=by)
    standing = standing_of(watched.subject, certificates.acts(watched.subject))
    state = standing.state(datetime.now(UTC))
    found = tuple(reason for reason in state.reasons if reason.why == "breached") if standing.is_in_force else ()
    if found:
        certificates.add(SUSPENDED, watched.subject, {"reasons": reasons_json(found), "audit": audit}, by=by)
    return len(new), found


def counted_lines(ledger: Ledger, audit: str, counts: Iterable[StockRecord]) -> tuple[list[CountedLine], int]:
    """The audit's lines whose bins were counted, in their places, and how many bins that were counted it does not have."""
    counted: dict[BinName, int] = {(one.site or "", one.bin_id): one.expected for one in counts}
    found = []
    for line in Audits(ledger).lines(audit):
        number = counted.pop((site_of(line.record), line.bin_id), None)
        if number is not None:
            found.append(
                CountedLine(place=line.place, verdict=line.verdict, expected=line.expected, counted=number)
            )
    return found, len(counted)


def accuracy_of(lines: Iterable[CountedLine], watched: Mapping[str, Any]) -> tuple[Weighted | None, str]:
    """The share of right records among all that are not stale, and where it cannot be said, why.

    Bins drawn by lot from all of them speak for all. Where the draw was from the verified ones, the others must all have
    been counted: of a part that was chosen because it is suspect nothing follows for the rest.
    """
    drawn = {place for place, _ in watched["drawn"]}
    probability, of_all = watched["probability"], watched["of"] == "all"
    lines = [line for line in lines if line.verdict != STALE]
    by_lot = [line for line in lines if line.place in drawn]
    chosen = [] if of_all else [line for line in lines if line.verdict != VERIFIED]
    if len(by_lot) < len(drawn):
        return None, f"{len(drawn) - len(by_lot):,} of {len(drawn):,} bins drawn by lot are not in these counts"
    num_others = watched["num_records"] - watched["num_stale"] - watched["num_verified"]
    if not of_all and len(chosen) < num_others:
        return None, (
            f"{num_others - len(chosen):,} of {num_others:,} bins that are not verified are not in these counts; "
            "count them, or audit with --random-all, which draws from all bins"
        )
    if not by_lot and not chosen:
        return None, "nothing was counted"
    right = np.array([line.is_right for line in (*by_lot, *chosen)])
    weights = np.array([probability] * len(by_lot) + [1.0] * len(chosen))
    return weighted_share(right, weights), ""
