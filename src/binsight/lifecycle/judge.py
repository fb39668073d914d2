"""Judge a challenger from beginning to end: compare, decide, keep the record, and promote where that is asked for.

```
champion seen ─▶ set frozen ─▶ compare ─▶ decide ─▶ page, record, ledger ─▶ alias moved, if it still is where it was seen
```
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from binsight.counting.registry import Registry
from binsight.errors import BadInput, MissingObject
from binsight.lifecycle.compare import Answers, compare
from binsight.lifecycle.comparison import Comparison
from binsight.lifecycle.decide import PromotionDecision, decide
from binsight.lifecycle.policy import PromotionPolicy
from binsight.lifecycle.promotion_set import PromotionSet, freeze
from binsight.lifecycle.record import check_out, record_of, write_record
from binsight.records import CHAMPION
from binsight.storage.ledger import DecisionRow, Pointed, Promotions


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A decision with what it rests on. `promoted` is where the champion points now, None where it was not moved."""

    comparison: Comparison
    decision: PromotionDecision
    row: DecisionRow
    page: Path
    promoted: Pointed | None


def judge(
    registry: Registry,
    challenger: str,
    promotion_set: PromotionSet,
    *,
    out: Path,
    by: str,
    training: Path | None = None,
    further_training: Sequence[Path] = (),
    champion: str | None = None,
    policy: PromotionPolicy | None = None,
    promote: bool = False,
) -> Judged:
    """Judge a registered version against the champion, or against another (`champion`), which then moves no alias.

    Raises `MissingObject` where there is no champion, `ChangedMeanwhile` where it was moved by somebody else since this
    began, and as `compare` and `write_record` do.
    """
    terms = policy or PromotionPolicy()
    check_out(out)
    seen = registry.pointed(CHAMPION)
    if champion is None and seen is None:
        raise MissingObject(f"{CHAMPION} points at no model; promote a first one: binsight models promote VERSION")
    before = registry.resolve(champion or CHAMPION)
    if promote and (seen is None or before != seen.version):
        raise BadInput(
            f"{before} is not the champion, and only a comparison with it can promote; leave --champion out"
        )
    after = registry.resolve(challenger)
    promotions = Promotions(registry.models.ledger)
    frozen = freeze(promotions, promotion_set, by=by)

    def look(theirs: str, ours: str) -> int | None:
        return promotions.look(frozen.sha256, theirs, ours, most=terms.max_looks, by=by)

    answers = Answers()
    comparison = compare(
        registry.fetch(before),
        registry.fetch(after),
        frozen,
        training=training,
        further_training=further_training,
        needed_datasets=tuple(_datasets_of_parents(registry, after)),
        look=look,
        policy=terms,
        answers=answers,
    )
    decision = decide(comparison, terms)
    page = write_record(out, comparison, decision, terms, photos=frozen.photos, answers=answers)
    row = promotions.record(
        champion=before,
        challenger=after,
        set_sha256=frozen.sha256,
        word=decision.word,
        record=record_of(comparison, decision, terms),
        by=by,
    )
    promoted = None
    if promote and decision.word == "promote":
        reason = f"better on {frozen.name} by decision {row.id}"
        promoted = registry.point(CHAMPION, after, by=by, reason=reason, seen=seen)
    return Judged(comparison=comparison, decision=decision, row=row, page=page, promoted=promoted)


def _datasets_of_parents(registry: Registry, version: str) -> Iterator[str]:
    """What the registered versions that this one goes back to were trained on, as far as they say."""
    known = {found.version: found for found in registry.models.versions()}
    seen = {version}
    parent = known[version].parent
    while parent in known and parent not in seen:
        seen.add(parent)
        if digest := known[parent].dataset_sha256:
            yield digest
        parent = known[parent].parent
