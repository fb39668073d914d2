"""Stock records that err in a known way: what a record says, given what its bin is known to hold."""

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
WORLDS = ("±1", "±2", "swaps")
RATE = 0.05


def corrupted(counts: Ints, world: str, rng: np.random.Generator, *, rate: float = RATE) -> Ints:
    """The records of bins that stand beside each other in this order, `rate` of them wrong.

    `±1` and `±2`: drawn bins are that many off, either way equally likely, and upwards where it would be below 0. `swaps`:
    of drawn neighbours that hold different numbers each has the other's record; a bin is in one swap at most.
    """
    recorded, num_wrong = counts.copy(), round(rate * len(counts))
    if world == "swaps":
        for i in swapped(counts, num_wrong // 2, rng):
            recorded[[i, i + 1]] = counts[[i + 1, i]]
        return recorded
    off = int(world[1:])
    wrong = rng.choice(len(counts), num_wrong, replace=False)
    recorded[wrong] = off_by(counts[wrong], off * rng.choice([-1, 1], num_wrong))
    return recorded


def off_by(counts: Ints, off: Ints) -> Ints:
    """The counts with errors, upwards where they would be below 0."""
    recorded: Ints = np.where(counts + off < 0, counts - off, counts + off)
    return recorded


def swapped(counts: Ints, num_pairs: int, rng: np.random.Generator) -> list[int]:
    """The first bin of each drawn pair of neighbours that hold different numbers."""
    taken, found = np.zeros(len(counts), dtype=bool), []
    for i in rng.permutation(len(counts) - 1).tolist():
        if len(found) == num_pairs:
            break
        if counts[i] != counts[i + 1] and not taken[i] and not taken[i + 1]:
            taken[[i, i + 1]] = True
            found.append(i)
    return found
