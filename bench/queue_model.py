"""How long a queue may be, before those who join it wait too long: the queue alone, without a service.

    python bench/queue_model.py [--lanes 2] [--requests 60000]

Requests come at random moments, lanes take batches as `service/lanes.py` does (their share of what waits, up to a
limit), and a request is refused where the queue is full. Time is counted in what one lane takes for one photo, so that the
table holds for every model and machine on which a batch of two takes as long as two batches of one. Decision 15 rests
on it.
"""

import argparse
import heapq
import math
import random
from collections import deque

import numpy as np

BATCHES, LENGTHS = (1, 2, 8), (2, 4, 8, 10, 12, 16, 64)
CALM, RUSH = 0.7, 3.0
SPREAD = 0.15
"""Standard deviation of the time that a photo takes."""


def simulate(load: float, *, most_waiting: int, max_batch: int, lanes: int, num: int) -> tuple[float, float]:
    """p99 of those that are counted, from coming to answer, and the share of the others, at `load` times the capacity."""
    chance = random.Random(1)
    coming = np.cumsum([chance.expovariate(load * lanes) for _ in range(num)]).tolist()
    waiting: deque[float] = deque()
    working: list[tuple[float, list[float]]] = []
    took: list[float] = []
    num_refused = 0

    def begin(now: float) -> None:
        while len(working) < lanes and waiting:
            share = min(math.ceil(len(waiting) / lanes), max_batch)
            batch = [waiting.popleft() for _ in range(share)]
            heapq.heappush(working, (now + sum(max(0.5, chance.gauss(1, SPREAD)) for _ in batch), batch))

    def finish_until(now: float) -> None:
        while working and working[0][0] <= now:
            end, batch = heapq.heappop(working)
            took.extend(end - came for came in batch)
            begin(end)

    for now in coming:
        finish_until(now)
        if len(waiting) >= most_waiting:
            num_refused += 1
            continue
        waiting.append(now)
        begin(now)
    finish_until(math.inf)
    return float(np.percentile(took, 99)), num_refused / num


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lanes", type=int, default=2, help="lanes (default 2)")
    parser.add_argument("--requests", type=int, default=60_000, help="requests of each load (default 60000)")
    given = parser.parse_args()
    print(f"{'batch':>6} {'may wait':>8} {'p99 at 70%':>11} {'refused':>8} {'p99 at 300%':>12} {'ratio':>6}")
    for max_batch in BATCHES:
        for length in LENGTHS:
            shape = {"most_waiting": length, "max_batch": max_batch, "lanes": given.lanes, "num": given.requests}
            (calm, refused), (rush, _) = simulate(CALM, **shape), simulate(RUSH, **shape)
            print(f"{max_batch:>6} {length:>8} {calm:>11.1f} {refused:>8.2%} {rush:>12.1f} {rush / calm:>6.2f}")


if __name__ == "__main__":
    main()
