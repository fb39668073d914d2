"""Counts by eye of a hundred val photos against the records, beside a model's for the same photos.

    python -m bench.by_eye DATASET [--model BUNDLE] [--json]

`docs/blind-count.csv` holds what was counted by looking at each photo once, in sheets of six, without its record or
any estimate: drawn at random (NumPy's generator, seed 100) from the val photos whose counts come as they do in ABID.
A large vision-language model of general purpose looked, no person. A record says what the stock system believes, so that
this is no test of who looked, but of what can be seen.
"""

import argparse
import csv
import json
from pathlib import Path

import numpy as np

from binsight.counting import Counter, default_bundle
from binsight.dataset.manifest import Dataset
from binsight.decision.measures import fold
from binsight.decision.resample import score_intervals
from binsight.decision.scores import photo_scores

COUNTED = Path(__file__).parents[1] / "docs" / "blind-count.csv"
MOST = 10
"""Counts from here on are one, as in the published figures of absolute error."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Counts by eye beside a model's.")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with COUNTED.open(newline="") as file:
        counted = {row["photo"]: int(row["counted"]) for row in csv.DictReader(file)}
    dataset = Dataset.open(args.dataset)
    photos = [photo for photo in dataset.select("val") if photo.photo in counted]
    assert len(photos) == len(counted), f"{dataset.folder} lacks some of the photos that were counted"
    records = np.array([photo.count for photo in photos])
    groups = [photo.group for photo in photos]
    probs = Counter.load(args.model or default_bundle()).probs([dataset.read_bytes(photo) for photo in photos])
    said = np.eye(probs.shape[1])[[min(counted[photo.photo], probs.shape[1] - 1) for photo in photos]]
    chosen = {"all counts": records >= 0, "counts 1–5": (records >= 1) & (records <= 5)}
    rows = [
        {"photos": name, "n": int(kept.sum()), "who": who}
        | figures(
            fold(answers[kept], MOST),
            np.minimum(records[kept], MOST),
            [g for g, k in zip(groups, kept, strict=True) if k],
        )
        for name, kept in chosen.items()
        for who, answers in (("by eye", said), ("model", probs))
    ]
    for row in rows:
        print(json.dumps(row) if args.json else "  ".join(f"{key} {value}" for key, value in row.items()))


def figures(probs_BK: np.ndarray, counts_B: np.ndarray, groups: list[str]) -> dict[str, str]:
    """Exact, within one and mean absolute error, with 95% intervals resampled by chain of bins."""
    photos = photo_scores(probs_BK, counts_B)
    intervals = score_intervals(photos, groups)
    return {
        name: f"{getattr(photos, column).mean():.3f} ({intervals[key].low:.3f}–{intervals[key].high:.3f})"
        for name, column, key in (
            ("exact", "exact", "exact"),
            ("within_one", "within_one", "within_one"),
            ("mae", "absolute_error", "mae"),
        )
    }


if __name__ == "__main__":
    main()
