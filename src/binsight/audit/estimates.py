"""Estimates that were made before an audit: lines of `binsight count --json`, and what a service kept."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from binsight.errors import BadInput
from binsight.records import CountEstimate, CountFailure


def read_estimates(path: Path, *, num_counts: int) -> Iterator[CountEstimate | CountFailure]:
    """The lines of `binsight count --json`. Raises `BadInput` naming the line that is none, or that another model made:
    one of other than `num_counts` probabilities, for which no certificate speaks."""
    try:
        with path.open(encoding="utf-8-sig") as lines:  # a BOM comes from Windows
            for number, line in enumerate(lines, 1):
                try:
                    fields = json.loads(line)
                    result = estimate_from(str(fields["photo"]), fields)
                except (ValueError, KeyError, TypeError, RecursionError) as error:
                    raise BadInput(
                        f"{path}, line {number}: must be a line of binsight count --json, but is not ({error!r})"
                    ) from None
                if isinstance(result, CountEstimate) and len(result.probs) != num_counts:
                    raise BadInput(
                        f"{path}, line {number}: must have {num_counts} probabilities as the model has, but has "
                        f"{len(result.probs)}; count the photos with this model"
                    )
                yield result
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read ({error}); give what binsight count --json printed") from None


def estimate_from(name: str, fields: Mapping[str, Any]) -> CountEstimate | CountFailure:
    """What a count line's fields say of a photo. Raises `ValueError`, `KeyError` or `TypeError` where they are none."""
    if "error" in fields:
        return CountFailure(photo=name, error=str(fields["error"]))
    probs, label, flags = fields["probs"], fields.get("bin_label"), fields.get("flags", ())
    if not isinstance(probs, list) or len(probs) < 2 or not all(0 <= p <= 1 for p in probs):
        raise ValueError("probs must be two probabilities or more")
    if abs(sum(probs) - 1) > 0.01:
        raise ValueError("probs must add up to 1")
    if not isinstance(flags, list | tuple):
        raise TypeError("flags must be a list")
    return CountEstimate(
        photo=name,
        probs=tuple(map(float, probs)),
        bin_label=None if label is None else str(label),
        flags=tuple(map(str, flags)),
    )
