"""The one step in which an estimate and a record meet. Pure: the photo alone makes the estimate.

```
expected's band certified, p(expected) ≥ its threshold ─▶ verified
photo flagged ────────────────────────────────────────▶ not assessable
expected outside of the central 90% of the estimate ───▶ suspect
otherwise ─────────────────────────────────────────────▶ not assessable
```
"""

from binsight.decision.certificate import BandCertificate, Certificate
from binsight.records import CountEstimate, Verdict

ALPHA = 0.05
"""At most this share of the records that are off by one may be verified."""


def decide(
    estimate: CountEstimate, expected: int, certificate: Certificate | None = None, *, alpha: float = ALPHA
) -> Verdict:
    """The verdict on a record that says `expected` items, given the estimate from the photo.

    Nothing is verified without a certificate, nor where the photo has a quality flag. Raises `ValueError` for a
    negative `expected`.
    """
    if expected < 0:
        raise ValueError(f"`expected >= 0` must hold, but got expected={expected}")
    last = len(estimate.probs) - 1
    p_record = estimate.probs[min(expected, last)]
    word, reason = _decided(estimate, expected, certificate, alpha, p_record)
    return Verdict(expected=expected, word=word, p_record=p_record, reason=reason)


def _decided(
    estimate: CountEstimate, expected: int, certificate: Certificate | None, alpha: float, p_record: float
) -> tuple[str, str]:
    if estimate.flags:
        return "not_assessable", f"the photo is {' and '.join(estimate.flags)}"
    low, high = estimate.interval
    if not low <= min(expected, len(estimate.probs) - 1) <= high:
        return "suspect", f"the photo shows {low} to {high} items"
    band = band_for(certificate, expected, alpha) if certificate else None
    if band is None or band.threshold is None:
        return "not_assessable", f"no certificate is in force for records of {expected}"
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
