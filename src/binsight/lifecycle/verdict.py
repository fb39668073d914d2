"""The comparison as a step of a retraining: the same one that `binsight models compare` makes, and its decision."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from binsight.lifecycle.compare import Answers, compare
from binsight.lifecycle.decide import PromotionDecision, decide
from binsight.lifecycle.parents import Learned
from binsight.lifecycle.policy import PromotionPolicy
from binsight.lifecycle.promotion_set import PromotionSet, freeze
from binsight.lifecycle.record import record_of, write_record
from binsight.storage.ledger import Ledger, Promotions


def frozen_set(folder: Path, data: Mapping[str, Any], ledger: Ledger, *, by: str) -> PromotionSet:
    """The promotion set, frozen now where it never was: before anything is trained to be judged by it."""
    opened = PromotionSet.open(folder, split=data["split"], where=data["where"], name=data["name"])
    return freeze(Promotions(ledger), opened, by=by)


def compare_on(
    champion: Path,
    challenger: Path,
    promotion: Path,
    *,
    data: Mapping[str, Any],
    terms: Mapping[str, Any],
    training: Path,
    learned: Learned,
    out: Path,
    ledger: Ledger,
    by: str,
) -> PromotionDecision:
    """Compare both, decide, and write page and record into `out`; the decision stands in the ledger once, however often
    the step is begun.

    `training` is the dataset that the challenger was trained on, `learned` what the weights that it began with have seen.
    """
    promotions, policy, answers = Promotions(ledger), PromotionPolicy.of(dict(terms)), Answers()
    chosen = frozen_set(promotion, data, ledger, by=by)
    comparison = compare(
        champion,
        challenger,
        chosen,
        training=training,
        further_training=[Path(folder) for folder in learned.folders],
        needed_datasets=learned.hashes,
        look=partial(_look, promotions, chosen.sha256, policy.max_looks, by),
        policy=policy,
        answers=answers,
    )
    decision = decide(comparison, policy)
    keep_decision(promotions, record_of(comparison, decision, policy), by=by)
    write_record(out, comparison, decision, policy, photos=chosen.photos, answers=answers)
    return decision


def keep_decision(promotions: Promotions, record: Mapping[str, Any], *, by: str) -> None:
    """Have the ledger keep a decision by its record, once. Raises `KeyError` for a record that is none."""
    comparison, word = record["comparison"], record["decision"]["word"]
    of_set = comparison["promotion_set"]["sha256"]
    pair = (comparison["champion"]["version"], comparison["challenger"]["version"], of_set)
    known = promotions.decisions(pair[1])
    if not any((row.champion, row.challenger, row.set_sha256, row.word) == (*pair, word) for row in known):
        promotions.record(
            champion=pair[0], challenger=pair[1], set_sha256=of_set, word=word, record=dict(record), by=by
        )


def _look(
    promotions: Promotions, set_sha256: str, most: int, by: str, champion: str, challenger: str
) -> int | None:
    """Spend a look of the set on a pair."""
    return promotions.look(set_sha256, champion, challenger, most=most, by=by)
