"""Audits of real photos against records that are wrong on purpose: what is verified, what is missed, what labour finds.

    python -m bench.audit DATASET_OR_LABELS [--split test] [--ratio 0.25] [--far 0] [--item 3] [--audits 200] [--json]
    python -m bench.audit DATASET_OR_LABELS --split val --scores

The counts of a dataset, or of a labels.csv with `bin-images` beside it, are taken for true; of the records 5% are made off
by one, off by two, or swapped with the neighbour's (audit_worlds.py), `--audits` times. Every audit goes through the same
functions as `binsight audit`: verdicts under the shipped certificate, bins ranked by expected units corrected per second.

Photos of ABID name no aisle, and neighbouring ids stand in for neighbouring bins. So all bins are in one aisle; beside it
stands the lift where each 40 in order are an aisle that takes 60 s to enter. Nor have they classes: "ABC" is what the order
comes down to without classes and values, the fullest bins first. `--scores` compares ways to rank (audit_scores.py).

Goal: at the first tenth of labour 2.5 times the units of error that a random order finds, where records are one off.
"""

import argparse
import json
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from bench.audit_photos import Known, known_photos, shipped_certificate
from bench.audit_scores import compare_scores
from bench.audit_worlds import RATE, WORLDS, corrupted

from binsight.audit.batches import chosen
from binsight.audit.effort import by_chance, by_class, in_order
from binsight.audit.lines import SUSPECT, VERIFIED, AuditLine, Judging, judged
from binsight.audit.measures import suspects
from binsight.audit.misplaced import pair_neighbours, shift_of
from binsight.audit.plan import Labour
from binsight.decision.belief import RecordErrors
from binsight.decision.certificate import Certificate, binomial_tail
from binsight.decision.decide import ALPHA, band_for
from binsight.decision.resample import share_interval
from binsight.records import StockRecord

SHARE, GOAL = 0.1, 2.5
AISLE_BINS = 40
Figures = dict[str, float]


class Auditor:
    """Judges records of the same photos again and again; each photo and number recorded once."""

    def __init__(
        self, known: Sequence[Known], certificate: Certificate, errors: RecordErrors, labour: Labour
    ) -> None:
        self.known, self.errors, self.labour = known, errors, labour
        self.by = Judging(certificate=certificate, errors=errors)
        self._lines: dict[tuple[int, int], AuditLine] = {}

    def line(self, i: int, recorded: int) -> AuditLine:
        if (i, recorded) not in self._lines:
            record = StockRecord(bin_id=self.known[i].photo, expected=recorded, row=i + 2, aisle="all")
            self._lines[i, recorded] = judged(record, self.known[i].estimate, self.by)
        return self._lines[i, recorded]

    def band(self, recorded: int) -> str | None:
        """The band of the certificate that a record falls into, if anything is verified there."""
        assert self.by.certificate is not None
        band = band_for(self.by.certificate, recorded, self.by.alpha)
        return band.name if band is not None and band.threshold is not None else None


