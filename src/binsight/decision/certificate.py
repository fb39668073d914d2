"""A certificate as a value and as JSON: which records may be verified by a model, and on what evidence.

For a band of recorded counts it states: of the records there that are off by exactly one, at most the share
`alpha` get p(recorded count | photo) ≥ `threshold`, with confidence 1 - `delta`. How that is found, and what is
assumed, stands in `certify.py`. Reading one needs no SciPy, so that it can be read wherever photos are counted.
"""

import json
import math
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from binsight.decision.reference import Reference
from binsight.decision.resample import Interval
from binsight.errors import BadCertificate

UPPER_TOLERANCE = 1e-6
"""How far a recorded upper bound may be from the one that its numbers give: SciPy's inverse is much closer."""

Share = Annotated[float, Field(ge=0, le=1)]
Level = Annotated[float, Field(gt=0, lt=1)]
Number = Annotated[int, Field(ge=0)]


class Band(NamedTuple):
    """Recorded counts from `low` to `high`, both included."""

    low: int
    high: int


def band_name(low: int, high: int) -> str:
    """`3-5`, or `2` where it is one count."""
    return str(low) if low == high else f"{low}-{high}"


class BandCertificate(BaseModel):
    """What is certified for one band of recorded counts at one bound, or why nothing is."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    low: Number = Field(description="The band's lowest recorded count.")
    high: Number = Field(description="The band's highest recorded count, included.")
    alpha: Level = Field(description="At most this share of the records that are off by one is verified.")
    threshold: Level | None = Field(description="Verified is p(recorded count) ≥ threshold; null: nothing is.")
    num_wrong: Number = Field(description="Wrong records that were tried, one a chain of bins.")
    num_accepted: Number = Field(description="How many of these reach the threshold (null: the strictest one).")
    upper: Share = Field(description="Clopper-Pearson bound on the share accepted, at confidence 1 - delta.")
    num_right: Number = Field(description="Photos whose own count lies in the band.")
    coverage: Share = Field(description="Share of these right records that would be verified.")
    coverage_interval: Interval | None = Field(
        description="95% at this threshold, resampled by chain; null: too few chains."
    )
    blind_coverage: Share = Field(description="The same share for a score that never looks at the photo.")
    reason: str | None = Field(description="Why nothing is certified; null where something is.")

    @property
    def name(self) -> str:
        """The band's name, `3-5`."""
        return band_name(self.low, self.high)

    @model_validator(mode="after")
    def _holds_together(self) -> "BandCertificate":
        where = f"band {self.name} at {self.alpha:g}"
        if self.low > self.high:
            raise ValueError(f"{where}: `low <= high` must hold")
        if self.num_accepted > self.num_wrong:
            raise ValueError(
                f"{where}: at most all wrong records can be accepted, but {self.num_accepted} of {self.num_wrong} are"
            )
        if (self.threshold is None) != (self.reason is not None):
            raise ValueError(f"{where}: either a threshold or the reason why there is none must be given")
        if self.threshold is None and self.coverage > 0:
            raise ValueError(f"{where}: nothing is verified without a threshold, but coverage is {self.coverage:g}")
        return self


class Certificate(BaseModel):
    """All bands of one model, certified on one set of photos.

    The confidence holds for every band and bound by itself, not for all of them together. Bands that overlap are
    alternatives: fix beforehand which one is used for a count.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    format: Literal[1] = 1
    error_model: Literal["off_by_one"] = "off_by_one"
    num_counts: int = Field(ge=2, description="K: the last of the model's counts stands for K-1 or more.")
    delta: Level = Field(description="1 - delta is the confidence of every band and bound by itself.")
    seed: Number = Field(description="Draws which wrong record stands for a chain.")
    dataset_sha256: str = Field(description="The dataset that the photos are from; empty where it has no name.")
    split: str = Field(description="Their split.")
    num_photos: Number
    num_groups: Number = Field(description="Chains of bins among these photos.")
    note: str = Field(description="What to know before relying on it.")
    model: str = Field(
        "", description="NAME:VERSION that it is for; empty in a bundle, where it lies beside its model."
    )
    made_at: str = Field("", description="When, in UTC, where it was made apart from a bundle.")
    reference: Reference | None = Field(
        None,
        description="What the photos looked like, where it was made apart from a bundle; a bundle has its own file.",
    )
    bands: tuple[BandCertificate, ...]

    @property
    def certified(self) -> tuple[BandCertificate, ...]:
        """The bands and bounds that have a threshold."""
        return tuple(band for band in self.bands if band.threshold is not None)

    @property
    def verifying(self) -> tuple[BandCertificate, ...]:
        """Those under which any right record is verified: a threshold that nothing reaches is of no use."""
        return tuple(band for band in self.certified if band.coverage > 0)

    def as_json(self) -> dict[str, Any]:
        """Everything, as `read_certificate` takes it."""
        return self.model_dump(mode="json", exclude={"reference"} if self.reference is None else None)

    def as_text(self) -> str:
        """`as_json` as the text of a file."""
        return json.dumps(self.as_json(), indent=1, allow_nan=False) + "\n"

    @model_validator(mode="after")
    def _numbers_carry_it(self) -> "Certificate":
        """The bound is worked out again from the wrong records tried and accepted."""
        seen = set()
        for band in self.bands:
            where = f"band {band.name} at {band.alpha:g}"
            if (band.name, band.alpha) in seen:
                raise ValueError(f"{where} must stand there once")
            seen.add((band.name, band.alpha))
            if band.high > self.num_counts - 2:
                raise ValueError(
                    f"{where} must end at {self.num_counts - 2} or before, because the last count of "
                    f"{self.num_counts} stands for many"
                )
            at_upper = binomial_tail(band.num_accepted, band.num_wrong, band.upper)
            right_upper = abs(at_upper - self.delta) <= UPPER_TOLERANCE
            if band.num_accepted == band.num_wrong:
                right_upper = band.upper == 1  # all or none of none accepted bounds nothing
            if not right_upper:
                raise ValueError(
                    f"{where}: {band.num_accepted} of {band.num_wrong} wrong records accepted do not give the upper "
                    f"bound {band.upper:g}"
                )
            if band.threshold is not None and band.upper > band.alpha:
                raise ValueError(
                    f"{where}: a threshold needs an upper bound of at most {band.alpha:g}, but it is {band.upper:g}"
                )
        return self


def binomial_tail(num_accepted: int, num_cases: int, rate: float) -> float:
    """P(at most `num_accepted` of `num_cases` are accepted) if each is with probability `rate`."""
    if rate <= 0 or num_accepted >= num_cases:
        return 1.0
    if rate >= 1:
        return 0.0
    # In logarithms: the binomial coefficients of some thousand cases are beyond what a float holds.
    logs = (
        math.lgamma(num_cases + 1)
        - math.lgamma(i + 1)
        - math.lgamma(num_cases - i + 1)
        + i * math.log(rate)
        + (num_cases - i) * math.log1p(-rate)
        for i in range(num_accepted + 1)
    )
    return min(1.0, math.fsum(map(math.exp, logs)))


def read_certificate(data: bytes | str, *, name: str) -> Certificate:
    """Read and check a certificate. Raises `BadCertificate`, naming `name` and the field that is wrong.

    A bound that its own numbers do not carry is refused. That the numbers are those that were found, only the
    checksum of the bundle that holds them can say.
    """
    try:
        return Certificate.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        said = first["msg"].removeprefix("Value error, ")
        where = f"{name}: {field}" if field else name
        raise BadCertificate(
            f"{where}: {said[:1].lower()}{said[1:]}; verify nothing by it, and export the bundle again"
        ) from None
