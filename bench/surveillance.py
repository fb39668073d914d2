"""How often a certificate that holds is suspended by counts that keep coming, and how soon one that fails is.

    python -m bench.surveillance [--runs 1000] [--counts 20000] [--json]

Each run is one certificate's life: verified records that were drawn by lot are counted one after another, and the
evidence is looked at after each. At 1 times the bound the certificate just holds, which is the hardest case for false
alarms: `--counts` counts, far more than a site makes in 90 days. Above it, how many counts it takes. "one of 3 bands" has
three bands of equal share, of which one alone fails. Beside it stands what looking daily at Clopper and Pearson's
interval for a fixed number would do: its lower end above the bound after any count.

Goal: at most 5% of certificates that hold are ever suspended.
"""

import argparse
import json
import sys
from collections.abc import Iterator

import numpy as np

from binsight.decision.certify import upper_bounds
from binsight.decision.surveillance import DELTA, DrawnCount, evidence

BOUNDS, TIMES = (0.005, 0.01, 0.02, 0.04), (1, 2, 3, 5, 10)
GOAL = 0.05


def counts(bounds: list[float], rates: list[float], num: int, rng: np.random.Generator) -> list[DrawnCount]:
    band = rng.integers(len(bounds), size=num)
    wrong = rng.random(num) < np.array(rates)[band]
    return [
        DrawnCount(band=str(b), bound=bounds[b], wrong=bool(w)) for b, w in zip(band.tolist(), wrong, strict=True)
    ]


def first(hits: np.ndarray) -> float:
    """After how many counts it is so for the first time; infinite where never."""
    return float(np.argmax(hits)) + 1 if hits.any() else float("inf")


def daily_interval(wrong: np.ndarray, bound: float, every: int = 10) -> bool:
    """Whether the interval's lower end ever lies above the bound, looked at after every tenth count."""
    num = np.arange(every, len(wrong) + 1, every)
    num_wrong = np.cumsum(wrong)[num - 1]
    lower = [
        1 - float(upper_bounds(np.array([n - k]), int(n), delta=0.025)[0])
        for n, k in zip(num, num_wrong, strict=True)
    ]
    return bool((np.array(lower) > bound).any())


def rows(runs: int, most: int) -> Iterator[dict]:
    for bound in BOUNDS:
        for times in TIMES:
            num = most if times == 1 else 8000
            rng = np.random.default_rng([int(bound * 1000), times])
            worlds = [counts([bound], [bound * times], num, rng) for _ in range(runs)]
            taken = [first(evidence(world) >= 1 / DELTA) for world in worlds]
            row = {"world": "one band", "bound": bound, "times": times} | _row(taken)
            if times == 1:
                looked = [daily_interval(np.array([c.wrong for c in w]), bound) for w in worlds[: min(runs, 200)]]
                row["a fixed interval, looked at again and again"] = float(np.mean(looked))
            yield row
    for times in TIMES:
        rng = np.random.default_rng([3, times])
        bounds = [0.005, 0.01, 0.04]
        rates = [0.005, 0.01 * times, 0.04]
        num = most if times == 1 else 8000
        taken = [first(evidence(counts(bounds, rates, num, rng)) >= 1 / DELTA) for _ in range(runs)]
        yield {"world": "one of 3 bands", "bound": 0.01, "times": times} | _row(taken)


def _row(taken: list[float]) -> dict:
    finite = np.quantile(taken, [0.5, 0.9], method="higher")
    return {
        "suspended": float(np.mean(np.isfinite(taken))),
        "median counts": finite[0] if np.isfinite(finite[0]) else None,
        "90% within": finite[1] if np.isfinite(finite[1]) else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--counts", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    worst = 0.0
    for row in rows(given.runs, given.counts):
        if row["times"] == 1:
            worst = max(worst, row["suspended"])
        print(
            json.dumps(row) if given.json else "  ".join(f"{name}: {value}" for name, value in row.items()),
            flush=True,
        )
    print(f"false alarms: {worst:.1%} at most; the goal is {GOAL:.0%} at most", file=sys.stderr)
    sys.exit(worst > GOAL)


if __name__ == "__main__":
    main()
