"""What the photos of an audit looked like, for comparison with those that a certificate was made from.

A fixed number of them is kept, drawn evenly while they pass, so that memory does not grow with an audit.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from binsight.counting.counter import Seen
from binsight.decision.drift import Drift, measure_drift
from binsight.decision.features import ESTIMATE_FEATURES, FEATURES, estimate_features_of, features_of
from binsight.decision.reference import LEAST_PHOTOS, Reference, make_reference
from binsight.decision.resample import SEED
from binsight.records import CountEstimate

MOST = 1000
_UNKNOWN = (0.0,) * (len(FEATURES) - len(ESTIMATE_FEATURES))

Row = tuple[float, ...]


@dataclass(slots=True)
class SeenPhotos:
    """Features of at most `MOST` photos, in the order in which they came; of photos that were counted elsewhere only what
    their estimates say."""

    num: int = 0
    has_photos: bool = True
    _rows: list[tuple[int, Row]] = field(default_factory=list)
    _random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(SEED))

    def note(self, seen: Seen, estimate: CountEstimate) -> None:
        """A photo that was counted now."""
        self._add(lambda: features_of(seen.quality, seen.num_bytes, estimate))

    def note_estimate(self, estimate: CountEstimate) -> None:
        """A photo that was counted elsewhere."""
        self.has_photos = False
        self._add(lambda: (*_UNKNOWN, *estimate_features_of(estimate)))

    def _add(self, row: Callable[[], Row]) -> None:
        """Reservoir sampling (Vitter 1985, algorithm R); the row is worked out only where it is kept."""
        self.num += 1
        if len(self._rows) < MOST:
            self._rows.append((self.num, row()))
        elif (place := int(self._random.integers(self.num))) < MOST:
            self._rows[place] = self.num, row()

    def rows(self) -> list[Row]:
        """In their order, since photos that came one after another may be of one bin."""
        return [row for _, row in sorted(self._rows)]

    def reference(self, *, dataset_sha256: str, split: str) -> Reference | None:
        """What others are compared with; None where these are too few to say."""
        if self.num < LEAST_PHOTOS:
            return None
        reference = make_reference(np.array(self.rows()), dataset_sha256=dataset_sha256, split=split)
        return reference if self.has_photos else reference.only(ESTIMATE_FEATURES)

    def drift_from(self, reference: Reference | None) -> Drift | str:
        """How these differ from the reference's, or why that cannot be said."""
        known = reference if self.has_photos or reference is None else reference.only(ESTIMATE_FEATURES)
        if known is None:
            return "the certificate carries nothing to compare photos with; make it again: binsight audit certify"
        if self.num < LEAST_PHOTOS:
            return f"{self.num} photos were counted; drift is told from {LEAST_PHOTOS} on"
        return measure_drift(known, np.array(self.rows()))


def drift_json(drift: Drift | str) -> dict[str, Any]:
    """What is kept of a comparison."""
    if isinstance(drift, str):
        return {"state": "not told", "sentence": drift}
    return {
        "state": "drifting" if drift.is_drifting else "usual",
        "sentence": drift.sentence,
        "num_photos": drift.num_photos,
        "auc": round(drift.separation.auc, 4),
        "features": {one.name: round(one.psi, 4) for one in drift.features},
    }
