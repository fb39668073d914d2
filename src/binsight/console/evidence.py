"""An estimate as a page draws it."""

import json
from dataclasses import dataclass
from typing import Any

from binsight.records import CountEstimate
from binsight.storage.ledger import AuditLineRow

LEAST_SHOWN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One count of a distribution: `height` from 0 to 100, the likeliest at 100."""

    name: str
    percent: float
    height: float
    is_count: bool
    is_expected: bool


def estimate_of(line: AuditLineRow) -> CountEstimate | None:
    """What the photo showed, as the ledger has it."""
    if line.estimate is None or line.photo is None:
        return None
    kept = json.loads(line.estimate)
    return CountEstimate(
        photo=line.photo,
        probs=tuple(kept["probs"]),
        bin_label=kept.get("bin_label"),
        flags=tuple(kept.get("flags", ())),
    )


def bars(estimate: CountEstimate, expected: int) -> list[Bar]:
    """The distribution, up to the last count that matters."""
    probs, last = estimate.probs, len(estimate.probs) - 1
    likely = max((n for n, p in enumerate(probs) if p >= 0.005), default=0)
    num = min(last, max(likely, expected, LEAST_SHOWN)) + 1
    most = max(probs)
    return [
        Bar(
            name=f"{n}+" if n == last else str(n),
            percent=100 * probs[n],
            height=100 * probs[n] / most,
            is_count=n == estimate.count,
            is_expected=n == min(expected, last),
        )
        for n in range(num)
    ]


def shown_estimate(line: AuditLineRow) -> dict[str, Any]:
    """What a template needs to draw a line's estimate: `estimate` is None where there is none."""
    estimate = estimate_of(line)
    return {"estimate": estimate, "bars": [] if estimate is None else bars(estimate, line.expected)}
