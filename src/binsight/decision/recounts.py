"""What follows from people's counts of one bin: whether the record stands, another person counts, or a third decides.

```
count 1 ── within tolerance of the record ─▶ matched
        └─ else ─▶ recount, by another person
                   ├─ same as count 1, and small ─▶ confirmed: the record is corrected
                   └─ another number, or a large variance ─▶ approve: a third person decides
```
Pure. That a count is made without sight of the record, and a recount by another person, is the ledger's to see to.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

COUNT, RECOUNT, APPROVE = "count", "recount", "approve"
"""What a task waits for."""
MATCHED, CONFIRMED, APPROVED, REJECTED, CANCELLED = "matched", "confirmed", "approved", "rejected", "cancelled"
"""How a task ended. Of `rejected` and `cancelled` ones nothing is written to the stock."""

REASONS: Mapping[str, str] = {
    "DAMAGED": "items are damaged",
    "DATA_ENTRY_ERROR": "a number was typed wrongly",
    "EXPIRED": "items are past their date",
    "FOUND": "items turned up",
    "MISSING": "items are gone",
    "MISPLACED": "items lie in another bin",
    "RECOUNTED": "a count was wrong",
    "RETURNED": "items came back",
    "SCRAPPED": "items were thrown away",
    "STOLEN": "items were stolen",
    "BIN_CORRECTION": "the bin was put in order",
    "INBOUND_NOT_RECORDED": "items came in without a record",
    "OUTBOUND_NOT_RECORDED": "items went out without a record",
    "OTHER": "something else, as the comment says",
}
"""Why stock and record differ, in the codes that stock systems use."""

SKIP_REASONS: Mapping[str, str] = {
    "UNCLEAR_PHOTO": "the photo does not show enough",
    "WRONG_PHOTO": "the photo is of another bin",
    "NO_ACCESS": "the bin cannot be reached",
    "NOT_FOUND": "there is no such bin",
    "IN_USE": "somebody works at the bin",
    "OTHER": "something else",
}
"""Why a person passes a bin on."""

Units = Annotated[int, Field(ge=0, le=1_000_000)]


class Policy(BaseModel):
    """What a site wants of counts. Tolerances are in units, at most so many off the record: by item, else by class, else
    by site, else `tolerance`. Percentages would say nothing of bins of 1 to 10."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tolerance: Units = 0
    tolerance_by_site: Mapping[str, Units] = Field(default_factory=dict)
    tolerance_by_class: Mapping[str, Units] = Field(default_factory=dict)
    tolerance_by_item: Mapping[str, Units] = Field(default_factory=dict)
    approve_units: Units | None = Field(
        2, description="A variance of more units is approved by a third person; None: only disputed ones are."
    )
    approve_value: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="The same by value, where the record has one."
    )
    recount_at_bin: bool = Field(False, description="A recount is made at the bin, not from its photo.")
    lease_seconds: int = Field(
        300, ge=15, le=86_400, description="How long a task is a person's without a sign of life."
    )

    def tolerance_of(self, *, items: Sequence[str], item_class: str | None, site: str | None) -> int:
        """The tolerance of a bin, in units; of several items the least."""
        by_item = [self.tolerance_by_item[item] for item in items if item in self.tolerance_by_item]
        if by_item:
            return min(by_item)
        if item_class is not None and item_class in self.tolerance_by_class:
            return self.tolerance_by_class[item_class]
        return self.tolerance_by_site.get(site or "", self.tolerance)


def after_counts(
    counted: Sequence[int],
    *,
    expected: int,
    tolerance: int,
    unit_value: float | None = None,
    policy: Policy,
) -> str:
    """The state of a task after these counts, each by another person, none withdrawn, in their order.

    Raises `ValueError` where there are none.
    """
    if not counted:
        raise ValueError("a task without a count stays as it is")
    last = counted[-1]
    if len(counted) == 1:
        return MATCHED if abs(last - expected) <= tolerance else RECOUNT
    if last not in counted[:-1]:
        return APPROVE
    if abs(last - expected) <= tolerance:
        return MATCHED
    return APPROVE if _is_large(last - expected, unit_value, policy) else CONFIRMED


def _is_large(variance: int, unit_value: float | None, policy: Policy) -> bool:
    by_units = policy.approve_units is not None and abs(variance) > policy.approve_units
    value = abs(variance) * (unit_value or 0.0)
    return by_units or (policy.approve_value is not None and value > policy.approve_value)
