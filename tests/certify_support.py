"""Small worlds for tests of certificates: photos by rule, in chains."""

import numpy as np


def twos(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Photos of two items, and estimates over 0 … 3+ that give one item the `scores`."""
    probs = np.zeros((len(scores), 4))
    probs[:, 1], probs[:, 2] = scores, 1 - scores
    return probs, np.full(len(scores), 2)


def poisson_world(num_photos: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Photos in chains of two, with estimates over 0 … 20+ that see small counts well and large ones badly."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.choice([1.0, 5.0], size=num_photos))
    seen = np.abs(counts + rng.normal(0, 0.15 + counts / 6))
    distance = np.abs(np.arange(21) - seen[:, None])
    weights = np.exp(-distance / (0.15 + counts[:, None] / 8))
    return weights / weights.sum(axis=1, keepdims=True), counts, [f"g{i // 2}" for i in range(num_photos)]
