"""The evaluation between training and promotion, as a processing job.

```
processing/input/{challenger, champion, promotion, dataset, learned} ─▶ compare ─▶ decide ─▶ processing/output/evaluation/
```
The same comparison and the same pure function as on one machine (`binsight.lifecycle`). What the ledger knows there of a
promotion set comes along in its folder; looks at it are counted in the bucket, each by a write that only one can make.
"""

import json
import os
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from binsight.engines.container.learned import learned_datasets
from binsight.engines.container.looks import look_of
from binsight.engines.container.opt_ml import OptMl
from binsight.engines.contract import (
    CHALLENGER,
    CHAMPION,
    DATASET,
    EVALUATION,
    EVALUATION_FILE,
    FROZEN_FILE,
    LEARNED,
    LOOKS,
    PROMOTION,
)
from binsight.errors import BadInput, MissingObject

if TYPE_CHECKING:
    from binsight.lifecycle.policy import PromotionPolicy
    from binsight.lifecycle.promotion_set import PromotionSet

ARCHIVE = "model.tar.gz"
MOST_OF_A_REASON = 900
"""Of the 1,024 characters of a pipeline's FailureReason; the rest says where the whole is."""


def evaluate(tree: OptMl, environment: Mapping[str, str] = os.environ) -> None:
    """Compare, decide, and leave `evaluation.json`: the record, and the reason for the pipeline's condition."""
    from binsight.lifecycle.compare import compare
    from binsight.lifecycle.decide import decide
    from binsight.lifecycle.record import record_of

    inputs = tree.inputs()
    for name in (CHALLENGER, CHAMPION, PROMOTION, DATASET):
        if name not in inputs:
            have = ", ".join(inputs) or "none"
            raise MissingObject(
                f"the job must have an input {name}, but has {have}; add it to its ProcessingInputs"
            )
    if LOOKS not in environment:
        raise BadInput(f"{LOOKS} must say where looks are counted; set it in the job's environment")
    promotion_set, policy = frozen_set(inputs[PROMOTION])
    learned = learned_datasets(inputs.get(LEARNED), tree.root / "processing" / LEARNED)
    comparison = compare(
        bundle_in(inputs[CHAMPION]),
        bundle_in(inputs[CHALLENGER]),
        promotion_set,
        training=inputs[DATASET],
        further_training=list(learned.values()),
        needed_datasets=list(learned),
        look=look_of(environment[LOOKS], promotion_set.sha256, most=policy.max_looks),
        policy=policy,
    )
    decision = decide(comparison, policy)
    reason = "; ".join(decision.reasons)[:MOST_OF_A_REASON]
    print(f"{decision.word}: {reason}", flush=True)
    record = record_of(comparison, decision, policy)
    _leave(
        tree.output(EVALUATION) / EVALUATION_FILE,
        {**record, "decision": {"reason": reason, **record["decision"]}},
    )


def bundle_in(folder: Path) -> Path:
    """The folder itself where it holds a bundle, else what its model.tar.gz holds.

    Raises `BadInput` for an archive that is damaged or would write elsewhere; the bundle itself is checked when it is
    opened.
    """
    archive = folder / ARCHIVE
    if not archive.is_file():
        return folder
    # Beside the inputs, which the platform owns and may have mounted to be read alone.
    target = folder.parent.parent / "unpacked" / folder.name
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(target, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BadInput(f"{archive} is damaged ({error}); copy the model again") from None
    return target


def frozen_set(folder: Path) -> tuple["PromotionSet", "PromotionPolicy"]:
    """The promotion set with what the ledger knew of it, and the terms of the comparison.

    Raises `MissingObject` or `BadInput` where that is not there.
    """
    from binsight.lifecycle.policy import PromotionPolicy
    from binsight.lifecycle.promotion_set import PromotionSet

    path = folder / FROZEN_FILE
    try:
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        opened = PromotionSet.open(folder, split=known["split"], where=known["where"], name=known["name"])
        frozen = replace(
            opened,
            frozen_sha256=known["sha256"],
            frozen_at=known["frozen_at"],
            shared_with=known["shared_with"],
        )
        return frozen, PromotionPolicy.of(known.get("terms", {}))
    except FileNotFoundError:
        raise MissingObject(
            f"{path} is not there, so that nobody knows when the set was frozen; push it: binsight retrain --on sagemaker"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} does not say what was frozen ({error}); push the promotion set again") from None


def _leave(path: Path, value: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    part.replace(path)
