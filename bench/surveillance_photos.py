"""Certificates of real photos, watched: how often the shipped one is suspended, and how soon one that is too lenient.

    python -m bench.surveillance_photos DATASET_OR_LABELS [--split test] [--lives 200] [--audits 60] [--json]

A life is `--audits` audits of the same photos, whose counts are taken for true, against records of which 5% are made one
off anew each time (audit_worlds.py). Each draws `--share` of its verified records by lot, people count them, and the
evidence is looked at after each count. The shipped certificate holds on these photos, as `bench.audit` shows. "lenient"
are its thresholds for p(record), each multiplied by so much: these verify more wrong records than is certified.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np
from bench.audit import Auditor
from bench.audit_photos import known_photos, shipped_certificate
from bench.audit_worlds import RATE, corrupted

from binsight.audit.lines import VERIFIED
from binsight.audit.plan import Labour
from binsight.decision.belief import RecordErrors
from binsight.decision.certificate import Band, BandCertificate, Certificate
from binsight.decision.decide import ALPHA, band_for
from binsight.decision.lots import draw
from binsight.decision.surveillance import DELTA, DrawnCount, evidence, expected_wrong, implied_bound

LENIENT = (1.0, 0.7, 0.5, 0.3)


def lenient(certificate: Certificate, times: float) -> Certificate:
    """Its bands with lower thresholds, as if they were certified: nothing checks them here."""

    def lowered(band: BandCertificate) -> BandCertificate:
        return band if band.threshold is None else band.model_copy(update={"threshold": band.threshold * times})

    return certificate.model_copy(update={"bands": tuple(map(lowered, certificate.bands))})


def counts_of(
    auditor: Auditor, counts: np.ndarray, recorded: np.ndarray, key: bytes, audit: str, share: float
) -> tuple[list[DrawnCount], int, int, int]:
    """What people find in the drawn ones; how many were verified, and how many one off there were and of them verified."""
    lines = [auditor.line(i, q) for i, q in enumerate(recorded.tolist())]
    verified = [i for i, line in enumerate(lines) if line.word == VERIFIED]
    in_band = Counter(auditor.band(recorded[i]) for i in verified)
    histogram = Counter(line.record.expected for line in lines if line.p_record is not None)
    bounds = {name: _bound(auditor, name, histogram, num) for name, num in in_band.items() if name}
    drawn = draw(verified, key=key, audit=audit, share=share).values()
    found = [
        DrawnCount(band=name, bound=bounds[name], wrong=bool(recorded[i] != counts[i]))
        for i in drawn
        if (name := auditor.band(recorded[i]))
    ]
    wrong = [i for i in np.flatnonzero(recorded != counts).tolist() if auditor.band(recorded[i])]
    return found, len(verified), len(wrong), sum(lines[i].word == VERIFIED for i in wrong)


def _bound(auditor: Auditor, name: str, histogram: Counter[int], num: int) -> float:
    assert auditor.by.certificate is not None
    low = int(name.split("-")[0])
    band = band_for(auditor.by.certificate, low, ALPHA)
    assert band is not None
    return implied_bound(ALPHA, expected_wrong(histogram, Band(band.low, band.high), auditor.errors), num)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--lives", type=int, default=200)
    parser.add_argument("--audits", type=int, default=60)
    parser.add_argument("--share", type=float, default=0.5)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    known = known_photos(given.source, given.split, "complete", given.cache)
    counts = np.array([photo.count for photo in known])
    for times in LENIENT:
        auditor = Auditor(known, lenient(shipped_certificate(), times), RecordErrors(rate=RATE), Labour())
        rng, taken, num_counts = np.random.default_rng(1), [], []
        totals = np.zeros(3)
        for life in range(given.lives):
            found: list[DrawnCount] = []
            for audit in range(given.audits):
                recorded, name = corrupted(counts, "±1", rng), f"{life}-{audit}"
                drawn, *numbers = counts_of(auditor, counts, recorded, rng.bytes(32), name, given.share)
                found += drawn
                totals += numbers
            hits = evidence(found) >= 1 / DELTA
            taken.append(float(np.argmax(hits)) + 1 if hits.any() else float("inf"))
            num_counts.append(len(found))
        median = float(np.quantile(taken, 0.5, method="higher"))
        row = {
            "thresholds": times,
            "verified an audit": totals[0] / given.lives / given.audits,
            "verified of those one off": totals[2] / totals[1],
            "suspended": float(np.mean(np.isfinite(taken))),
            "median counts": median if np.isfinite(median) else None,
            "counts a life": float(np.mean(num_counts)),
        }
        print(
            json.dumps(row) if given.json else "  ".join(f"{name}: {value}" for name, value in row.items()),
            flush=True,
        )


if __name__ == "__main__":
    main()