def audit(auditor: Auditor, counts: np.ndarray, recorded: np.ndarray) -> tuple[Figures, dict[str, tuple[int, int]]]:
    """The figures of one audit, and by band how many wrong records there were and how many of them were verified."""
    lines = [auditor.line(i, q) for i, q in enumerate(recorded.tolist())]
    off = np.abs(recorded - counts)
    is_wrong, is_suspect, is_verified = (
        off > 0,
        np.array([line.word == SUSPECT for line in lines]),
        np.array([line.word == VERIFIED for line in lines]),
    )
    precision, recall = suspects(is_suspect, is_wrong)
    figures: Figures = {
        "verified": float(is_verified.mean()),
        "verified, of wrong": float(is_verified[is_wrong].mean()) if is_wrong.any() else math.nan,
        "wrong, of verified": float(is_wrong[is_verified].mean()) if is_verified.any() else math.nan,
        "suspects": float(is_suspect.mean()),
        "precision of suspects": math.nan if precision.value is None else precision.value,
        "recall of suspects": math.nan if recall.value is None else recall.value,
        "units per 100 counts, suspects": 100 * float(off[is_suspect].mean()) if is_suspect.any() else math.nan,
    }
    figures |= labour_figures(auditor, lines, off.tolist(), recorded.tolist())
    found = pair_neighbours(("", "all"), [(str(i), shift_of(line, auditor.errors)) for i, line in enumerate(lines)])
    firsts = {min(int(one.short), int(one.over)) for one in found}
    mirrored = {
        i
        for i in range(len(counts) - 1)
        if is_wrong[i] and recorded[i] - counts[i] == counts[i + 1] - recorded[i + 1]
    }
    figures |= {
        "misplaced, pairs": len(mirrored),
        "misplaced, found": len(firsts),
        "misplaced, rightly found": len(firsts & mirrored),
    }
    by_band: dict[str, tuple[int, int]] = {}
    for i in np.flatnonzero(is_wrong).tolist():
        if (band := auditor.band(lines[i].record.expected)) is not None:
            wrong, passed = by_band.get(band, (0, 0))
            by_band[band] = wrong + 1, passed + int(is_verified[i])
    return figures, by_band


