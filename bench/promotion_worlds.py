"""Simulated promotion sets and pairs of models, for `bench/promotions.py`.

A set has chains of photos as ABID has: half of the chains are one photo, a few are twenty. A model sees each count with an
error whose spread grows with the count; part of the error is the photo's own and the same for every model (what cannot be
seen), part is the chain's, part is the model's in that chain, part the model's in that photo.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from binsight.decision.certificate import Certificate
from binsight.decision.certify import certify
from binsight.decision.measures import count_prior
from binsight.lifecycle.figures import Asked, Photos

NUM_COUNTS = 21
CHAIN_SIZES = {1: 0.48, 2: 0.27, 3: 0.10, 4: 0.06, 6: 0.05, 10: 0.03, 20: 0.01}
OWN = {20: 0.0825, 25: 0.15, 29: 0.225}
"""The share of the error's variance that is the model's own, by the photos in a hundred on which just one of two models is
then right, as measured. It is the model's in a chain for two fifths, and the rest of the error is the chain's for seven
seventeenths."""
SPREAD = 0.62
"""Times the root of the count: 39.5% of answers are exact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Photos, and the parts of the error that all models share (one unit of spread); `own` is the share of the rest."""

    own: float
    photos: Photos
    chain_B: np.ndarray
    shared_B: np.ndarray


def draw_world(rng: np.random.Generator, num_photos: int, *, own: float = OWN[25], copies: int = 0) -> World:
    """A promotion set. With `copies`, every chain is so many copies of one photo, on which a model errs alike."""
    if copies:
        sizes = np.full(num_photos // copies, copies)
    else:
        sizes = rng.choice([*CHAIN_SIZES], p=[*CHAIN_SIZES.values()], size=num_photos)
        sizes = sizes[: int(np.searchsorted(sizes.cumsum(), num_photos)) + 1]
    chain_B = np.repeat(np.arange(len(sizes)), sizes)[:num_photos]
    base_G = np.minimum(rng.negative_binomial(2.2, 0.33, size=len(sizes)), 40)
    step_B = np.zeros(len(chain_B), dtype=np.int64) if copies else rng.integers(-1, 2, size=len(chain_B))
    counts_B = np.maximum(0, base_G[chain_B] + step_B)
    photo_B = rng.normal(size=len(chain_B))
    if copies:
        photo_B = rng.normal(size=len(sizes))[chain_B]
    chain = rng.normal(size=len(sizes))[chain_B]
    photos = Photos(
        counts_B=counts_B,
        groups=[str(number) for number in chain_B],
        brightness_B=rng.normal(117, 20, size=len(chain_B)),
        side_B=rng.choice([224, 400], p=[0.6, 0.4], size=len(chain_B)),
    )
    shared_B = np.sqrt((1 - own) * 10 / 17) * photo_B + np.sqrt((1 - own) * 7 / 17) * chain
    return World(own=own, photos=photos, chain_B=chain_B, shared_B=shared_B)


def answers(rng: np.random.Generator, world: World, *, spread: float = SPREAD, copies: int = 0) -> np.ndarray:
    """What one model says of the set, (B, K): less `spread` is a better model."""
    num_chains = int(world.chain_B.max()) + 1
    own_B = np.sqrt(0.4 * world.own) * rng.normal(size=num_chains)[world.chain_B]
    in_photo_B = rng.normal(size=len(world.chain_B))
    if copies:
        in_photo_B = rng.normal(size=num_chains)[world.chain_B]
    error_B = world.shared_B + own_B + np.sqrt(0.6 * world.own) * in_photo_B
    seen_B = world.photos.counts_B + spread * np.sqrt(world.photos.counts_B + 0.15) * error_B
    width_B = spread * np.sqrt(np.maximum(seen_B, 0) + 0.15)
    edges = np.arange(NUM_COUNTS - 1) + 0.5
    below_BK = norm.cdf((edges[None] - seen_B[:, None]) / width_B[:, None])
    probs_BK = np.diff(below_BK, axis=1, prepend=0.0, append=1.0)
    return np.maximum(probs_BK, 0) / np.maximum(probs_BK, 0).sum(axis=1, keepdims=True)


def certificate_for(rng: np.random.Generator, *, spread: float) -> Certificate:
    """As an export makes one, on 1,800 photos of another world."""
    world = draw_world(rng, 1800)
    counts_B = world.photos.counts_B
    probs_BK = answers(rng, world, spread=spread)
    return certify(probs_BK, counts_B, world.photos.groups, count_prior(counts_B, NUM_COUNTS))


def asked(probs_BK: np.ndarray, certificate: Certificate) -> Asked:
    """A bundle that took ten milliseconds for a photo."""
    return Asked(probs_BK=probs_BK, certificate=certificate, ms_per_photo=10.0)


def exact_share(spread: float, *, num_photos: int = 400_000) -> float:
    """The share of exact answers of a model with that spread, on many photos."""
    rng = np.random.default_rng(99)
    world = draw_world(rng, num_photos)
    probs_BK = answers(rng, world, spread=spread)
    return float((probs_BK.argmax(axis=1) == np.minimum(world.photos.counts_B, NUM_COUNTS - 1)).mean())


def better_spread(points: float) -> float:
    """The spread of a model that answers so many points more exactly."""
    wanted = exact_share(SPREAD) + points / 100
    low, high = 0.3, SPREAD
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if exact_share(middle) > wanted else (low, middle)
    return (low + high) / 2
