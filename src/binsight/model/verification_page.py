"""What could be verified, as a section of the report of an evaluation and as lines for a terminal."""

from collections.abc import Iterator, Sequence

from binsight.decision.certificate import BandCertificate, Certificate
from binsight.decision.confirm import BandCheck, Finding
from binsight.decision.resample import Interval
from binsight.model.verification import CHOSEN_BY_COUNT, Verification
from binsight.report import Page

ABOUT = (
    "A record could be verified by the photo alone where the probability of the recorded count reaches a threshold. "
    "A threshold is certified if, with {confidence:.0%} confidence, no more than a fixed share of the records that are "
    "off by one reach it too. That holds for each line by itself, and for photos like these. Lines whose counts "
    "overlap are alternatives."
)

METHOD = (
    "Wrong records are made from the counts, one more and one less, and belong to the band of the recorded number. One "
    "of each chain of bins is tried, because photos of one chain are not independent; the bound is the exact binomial "
    "one, tested from the strictest threshold down (Learn-then-Test). The blind score is the usual share of the "
    "recorded count, for every photo the same, through the same procedure. What is bounded is the share of wrong "
    "records that are verified, not the share of verified records that are wrong: the latter depends on how many "
    "records are wrong."
)


def verification_section(page: Page, found: Verification) -> None:
    """What could be verified by thresholds found on the measured photos, and what by those of the bundle."""
    page.section("What could be verified", ABOUT.format(confidence=1 - found.here.delta))
    for line in summary(found):
        page.text(line)
    page.table(
        "verifiable",
        [_row(band) for band in found.here.bands],
        caption=f"Thresholds certified on the measured photos themselves. {found.here.note}",
    )
    if found.checks:
        page.table(
            "bundle_certificate",
            [_check_row(check, found.finding(check)) for check in found.checks],
            caption="The thresholds of the bundle's certificate, which was made from other photos, on these. Intervals "
            "hold 95%. Confirmed: these photos by themselves show the bound to hold; broken: they show that it does "
            "not; not contradicted: they are too few for either, or cannot confirm it for the reason above; not tried: "
            "they hold no wrong record of the band.",
        )
    page.text(METHOD)


def summary(found: Verification) -> Iterator[str]:
    """A sentence for each bound, a warning where the photos' choice bends them, and one about the bundle's certificate."""
    for alpha in sorted({band.alpha for band in found.here.bands}, reverse=True):
        yield _summary(found.here, alpha)
    if found.by_count:
        yield CHOSEN_BY_COUNT
    if found.bundle is None:
        yield "The model has no certificate, so nothing may be verified by it."
    elif found.checks is None:
        yield found.doubt
    elif not found.checks:
        yield "The bundle's certificate allows nothing to be verified."
    else:
        yield _holds(found.checks, found.doubt)


def _holds(checks: Sequence[BandCheck], doubt: str) -> str:
    """Whether a bundle's certificate holds on the measured photos. What breaks it does so beyond doubt."""
    tried = [check for check in checks if check.finding != "not tried"]
    broken = [check.certified for check in tried if check.finding == "broken"]
    if not tried:
        return "These photos hold no wrong record on which the bundle's certificate could be tried."
    if broken:
        named = ", ".join(f"{_counts(band)} at {band.alpha:.0%}" for band in broken)
        return f"The bundle's certificate does not hold on these photos: {named}."
    held = (
        f"None of the {len(tried)} bounds of the bundle's certificate that could be tried on these photos is exceeded "
        "beyond chance."
    )
    return f"{held} {doubt}" if doubt else held


def _summary(certificate: Certificate, alpha: float) -> str:
    at_alpha = [band for band in certificate.bands if band.alpha == alpha]
    verified = [band for band in at_alpha if band in certificate.verifying]
    head = f"If at most {alpha:.0%} of the records that are off by one may be verified, then "
    if not verified:
        return f"{head}no right record can."
    shares = [f"{brief(band.coverage)} of those of {_counts(band)}" for band in verified]
    none = [_counts(band) for band in at_alpha if band not in verified]
    tail = f", and none of those of {', '.join(none)}" if none else ""
    return f"{head}right records can: {', '.join(shares)}{tail}."


def brief(share: float) -> str:
    """Whole per cent, but no 0% of what is not nothing."""
    return f"{share:.0%}" if share >= 0.01 else f"{share:.1%}"


def _counts(band: BandCertificate) -> str:
    return band.name.replace("-", "–")


def _row(band: BandCertificate) -> dict[str, object]:
    return {
        "recorded count": _counts(band),
        "wrong verified": f"at most {band.alpha:.0%}",
        "right records": band.num_right,
        "verified": _share(band.coverage, band.coverage_interval),
        "blind": _share(band.blind_coverage),
        "needed probability": band.threshold,
        "wrong records": band.num_wrong,
        "of them passed": band.num_accepted,
        "upper bound": _share(band.upper),
        "why nothing": band.reason,
    }


def _check_row(check: BandCheck, finding: Finding) -> dict[str, object]:
    band = check.certified
    return {
        "recorded count": _counts(band),
        "wrong verified": f"at most {band.alpha:.0%}",
        "needed probability": band.threshold,
        "wrong records": check.num_wrong,
        "of them passed": check.num_accepted,
        "wrong verified here": ""
        if check.false_accepts is None
        else _share(check.false_accepts, check.false_accepts_interval),
        "bound": finding,
        "right records": check.num_right,
        "verified here": _share(check.coverage, check.coverage_interval),
        "verified where certified": _share(band.coverage, band.coverage_interval),
    }


def _share(value: float, interval: Interval | None = None) -> str:
    """`41.2% (38.1–44.3)`; without brackets where there is no interval."""
    brackets = "" if interval is None else f" ({interval.low * 100:.1f}–{interval.high * 100:.1f})"
    return f"{value:.1%}{brackets}"
