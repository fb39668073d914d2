"""The page of a backtest: what would have been verified, missed and saved."""

from collections.abc import Sequence
from typing import Any

from binsight.audit.backtest import Backtest, BandOutcome, KnownBin
from binsight.audit.backtest_labour import ALL, NOT_VERIFIED, Effort
from binsight.audit.lines import VERIFIED
from binsight.audit.measures import Measure
from binsight.audit.plan import ABC, OURS, RANDOM
from binsight.decision.resample import Interval
from binsight.report import Page, plots

LEAD = (
    "Records of the past, judged by their photos as an audit would have judged them, against what people counted. All "
    "figures are of the bins that were counted; brackets hold 95% intervals."
)
BANDS = (
    "The certificate claims that of the records that are one off at most so many are verified. What was seen "
    "contradicts it where the whole interval lies above the claim. How many of the verified may be wrong by that "
    "claim depends on how many records are: it takes what the counts show. Missed are the units by which verified "
    "records are wrong."
)
LABOUR = (
    "The first three rows take the same labour: our order, the expectation over all orders, and ABC classes. Units of "
    "error found, how many for 100 counts, and how many times as many ours finds in the same time. Hours saved are "
    "those that the other way takes to find as many units as ours, less ours; what leaving the verified out saves; "
    "and, against counting all, all that our order does not count, nor find."
)
ORDERS = {OURS: "ours", RANDOM: "random", ABC: "ABC", NOT_VERIFIED: NOT_VERIFIED, ALL: ALL}


def backtest_page(found: Backtest, bins: Sequence[KnownBin], *, model: str, notes: Sequence[str]) -> Page:
    """The page and its tables; `bins.csv` has every bin that was counted."""
    page = Page("What auditing would have been worth", lead=LEAD)
    page.figures(
        {
            "records": f"{found.num_records:,}",
            "counted": f"{found.num_counted:,}",
            "would have been verified": f"{found.num_verified:,}",
            "of them wrong": percent(found.wrong_of_verified).partition(" ")[0],
            "units missed": f"{found.missed:,} of {found.units:,}",
        }
    )
    page.text(
        f"Judged with the model {model}. Wrong among those that would have been verified: "
        f"{percent(found.wrong_of_verified)}."
    )
    if notes:
        page.section("What to know before relying on it")
        for note in notes:
            page.text(f"{note[0].upper()}{note[1:].removesuffix('.')}{'' if note.endswith(':') else '.'}")
    page.section("What the certificate claims, and what was seen", BANDS)
    page.table("bands", [_band(one) for one in found.bands], caption="By band of recorded counts.")
    page.section("What labour finds", LABOUR)
    page.table(
        "labour", [_effort(one) for one in found.efforts], caption="Units of error found, and what they cost."
    )
    _add_curves(page, found.efforts)
    page.section("Suspects, and how accurate records are")
    measures = (found.precision, found.recall, *found.accuracy)
    page.table("measures", [_measure(one) for one in measures], caption="Each with the bins that it is of.")
    page.section("What was counted")
    rows = [
        {
            "verdict": one.verdict.replace("_", " "),
            "records": one.num,
            "counted": one.num_counted,
            "share": f"{one.num_counted / one.num:.1%}" if one.num else "",
        }
        for one in found.coverage
    ]
    page.table("coverage", rows, caption="Records by verdict, and how many of them people counted.")
    missed = [_bin(one) for one in sorted(bins, key=lambda one: -one.off) if one.verdict == VERIFIED and one.off]
    page.table(
        "missed",
        missed,
        most=50,
        columns=BIN_COLUMNS,
        caption="Verified, and wrong: what nobody would have counted.",
    )
    page.data("bins", [_bin(one) for one in bins], caption="Every bin that was counted:", columns=BIN_COLUMNS)
    return page


def _add_curves(page: Page, efforts: Sequence[Effort]) -> None:
    curves = {ORDERS[one.order]: one.curve for one in efforts if one.curve is not None}
    rows = [
        {"order": name, "hours": seconds / 3600, "units": units}
        for name, curve in curves.items()
        for seconds, units in zip(curve.seconds, curve.gain, strict=True)
    ]
    if rows:
        series = {name: ([s / 3600 for s in one.seconds], one.gain) for name, one in curves.items()}
        figure = plots.lines(series, xlabel="hours of labour", ylabel="units of error found")
        page.plot("found", figure, rows, caption="Units of error that people found, by hours of labour.")


def _band(one: BandOutcome) -> dict[str, Any]:
    return {
        "band": one.band,
        "records": one.num,
        "wrong": one.num_wrong,
        "one off": one.verified_of_one_off.n,
        "verified of these": percent(one.verified_of_one_off),
        "claim": f"≤ {one.claimed:.0%}",
        "is": {None: "too few to say", True: "not contradicted", False: "contradicted"}[one.agrees],
        "verified": one.verified,
        "wrong of these": percent(one.wrong_of_verified),
        "may be": "" if one.allowed is None else f"{one.allowed:.1%}",
        "missed": one.units_missed,
    }


def _effort(one: Effort) -> dict[str, Any]:
    return {
        "order": ORDERS[one.order],
        "counts": round(one.num_counts),
        "hours": round(one.seconds / 3600, 1),
        "units": round(one.units, 1),
        "of all": "" if one.share_of_units is None else f"{one.share_of_units:.1%}",
        "per 100 counts": _number(one.per_100, one.per_100_interval),
        "ours, times": _number(one.lift, one.lift_interval, 2),
        "hours saved": _hours(one.saved, one.saved_interval),
    }


def _measure(one: Measure) -> dict[str, Any]:
    return {"figure": one.name, "value": percent(one), "bins": one.n, "tolerance": one.tolerance}


BIN_COLUMNS = ("site", "bin_id", "expected", "counted", "verdict", "band", "expected_gain")


def _bin(one: KnownBin) -> dict[str, Any]:
    values = (one.site, one.bin_id, one.expected, one.counted, one.verdict, one.band, round(one.gain, 4))
    return dict(zip(BIN_COLUMNS, values, strict=True))


def percent(one: Measure) -> str:
    """A share and its interval, for a person."""
    if one.value is None:
        return "none"
    interval = "" if one.interval is None else f" ({one.interval.low:.1%}–{one.interval.high:.1%})"
    return f"{one.value:.1%}{interval}"


def _number(value: float | None, interval: Interval | None, digits: int = 1) -> str:
    if value is None:
        return ""
    between = "" if interval is None else f" ({interval.low:.{digits}f}–{interval.high:.{digits}f})"
    return f"{value:.{digits}f}{between}"


def _hours(seconds: float | None, interval: Interval | None) -> str:
    hours = None if interval is None else Interval(low=interval.low / 3600, high=interval.high / 3600)
    return _number(None if seconds is None else seconds / 3600, hours)
