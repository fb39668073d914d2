"""What the size of the items in a bin adds to its photo: a stock record often knows it, and a photo hardly shows it.

    python -m bench.item_sizes ../shared/abid/labels.csv [--audits 200]

From the records of `train` alone (metadata.tar.gz beside the labels): how counts fall where an item takes so much room, by
tenths of the mean volume of a bin's different items. That is joined with the photo's estimate, as

    p(n | photo, size) ∝ p(n | photo) · (p(n | size) / p(n))^weight

with the weight that has the least negative log-likelihood on `val`. How many different items there are, and how many of
each, is not used: it would give the record's number away, which is what is in question.
"""

import argparse
import csv
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from bench.audit import RATE, Auditor, simulate
from bench.audit_photos import Known, known_photos, shipped_certificate

from binsight.audit.plan import Labour
from binsight.decision.belief import RecordErrors

NUM_COUNTS, NUM_SIZES = 21, 10
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
SMOOTHING = 20.0
"""Bins that the shares of all counts add to those of one size, so that no count becomes impossible there."""


def volumes(tar: Path) -> dict[str, float]:
    """Photo id → mean volume of its different items in cubic inches, in logarithms; without those that do not say."""
    found = {}
    with tarfile.open(tar) as files:
        for member in files:
            if member.isfile() and member.name.endswith(".json"):
                data = files.extractfile(member)
                assert data is not None
                items = (json.load(data).get("BIN_FCSKU_DATA") or {}).values()
                logs = [volume for item in items if (volume := _log_volume(item)) is not None]
                if logs:
                    found[Path(member.name).stem] = float(np.mean(logs))
    return found


def _log_volume(item: Mapping[str, Mapping[str, float] | None]) -> float | None:
    sides = [(item.get(side) or {}).get("value") or 0.0 for side in ("length", "width", "height")]
    return float(np.log(sides).sum()) if min(sides) > 0 else None


class Sizes:
    """How counts fall by size, from (log volume, count) pairs."""

    def __init__(self, pairs: Sequence[tuple[float, int]]) -> None:
        logs, counts = np.array([one for one, _ in pairs]), np.array([min(n, NUM_COUNTS - 1) for _, n in pairs])
        self.edges = np.quantile(logs, np.linspace(0, 1, NUM_SIZES + 1)[1:-1])
        shares = np.bincount(counts, minlength=NUM_COUNTS) + 0.5
        shares = shares / shares.sum()
        size = np.searchsorted(self.edges, logs)
        of_size = np.stack([np.bincount(counts[size == k], minlength=NUM_COUNTS) for k in range(NUM_SIZES)])
        smoothed = of_size + SMOOTHING * shares
        self.ratios = smoothed / smoothed.sum(axis=1, keepdims=True) / shares
        self.ratios[:, 0] = 1  # an empty bin has no items to have a size

    def joined(self, photo: Known, volume: float | None, weight: float) -> Known:
        """The photo with an estimate that knows the size as well."""
        if volume is None:
            return photo
        probs = np.array(photo.estimate.probs) * self.ratios[np.searchsorted(self.edges, volume)] ** weight
        return replace(photo, estimate=replace(photo.estimate, probs=tuple((probs / probs.sum()).tolist())))


def figures(known: Sequence[Known]) -> tuple[float, float, float]:
    """Negative log-likelihood in nats, and the shares that are exact and within one; 20 stands for 20 and more."""
    probs = np.array([photo.estimate.probs for photo in known])
    counts = np.array([min(photo.count, NUM_COUNTS - 1) for photo in known])
    off = np.abs(probs.argmax(axis=1) - counts)
    likelihood = np.clip(probs[np.arange(len(known)), counts], 1e-6, 1)
    return float(-np.log(likelihood).mean()), float((off == 0).mean()), float((off <= 1).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--audits", type=int, default=200)
    args = parser.parse_args()
    sizes = volumes(args.labels.parent / "metadata.tar.gz")
    with args.labels.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train" and row["collection"] == "complete"]
    pairs = [
        (sizes[row["image_id"]], int(row["count"])) for row in rows if row["image_id"] in sizes and row["count"]
    ]
    by_size = Sizes(pairs)
    print(f"{len(pairs)} records of train say how large their items are")
    photos = {split: known_photos(args.labels, split, "complete", None) for split in ("val", "test")}

    def joined(split: str, weight: float) -> list[Known]:
        return [by_size.joined(photo, sizes.get(photo.photo), weight) for photo in photos[split]]

    best = min(WEIGHTS, key=lambda weight: figures(joined("val", weight))[0])
    print(f"the weight that is best on val: {best:g}")
    for split in photos:
        for weight in (0.0, best):
            known = joined(split, weight)
            nll, exact, within = figures(known)
            lifts = []
            for errors in (RecordErrors(rate=RATE), RecordErrors(rate=RATE, ratio=0.01, far=0)):
                auditor = Auditor(known, shipped_certificate(), errors, Labour())
                found = simulate(auditor, np.array([photo.count for photo in known]), "±1", args.audits)
                lifts.append(found["figures"]["lift, ours"][0])
            print(
                f"{split} ({len(known)}), weight {weight:g}: NLL {nll:.3f}, exact {exact:.1%}, within one {within:.1%}; "
                f"lift at ±1 {lifts[0]:.2f}, where errors are thought to be of one {lifts[1]:.2f}"
            )


if __name__ == "__main__":
    main()
