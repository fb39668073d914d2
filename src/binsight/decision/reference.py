"""What the photos that a model was calibrated on look like, as a value and as JSON: quantiles, and some rows whole.

A bundle carries it, so that the service can say when its photos are no longer like these. Axes: B photos, F features.
"""

from collections.abc import Collection
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from binsight.decision.features import FEATURES
from binsight.errors import BadBundle, BadInput

Floats = npt.NDArray[np.float64]

NUM_QUANTILES = 101
MOST_ROWS = 500
"""Rows kept whole: about 35 kB, and as many as a comparison usually has photos on its other side."""
LEAST_PHOTOS = 100
DIGITS = 4
"""Significant digits kept of each number: no difference that matters is in the fifth."""

Quantiles = Annotated[tuple[float, ...], Field(min_length=NUM_QUANTILES, max_length=NUM_QUANTILES)]


class Reference(BaseModel):
    """The photos that drift is measured against."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal[1] = 1
    dataset_sha256: str = Field(description="The dataset that the photos are from.")
    split: str = Field(description="Their split.")
    num_photos: int = Field(ge=LEAST_PHOTOS)
    quantiles: dict[str, Quantiles] = Field(
        min_length=1, description="By feature its quantiles at 0, 1, … 100%, of all photos."
    )
    rows: tuple[tuple[float, ...], ...] = Field(
        min_length=LEAST_PHOTOS,
        max_length=MOST_ROWS,
        description="Some photos' features, in the order of `quantiles`.",
    )

    @model_validator(mode="after")
    def _holds_together(self) -> "Reference":
        if unknown := set(self.quantiles) - set(FEATURES):
            raise ValueError(f"the features must be among {', '.join(FEATURES)}, but one is {min(unknown)}")
        for name, quantiles in self.quantiles.items():
            if list(quantiles) != sorted(quantiles):
                raise ValueError(f"the quantiles of {name} must rise")
        if any(len(row) != len(self.quantiles) for row in self.rows):
            raise ValueError(f"every row must have {len(self.quantiles)} numbers, one for each feature")
        return self

    def as_text(self) -> str:
        """As `read_reference` takes it: the text of a file."""
        return self.model_dump_json() + "\n"

    def only(self, names: Collection[str]) -> "Reference | None":
        """The reference of these features alone; None where it has none of them."""
        places = [place for place, name in enumerate(self.quantiles) if name in names]
        if not places:
            return None
        return self.model_copy(
            update={
                "quantiles": {name: values for name, values in self.quantiles.items() if name in names},
                "rows": tuple(tuple(row[place] for place in places) for row in self.rows),
            }
        )

    def columns(self, rows_BF: npt.ArrayLike) -> Floats:
        """The columns of rows in the order of `FEATURES` that this reference has, in its own order, rounded as it is.

        Raises `ValueError` for another shape.
        """
        rows = np.asarray(rows_BF, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != len(FEATURES):
            raise ValueError(f"features must have shape (B, {len(FEATURES)}), but got {rows.shape}")
        return _rounded(rows[:, [list(FEATURES).index(name) for name in self.quantiles]])


def make_reference(rows_BF: npt.ArrayLike, *, dataset_sha256: str, split: str) -> Reference:
    """The reference of photos whose features are given in the order of `FEATURES`.

    Raises `BadInput` where they are fewer than `LEAST_PHOTOS`.
    """
    rows = np.asarray(rows_BF, dtype=np.float64).reshape(-1, len(FEATURES))
    if len(rows) < LEAST_PHOTOS:
        raise BadInput(
            f"a reference needs at least {LEAST_PHOTOS} photos, but there are {len(rows)}; choose more of them"
        )
    rows = _rounded(rows)
    levels = np.quantile(rows, np.linspace(0, 1, NUM_QUANTILES), axis=0, method="inverted_cdf")
    kept = np.linspace(0, len(rows) - 1, min(MOST_ROWS, len(rows))).round().astype(int)
    return Reference(
        dataset_sha256=dataset_sha256,
        split=split,
        num_photos=len(rows),
        quantiles={name: tuple(levels[:, place].tolist()) for place, name in enumerate(FEATURES)},
        rows=tuple(map(tuple, rows[kept].tolist())),
    )


def read_reference(data: bytes | str, *, name: str) -> Reference:
    """Read and check a reference. Raises `BadBundle`, naming `name` and the field that is wrong."""
    try:
        return Reference.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, (name, *first["loc"])))
        said = first["msg"].removeprefix("Value error, ")
        raise BadBundle(f"{where}: {said[:1].lower()}{said[1:]}; export the bundle again") from None


def _rounded(values: Floats) -> Floats:
    """To `DIGITS` significant digits. Photos of one camera share values: rounded on one side only, they would differ."""
    scale = 10.0 ** (DIGITS - 1 - np.floor(np.log10(np.maximum(np.abs(values), 1e-9))))
    rounded: Floats = np.round(values * scale) / scale
    return rounded
