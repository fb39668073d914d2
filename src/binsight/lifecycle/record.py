"""What a comparison leaves on disk, whole or not at all.

```
OUT/
├── index.html           the page, with a CSV beside every table and plot
├── decision.json        everything that was found, the terms, and the decision: the record that the ledger keeps too
└── predictions.parquet  photo, count, group, and what both bundles said of it; only where they were asked
```
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from binsight.dataset.manifest import LabelledPhoto
from binsight.decision.scores import Floats
from binsight.errors import BadInput, MissingExtra
from binsight.lifecycle.compare import Answers
from binsight.lifecycle.comparison import Comparison
from binsight.lifecycle.decide import PromotionDecision
from binsight.lifecycle.page import decision_page
from binsight.lifecycle.policy import PromotionPolicy
from binsight.storage.files import folder_written_whole

RECORD_NAME = "decision.json"
PREDICTIONS_NAME = "predictions.parquet"


def record_of(comparison: Comparison, decision: PromotionDecision, policy: PromotionPolicy) -> dict[str, Any]:
    """The record: a program that has it can decide again."""
    return {
        "format": 1,
        "comparison": comparison.to_json(),
        "policy": policy.model_dump(),
        "decision": decision.to_json(),
    }


def check_out(out: Path) -> None:
    """Raises `BadInput` where `out` holds something else than an earlier comparison, which would be lost."""
    if out.exists() and not out.is_dir():
        raise BadInput(f"{out} is a file; name a folder for the report")
    if out.is_dir() and any(out.iterdir()) and not (out / RECORD_NAME).is_file():
        raise BadInput(f"{out} holds other files than a comparison's; name a new or empty folder for the report")


def write_record(
    out: Path,
    comparison: Comparison,
    decision: PromotionDecision,
    policy: PromotionPolicy,
    *,
    photos: tuple[LabelledPhoto, ...],
    answers: Answers,
) -> Path:
    """Write everything into `out`, in place of an earlier comparison, and return the page's path.

    Raises `BadInput` as `check_out` does and `StorageFailure` where the disk fails.
    """
    check_out(out)
    with folder_written_whole(out) as folder:
        decision_page(comparison, decision, policy).write(folder)
        record = json.dumps(record_of(comparison, decision, policy), indent=1, allow_nan=False)
        (folder / RECORD_NAME).write_text(record + "\n", encoding="utf-8")
        if len(answers.champion_BK):
            _write_predictions(folder / PREDICTIONS_NAME, photos, answers)
    return out / "index.html"


def _write_predictions(path: Path, photos: tuple[LabelledPhoto, ...], answers: Answers) -> None:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra("keeping predictions", extra="data") from None
    columns: dict[str, Any] = {
        "photo": [photo.photo for photo in photos],
        "sha256": [photo.sha256 for photo in photos],
        "group": [photo.group for photo in photos],
        "count": [photo.count for photo in photos],
    }
    for name, probs_BK in (("champion", answers.champion_BK), ("challenger", answers.challenger_BK)):
        columns[f"{name}_count"] = probs_BK.argmax(axis=1)
        columns[f"{name}_probs"] = _rows(probs_BK)
    parquet.write_table(pa.table(columns), path, compression="zstd")


def _rows(probs_BK: Floats) -> list[Any]:
    return list(probs_BK.astype(np.float32))