def labour_figures(auditor: Auditor, lines: list[AuditLine], off: list[int], recorded: list[int]) -> Figures:
    """Units of error found at the first tenth of labour, by our order and by others."""
    gains = [0.0 if line.word == VERIFIED else line.units_off for line in lines]
    seconds = [auditor.labour.of(q) for q in recorded]
    places, aisles, walk = [0] * len(off), [i // AISLE_BINS for i in range(len(off))], auditor.labour.aisle
    orders = {
        "ours": chosen(gains, seconds, places, 0).bins,
        "abc": by_class([None] * len(off), [None] * len(off), recorded),
        "blind": chosen([1.0] * len(off), seconds, places, 0).bins,
    }
    tenth, total = SHARE * sum(seconds), sum(off)
    figures: Figures = {"units per 100 counts, random": 100 * total / len(off)}
    for name, order in orders.items():
        units = in_order(order, off, seconds, places, 0, num_points=len(off)).at(tenth)
        num_counts = in_order(order, [1.0] * len(off), seconds, places, 0, num_points=len(off)).at(tenth)
        figures |= {
            f"lift, {name}": units / (SHARE * total),
            f"units per 100 counts, {name} at a tenth": 100 * units / num_counts,
        }
    chance = by_chance(off, seconds, aisles, walk, num_points=len(off))
    ranked = in_order(chosen(gains, seconds, aisles, walk).bins, off, seconds, aisles, walk, num_points=len(off))
    tenth = SHARE * chance.seconds[-1]
    figures["lift, ours, in aisles"] = ranked.at(tenth) / chance.at(tenth)
    return figures


def certified_by_chain(auditor: Auditor, known: Sequence[Known]) -> list[dict]:
    """Of all records that are off by one, by band: the share verified, with an interval by chain."""
    hits, chains = defaultdict(list), defaultdict(list)
    for i, photo in enumerate(known):
        for q in {photo.count - 1, photo.count + 1} - {-1}:
            if (band := auditor.band(q)) is not None:
                hits[band].append(auditor.line(i, q).word == VERIFIED)
                chains[band].append(photo.chain)
    rows = []
    for band in sorted(hits, key=lambda name: int(name.split("-")[0])):
        interval = share_interval(np.array(hits[band]), chains[band])
        rows.append(
            {
                "band": band,
                "wrong": len(hits[band]),
                "verified": float(np.mean(hits[band])),
                "interval": [interval.low, interval.high] if interval else None,
            }
        )
    return rows


def exceedances(by_band: list[dict[str, tuple[int, int]]], rates: dict[str, float]) -> dict[str, dict[str, float]]:
    """By band, and for all together: in how many audits more than alpha of the wrong records were verified, how many
    would be by chance were each verified with probability alpha, and with the rate of all such records."""
    by_band = [
        audit | {"all": (sum(w for w, _ in audit.values()), sum(v for _, v in audit.values()))} for audit in by_band
    ]
    found = {}
    for band in sorted({name for audit in by_band for name in audit}):
        cases = [audit[band] for audit in by_band if band in audit]
        found[band] = {
            "wrong": sum(wrong for wrong, _ in cases),
            "verified": sum(passed for _, passed in cases) / sum(wrong for wrong, _ in cases),
            "exceed": sum(passed > ALPHA * wrong for wrong, passed in cases),
            "by chance at alpha": sum(_exceeds(wrong, ALPHA) for wrong, _ in cases),
        }
        if band in rates:
            found[band]["by chance at its rate"] = sum(_exceeds(wrong, rates[band]) for wrong, _ in cases)
    return found


def _exceeds(num: int, rate: float) -> float:
    return 1 - binomial_tail(math.floor(ALPHA * num), num, rate)


def simulate(auditor: Auditor, counts: np.ndarray, world: str, num_audits: int) -> dict:
    """So many audits of one world: the mean of each figure, and where 95% of single audits lie, of those that have it."""
    rng = np.random.default_rng([20261126, WORLDS.index(world)])
    audits = [audit(auditor, counts, corrupted(counts, world, rng)) for _ in range(num_audits)]
    figures = {
        name: [float(np.nanmean(values)), *np.nanquantile(values, [0.025, 0.975]).tolist()]
        for name in audits[0][0]
        for values in [[figures[name] for figures, _ in audits]]
    }
    rates = {row["band"]: row["verified"] for row in certified_by_chain(auditor, auditor.known)}
    by_band = exceedances([bands for _, bands in audits], rates if world == "±1" else {})
    return {"world": world, "figures": figures, "bands": by_band}


def show(result: dict) -> None:
    print(f"\n{result['world']}: mean (95% of single audits)")
    for name, (mean, low, high) in result["figures"].items():
        print(f"  {name:42} {mean:8.3f} ({low:.3f} to {high:.3f})")
    for band, row in result["bands"].items():
        print(f"  band {band:5}", ", ".join(f"{name} {value:.4g}" for name, value in row.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="DATASET_OR_LABELS")
    parser.add_argument("--split", default="test")
    parser.add_argument("--collection", default="complete")
    parser.add_argument("--ratio", type=float, default=RecordErrors().ratio, help="how records are thought to err")
    parser.add_argument(
        "--far", type=float, default=RecordErrors().far, help="share of them thought to err by any number"
    )
    parser.add_argument("--count", type=float, default=Labour().count, help="seconds for any bin")
    parser.add_argument("--item", type=float, default=Labour().item, help="seconds more for each item expected")
    parser.add_argument("--audits", type=int, default=200)
    parser.add_argument("--scores", action="store_true")
    parser.add_argument("--estimates", type=Path, help="where estimates are kept (default: the user's cache)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    known = known_photos(args.source, args.split, args.collection, args.estimates)
    labour = Labour(count=args.count, item=args.item)
    if args.scores:
        return compare_scores(known, labour, SHARE, as_json=args.json)
    errors = RecordErrors(rate=RATE, ratio=args.ratio, far=args.far)
    auditor = Auditor(known, shipped_certificate(), errors, labour)
    counts = np.array([photo.count for photo in known])
    certified = certified_by_chain(auditor, known)
    results = [simulate(auditor, counts, world, args.audits) for world in WORLDS]
    reached = results[0]["figures"]["lift, ours"][0]
    if args.json:
        print(json.dumps({"photos": len(known), "certified": certified, "worlds": results}, ensure_ascii=False))
    else:
        words = Counter(auditor.line(i, photo.count).word for i, photo in enumerate(known))
        print(f"{len(known)} photos; right records: {dict(words)}; all records off by one, by band:")
        for row in certified:
            print("  ", row)
        for result in results:
            show(result)
        print(f"\nlift at the first tenth of labour, ±1: {reached:.2f}, goal {GOAL}")
    sys.exit(reached < GOAL)


if __name__ == "__main__":
    main()
