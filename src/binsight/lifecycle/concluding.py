"""What follows from a decision: one move of an alias, made once, or none.

The move is a compare-and-swap from where the champion was when the retraining began: of two that race, one moves it, and
the other finds out. Its reason names the retraining, so that one that was killed right after its move knows it again.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from binsight.counting.registry import Registry
from binsight.errors import ChangedMeanwhile
from binsight.records import CANARY
from binsight.storage.ledger import Pointed
from binsight.storage.ledger.retrainings import CANARY as ON_TRIAL
from binsight.storage.ledger.retrainings import KEPT, PROMOTED, REFUSED


def conclude_with(
    decision: Mapping[str, Any],
    challenger: Path,
    *,
    id: str,  # noqa: A002 - the retraining's
    better: str,
    seen: Pointed,
    registry: Registry,
    by: str,
) -> dict[str, Any]:
    """Act on a decision; what was done, in plain values. Raises `ChangedMeanwhile` where the champion is another by now."""
    word, reasons = decision["word"], list(decision["reasons"])
    if word != "promote":
        state = KEPT if word == "keep" else REFUSED
        return {"state": state, "challenger": None, "reasons": reasons, "alias": None, "revision": None}
    version = registry.register(challenger, by=by).version
    alias, state = (CANARY, ON_TRIAL) if better == "canary" else (seen.alias, PROMOTED)
    reason = f"retraining {id}: {reasons[0] if reasons else 'better on the promotion set'}"
    moved = _moved_already(registry, alias, version, id) or _move(registry, alias, version, reason, seen, by)
    return {
        "state": state,
        "challenger": version,
        "reasons": reasons,
        "alias": moved.alias,
        "revision": moved.revision,
    }


def _moved_already(registry: Registry, alias: str, version: str, id: str) -> Pointed | None:  # noqa: A002
    """Where this retraining has moved the alias to before it was killed; None where it has not."""
    for move in registry.models.moves(alias):
        if move.to_version == version and move.reason.startswith(f"retraining {id}:"):
            return move.reached
    return None


def _move(registry: Registry, alias: str, version: str, reason: str, seen: Pointed, by: str) -> Pointed:
    now = registry.pointed(seen.alias)
    if now != seen:
        at = now.version if now else "nothing"
        raise ChangedMeanwhile(
            f"{seen.alias} was {seen.version} when this retraining began and is {at} by now; nothing was promoted: "
            "run the same command again, which compares with that one"
        )
    return registry.point(
        alias, version, by=by, reason=reason, seen=seen if alias == seen.alias else registry.pointed(alias)
    )
