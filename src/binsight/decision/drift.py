"""Drift: whether the photos of now, and what the model says of them, are still like those it was calibrated on.

```
features of the last photos ─▶ one by one: size (PSI) and chance (KS) ─┐
                           └─▶ all at once: a classifier's AUC ────────┴─▶ drifting or not, in a sentence
```
Drift says that the measured accuracy, and a certificate, speak for other photos; not that answers got worse. How often
it is found where there is none, and how much it takes to be found, is measured by `bench/drift.py`.

Axes: B photos, F features.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binsight.decision.features import FEATURES
from binsight.decision.reference import LEAST_PHOTOS, Reference
from binsight.decision.two_sample import Floats, Separation, classifier_two_sample, kolmogorov_smirnov, psi

NUM_BINS = 10

PSI_LIMIT = 0.25
"""A feature drifts from this size on: "a significant shift" in the usual reading of the index (Siddiqi 2006)."""
KS_LIMIT = 0.001
"""… and where chance does it less often than this: with twelve features, one look in eighty at most."""
AUC_LIMIT = 0.65
"""All features together drift where the classifier does better than this …"""
AUC_Z = 2.33
"""… and the lower end of its interval (99%, one-sided) is above 0.5."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureDrift:
    """One feature now against the reference: `psi` less chance, `ks` the largest distance, `p_chance` its probability."""

    name: str
    psi: float
    ks: float
    p_chance: float
    median: float
    reference_median: float

    @property
    def is_drifting(self) -> bool:
        """Whether the difference is large, and no chance."""
        return self.psi >= PSI_LIMIT and self.p_chance < KS_LIMIT

    @property
    def sentence(self) -> str:
        """For a person."""
        if self.median == self.reference_median:
            return f"{FEATURES[self.name]}: spread otherwise around the same median, {self.median:.3g}"
        word = "higher" if self.median > self.reference_median else "lower"
        return f"{FEATURES[self.name]}: {word}, median {self.median:.3g} instead of {self.reference_median:.3g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """The last photos of one model against its reference."""

    num_photos: int
    features: tuple[FeatureDrift, ...]
    separation: Separation

    @property
    def drifting(self) -> tuple[FeatureDrift, ...]:
        """The features that drift, the largest difference first."""
        return tuple(sorted((f for f in self.features if f.is_drifting), key=lambda f: -f.psi))

    @property
    def is_separable(self) -> bool:
        """Whether the classifier tells the photos of now from the reference's."""
        return self.separation.auc >= AUC_LIMIT and self.separation.low > 0.5

    @property
    def is_drifting(self) -> bool:
        """Whether anything drifts."""
        return self.is_separable or bool(self.drifting)

    @property
    def sentence(self) -> str:
        """For a person: what is different, the three largest differences at most."""
        if not self.is_drifting:
            return f"the last {self.num_photos:,} photos are like those that the model was calibrated on"
        if not self.drifting:
            return (
                f"the last {self.num_photos:,} photos differ from those that the model was calibrated on in all features "
                f"together (AUC {self.separation.auc:.2f}), and in none by itself"
            )
        named = "; ".join(feature.sentence for feature in self.drifting[:3])
        return f"the last {self.num_photos:,} photos differ from those that the model was calibrated on: {named}"


def measure_drift(reference: Reference, rows_BF: npt.ArrayLike) -> Drift:
    """Compare photos, in the order they came and with features as `FEATURES`, with a reference.

    Raises `ValueError` for fewer than `LEAST_PHOTOS` rows, or rows of another width.
    """
    rows = reference.columns(rows_BF)
    if len(rows) < LEAST_PHOTOS:
        raise ValueError(f"drift takes at least {LEAST_PHOTOS} photos, but got {len(rows)}")
    features = tuple(
        _feature_drift(name, np.asarray(quantiles), values_B, reference.num_photos)
        for (name, quantiles), values_B in zip(reference.quantiles.items(), rows.T, strict=True)
    )
    separation = classifier_two_sample(
        _inputs(reference, rows), _inputs(reference, np.asarray(reference.rows)), z=AUC_Z
    )
    return Drift(num_photos=len(rows), features=features, separation=separation)


def _feature_drift(name: str, quantiles: Floats, values_B: Floats, num_reference: int) -> FeatureDrift:
    # One bin where deciles coincide: a feature with few values has as many bins as its deciles have values.
    edges = np.unique(quantiles[10:100:10])
    shares = np.diff(_reference_cumulative(quantiles, edges), prepend=0.0, append=1.0)
    counts = np.bincount(np.searchsorted(edges, values_B, side="left"), minlength=len(edges) + 1)
    points = np.unique(quantiles)
    cumulative = np.searchsorted(np.sort(values_B), points, side="right") / len(values_B)
    distance = float(np.abs(cumulative - _reference_cumulative(quantiles, points)).max())
    return FeatureDrift(
        name=name,
        psi=psi(shares, counts, num_reference=num_reference),
        ks=distance,
        p_chance=kolmogorov_smirnov(distance, len(values_B), num_reference),
        median=float(np.median(values_B)),
        reference_median=float(quantiles[50]),
    )


def _reference_cumulative(quantiles: Floats, points: Floats) -> Floats:
    """The share of the reference's values that is at most each point, to one in a hundred."""
    shares: Floats = np.maximum(np.searchsorted(quantiles, points, side="right") - 1, 0) / (len(quantiles) - 1)
    return shares


def _inputs(reference: Reference, rows_BF: Floats) -> Floats:
    """What the classifier is given, (B, 2F): each value's place among the reference's quantiles, from -1 to 1, and its
    square, so that a wider spread is seen as well as a shift. Places know neither units nor outliers."""
    places = []
    for quantiles, values_B in zip(reference.quantiles.values(), rows_BF.T, strict=True):
        below = np.searchsorted(np.asarray(quantiles), values_B, side="left")
        up_to = np.searchsorted(np.asarray(quantiles), values_B, side="right")
        places.append((below + up_to) / len(quantiles) - 1)
    places_BF = np.stack(places, axis=1)
    return np.concatenate([places_BF, np.square(places_BF)], axis=1)
