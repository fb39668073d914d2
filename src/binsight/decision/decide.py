"""The one step in which an estimate and a record meet. Pure: the photo alone makes the estimate.

```
photo flagged ──────────────────────────────────────────▶ not assessable
units off, by belief × cost of one > cost of a count ────▶ suspect
expected's band certified, p(expected) ≥ its threshold ──▶ verified
otherwise ───────────────────────────────────────────────▶ not assessable
```
A record is suspect where it pays to count the bin: its expected error (belief.py) costs more than the count does. What
is certified rests on p(expected) alone, and neither prior nor costs can have more verified than without them.
"""

from dataclasses import dataclass

from binsight.decision.belief import Belief, RecordErrors, believe
from binsight.decision.certificate import BandCertificate, Certificate
from binsight.records import CountEstimate, Verdict

ALPHA = 0.05
"""At most this share of the records that are off by one may be verified."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What a person's count of one bin costs, and what a wrong unit in the stock does, in one unit of your own.

    By default seconds of labour: 45 for a count (walking not in it), and five minutes for each unit that stays wrong.
    Raises `ValueError` where one is not above 0.
    """

    count: float = 45
    wrong_unit: float = 300

    def __post_init__(self) -> None:
        for name, value in (("count", self.count), ("wrong_unit", self.wrong_unit)):
            if not 0 < value < float("inf"):
                raise ValueError(f"`0 < {name}` must hold, but got {name}={value}")


USUAL_ERRORS, USUAL_COSTS = RecordErrors(), Costs()


def decide(
    estimate: CountEstimate,
    expected: int,
    certificate: Certificate | None = None,
    *,
    alpha: float = ALPHA,
    errors: RecordErrors = USUAL_ERRORS,
    costs: Costs = USUAL_COSTS,
    withheld: str = "",
) -> Verdict:
    """The verdict on a record that says `expected` items, given the estimate from the photo.

    Nothing is verified without a certificate, nor where the photo has a quality flag. `withheld` says why there is none,
    where there would be one. Raises `ValueError` for a negative `expected`.
    """
    belief = believe(estimate.probs, expected, errors)
    p_record = estimate.probs[min(expected, len(estimate.probs) - 1)]
    none = withheld or f"no certificate is in force for records of {expected}"
    word, reason = _decided(estimate, expected, certificate, alpha, p_record, belief, costs, none)
    return Verdict(
        expected=expected,
        word=word,
        p_record=p_record,
        p_right=belief.p_right,
        units_off=belief.units_off,
        reason=reason,
    )


def _decided(
    estimate: CountEstimate,
    expected: int,
    certificate: Certificate | None,
    alpha: float,
    p_record: float,
    belief: Belief,
    costs: Costs,
    none: str,
) -> tuple[str, str]:
    if estimate.flags:
        return "not_assessable", f"the photo is {' and '.join(estimate.flags)}"
    if belief.units_off * costs.wrong_unit > costs.count:
        low, high = estimate.interval
        many = " or more" if high == len(estimate.probs) - 1 else ""
        return "suspect", f"the photo shows {low} to {high}{many} items"
    band = band_for(certificate, expected, alpha) if certificate else None
    if band is None or band.threshold is None:
        return "not_assessable", none
    if p_record < band.threshold:
        return "not_assessable", f"p(record) {p_record:.2f} is below the certified {band.threshold:.2f}"
    return "verified", f"at most {alpha:.0%} of wrong records of {band.name} are verified"


def band_for(certificate: Certificate, expected: int, alpha: float) -> BandCertificate | None:
    """The narrowest band at `alpha` that holds `expected`, the lower one of two; None where there is none.

    Bands that overlap are alternatives, of which one must be fixed beforehand: this rule fixes it, whether that band
    has a threshold or not.
    """
    bands = [band for band in certificate.bands if band.low <= expected <= band.high and band.alpha == alpha]
    return min(bands, key=lambda band: (band.high - band.low, band.low), default=None)
