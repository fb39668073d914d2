"""What an evaluation leaves on disk, whole or not at all.

```
OUT/
├── index.html          the report, with a CSV beside every plot and table
├── metrics.json        every figure, its interval and the blind answers' beside it
├── metrics.csv         the same, one row a figure
├── predictions.csv     photo, count, group, p0 … pK
└── not_opened.csv      photo, reason; only where there are such photos
```
"""

import json
from pathlib import Path
from typing import Any

from binsight.decision.measures import ALL, Measured, Range
from binsight.errors import BadInput
from binsight.model.evaluate import Evaluation
from binsight.report.page import write_csv
from binsight.storage.files import folder_written_whole

METRICS_NAME = "metrics.json"


def check_out(out: Path) -> None:
    """Raises `BadInput` where `out` holds something else than an earlier evaluation, which would be lost."""
    if out.exists() and not out.is_dir():
        raise BadInput(f"{out} is a file; name a folder for the report")
    if out.is_dir() and any(out.iterdir()) and not (out / METRICS_NAME).is_file():
        raise BadInput(f"{out} holds other files than an evaluation's; name a new or empty folder for the report")


def write_evaluation(evaluation: Evaluation, out: Path) -> Path:
    """Write the report and the figures into `out`, in place of an earlier evaluation, and return the page's path.

    Raises `BadInput` as `check_out` does and `StorageFailure` where the disk fails.
    """
    from binsight.model.evaluation_page import evaluation_page

    check_out(out)
    page = evaluation_page(evaluation)
    with folder_written_whole(out) as folder:
        page.write(folder)
        metrics = json.dumps(as_json(evaluation), indent=1, allow_nan=False)
        (folder / METRICS_NAME).write_text(metrics + "\n", encoding="utf-8")
        write_csv(folder / "metrics.csv", metric_rows(evaluation))
        write_csv(folder / "predictions.csv", prediction_rows(evaluation))
        if evaluation.predictions.unreadable:
            not_opened = [{"photo": u.photo, "reason": u.reason} for u in evaluation.predictions.unreadable]
            write_csv(folder / "not_opened.csv", not_opened)
    return out / "index.html"


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """Everything that was measured, as `metrics.json` holds it."""
    selection, predictions = evaluation.selection, evaluation.predictions
    return {
        "model": evaluation.model,
        "tempered": evaluation.tempered,
        "dataset": {"folder": evaluation.dataset.folder.name, "sha256": evaluation.dataset.digest},
        "split": selection.split,
        "familiar": evaluation.familiar.as_json(),
        "where": {column: list(values) for column, values in selection.where.items()},
        "num_photos": len(predictions.photos),
        "num_groups": len(set(predictions.groups)),
        "num_counts": evaluation.num_counts,
        "not_opened": [u.photo for u in predictions.unreadable],
        "prior": {"from": selection.prior_from, "probs": evaluation.prior_K.tolist()},
        "ranges": ranges_json(evaluation.ranges),
        "by_count": [
            {"count": evaluation.count_name(count)} | measured.as_json()
            for count, measured in evaluation.by_count.items()
        ],
        "by": {
            column: {value: ranges_json(ranges) for value, ranges in values.items()}
            for column, values in evaluation.by.items()
        },
        "readability": evaluation.readability.as_json(),
        "verification": evaluation.verification.as_json(),
    }


def ranges_json(ranges: dict[Range, Measured]) -> list[dict[str, Any]]:
    """One object for each range: its name, the answers it admits, its figures."""
    return [
        {"range": within.name, "answers": within.answers} | measured.as_json()
        for within, measured in ranges.items()
    ]


def metric_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """One row a figure. `slice` is `all`, `count` or the column reported by, `value` the value it has there."""
    rows = [row for within, m in evaluation.ranges.items() for row in _rows("all", "", within, m)]
    for count, measured in evaluation.by_count.items():
        rows += _rows("count", evaluation.count_name(count), ALL, measured)
    for column, values in evaluation.by.items():
        for value, ranges in values.items():
            rows += [row for within, m in ranges.items() for row in _rows(column, value, within, m)]
    return rows


def _rows(slice_name: str, value: str, within: Range, measured: Measured) -> list[dict[str, Any]]:
    figures = measured.as_json()
    return [
        {
            "slice": slice_name,
            "value": value,
            "range": within.name,
            "answers": within.answers,
            "num_photos": measured.num_photos,
            "num_groups": measured.num_groups,
            "score": name,
            "figure": score["value"],
            **_ends("", score["interval"]),
            "majority": score["majority"],
            "prior": score["prior"],
            "best_constant": measured.best_constant_exact if name == "exact" else "",
            "ahead": score["ahead"],
            **_ends("ahead_", score["ahead_interval"]),
        }
        for name, score in figures["scores"].items()
    ]


def _ends(prefix: str, interval: dict[str, float] | None) -> dict[str, Any]:
    return {f"{prefix}{end}": interval[end] if interval else "" for end in ("low", "high")}


def prediction_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """One row a photo: what the record says and the whole estimate, to seven digits."""
    predictions = evaluation.predictions
    return [
        {"photo": photo.photo, "count": photo.count, "group": photo.group}
        | {f"p{n}": f"{p:.7g}" for n, p in enumerate(probs)}
        for photo, probs in zip(predictions.photos, predictions.probs_BK.tolist(), strict=True)
    ]
