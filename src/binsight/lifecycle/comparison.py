"""What comparing two bundles found: facts alone, nothing decided. `to_json` is what the record has of it.

`challenger` minus `champion` is how every difference is meant.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from binsight.decision.paired import MeanDifference, Paired
from binsight.decision.resample import Interval
from binsight.decision.scores import Scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One of the two bundles. `trained_on` is the hash of the dataset that it says it was trained on, if it says so."""

    version: str
    name: str
    sha256: str
    num_bytes: int
    num_counts: int
    trained_on: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetFacts:
    """The promotion set as it was found, and as it was when it was frozen (`frozen_*`; empty where it never was).

    `sha256` is over the photos (their bytes' hashes), counts and chains. `look` is the number of this look at it: 0 where
    something stood against looking, None where the budget of looks is spent. `shared_with` is an earlier set that has more
    than half of its photos, if any.
    `changed` names the first photo whose bytes are not the dataset's any more; empty where all are.
    """

    name: str
    dataset_sha256: str
    split: str
    where: Mapping[str, tuple[str, ...]]
    sha256: str
    num_photos: int
    num_groups: int
    frozen_sha256: str = ""
    frozen_at: str = ""
    look: int | None = 0
    max_looks: int = 0
    shared_with: str = ""
    changed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """A training photo that the promotion set holds too; `kind` as leaks.py has them."""

    kind: str
    training: str
    promotion: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFacts:
    """The photos that the challenger learned from or was chosen by, as far as they are known.

    `missing` is a clause that says what is not known; empty where all is. `leaks` are the first found of `num_leaks`.
    """

    datasets: tuple[str, ...] = ()
    num_photos: int = 0
    missing: str = ""
    num_leaks: int = 0
    leaks: tuple[Leak, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One bundle on the promotion set.

    `coverage` is the share of right records that it verifies by its own certificate at the bound `alpha`, None without a
    certificate; `broken_bands` are the bands in which the set shows that certificate not to hold.
    """

    scores: Scores
    coverage: float | None
    broken_bands: tuple[str, ...]
    ms_per_photo: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Challenger minus champion in one score, with the 95% interval by chains; None of too few chains."""

    value: float
    interval: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """The difference in exact answers on a part of the set: `by` count, brightness or size."""

    by: str
    name: str
    exact: MeanDifference


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Both bundles on the same photos, in one run. `differences` are by the names of `decision.resample.SCORE_NAMES`.

    `alpha` is the bound at which records count as verified; the challenger takes `times_slower` the champion's time.
    """

    champion: Measured
    challenger: Measured
    exact: Paired
    differences: Mapping[str, Difference]
    slices: tuple[Slice, ...]
    alpha: float
    times_slower: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All that is known when it is decided. `figures` is None where a fact stood against asking the bundles at all.

    `compared_at` is UTC in ISO 8601; `code` the version of Binsight and its git hash.
    """

    compared_at: str
    code: Mapping[str, str]
    champion: Contender
    challenger: Contender
    promotion_set: SetFacts
    training: TrainingFacts
    figures: Figures | None

    def to_json(self) -> dict[str, Any]:
        """Everything, in plain values."""
        values: dict[str, Any] = plain(self)
        return values


def plain(value: Any) -> Any:
    """A frozen record as JSON takes it: tuples as lists."""
    return _listed(asdict(value))


def _listed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _listed(one) for name, one in value.items()}
    return [_listed(one) for one in value] if isinstance(value, tuple | list) else value
