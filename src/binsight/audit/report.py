"""The page of an audit: how many records stand, which do not, and what was left out."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from binsight.audit.lines import NOT_ASSESSABLE, STALE, SUSPECT, VERIFIED, AuditLine, Judging
from binsight.audit.plan import Plan
from binsight.audit.tally import Tally
from binsight.counting.counter import PhotoBytes
from binsight.errors import BinsightError
from binsight.imaging.thumbnail import thumbnail
from binsight.report import EstimateCard, Page, plots

if TYPE_CHECKING:
    from binsight.decision.certificate import BandCertificate

THUMBNAIL = 400
NUM_CARDS = 24

LEAD = (
    "Each record is compared with what its photo shows. A photo shows how many items there are, and not which: a swap of "
    "equal numbers cannot be seen in it."
)
CERTIFIED = (
    "A record is verified only under a certificate for records of its size. The bound is on the records that are wrong by "
    "one: of those, at most so many are verified, at 95% confidence, as long as photos and bins are like those that the "
    "certificate was made from. How many of the verified records are wrong depends on how many records are."
)
CERTIFICATES = "binsight audit certificates shows where it stands, and how it comes into force again."
TASKS = (
    "Bins that are not verified, in the order that gains most for the labour; tasks.csv has them in walking order. "
    "Expected gains are those of the model's own beliefs, for the three orders alike."
)
SUSPECTS = (
    "Counting these bins is worth more than it costs, by the photo and by how often records err: the expected error, "
    "largest first. The triangle marks the record."
)


class Thumbnails:
    """Small copies of photos by name, where photos are at hand."""

    def __init__(self, read: Callable[[str], PhotoBytes] | None) -> None:
        self._read = read

    def of(self, name: str) -> bytes | None:
        """The copy; None where there are no photos, or where this one went away since."""
        if self._read is None:
            return None
        with suppress(BinsightError):
            photo = self._read(name)
            return thumbnail(photo() if callable(photo) else photo, name=name, side=THUMBNAIL)
        return None


def audit_page(
    tally: Tally,
    plan: Plan,
    *,
    by_value: bool,
    model: str,
    summary: Mapping[str, Any],
    thumbnails: Thumbnails,
    told: Sequence[str] = (),
) -> Page:
    """The page; its tables are written beside it by `write_outcome`. `told` is what there is to say of the certificate, and
    stands before all else."""
    page = Page("Stock records against photos", lead=LEAD)
    if told:
        page.section("The certificate", f"{told[0][0].upper()}{told[0][1:]}. {CERTIFICATES}")
        for sentence in told[1:]:
            page.text(sentence.strip())
    page.figures(
        {
            "records": f"{tally.num_records:,}",
            "verified": f"{tally.share(VERIFIED):.1%}",
            "suspect": f"{tally.share(SUSPECT):.1%}",
            "not assessable": f"{tally.share(NOT_ASSESSABLE):.1%}",
            "stale": f"{tally.share(STALE):.1%}",
        }
    )
    page.text(
        f"Counted with the model {model}. By photos and records together, {tally.units_off:,.0f} units are off."
    )
    page.section("Bins to look at first", SUSPECTS)
    if cards := [_card(line, thumbnails) for line in tally.worst[:NUM_CARDS]]:
        page.estimates(cards)
    page.table(
        "worst", [exception_row(line) for line in tally.worst], most=50, columns=COLUMNS, caption=_how_many(tally)
    )
    _add_plan(page, plan, by_value=by_value)
    page.section("What stands behind the verified", CERTIFIED)
    page.table("certificate", _bands(tally.by), caption="Bands of recorded counts, and what is certified in them.")
    if tally.reasons:
        page.section("What could not be assessed")
        page.table(
            "not_assessable", [{"why": why, "records": number} for why, number in tally.reasons.most_common()]
        )
    if summary["num_problems"]:
        page.text(f"{summary['num_problems']:,} problems with rows of the file are named in problems.csv.")
    if summary["num_unused_photos"]:
        page.text(f"{summary['num_unused_photos']:,} photos belong to no record; unused.txt names them.")
    return page


def _add_plan(page: Page, plan: Plan, *, by_value: bool) -> None:
    """What counting gains, against other ways of choosing bins."""
    page.section("Bins to count", TASKS)
    page.figures(
        {
            "bins": f"{len(plan.tasks):,}",
            "hours of labour": f"{plan.seconds / 3600:.1f}",
            f"{'value' if by_value else 'units'} corrected, as expected": f"{plan.gain:,.1f}",
        }
    )
    rows = [
        {"order": name, "hours": seconds / 3600, "gain": gain}
        for name, curve in plan.curves.items()
        for seconds, gain in zip(curve.seconds, curve.gain, strict=True)
    ]
    if len(plan.tasks):
        series = {name: ([s / 3600 for s in one.seconds], one.gain) for name, one in plan.curves.items()}
        figure = plots.lines(series, xlabel="hours of labour", ylabel="expected gain")
        page.plot("gain", figure, rows, caption="Expected gain by hours of labour.")
    if plan.misplaced:
        found = [{"short": one.short, "over": one.over, "units": one.units} for one in plan.misplaced]
        page.table("misplaced", found, caption="Neighbours of which one lacks what the other has too much.")


COLUMNS = ("bin_id", "expected", "count", "interval", "p_right", "units_off", "verdict", "reason", "photo")


def exception_row(line: AuditLine) -> dict[str, Any]:
    seen = line.estimate
    return dict(
        zip(
            COLUMNS,
            (
                line.record.bin_id,
                line.record.expected,
                "" if seen is None else seen.count,
                "" if seen is None else "{}–{}".format(*seen.interval),
                round(line.p_right, 4),
                round(line.units_off, 3),
                line.exception or line.word,
                line.reason,
                "" if seen is None else seen.photo,
            ),
            strict=True,
        )
    )


def _card(line: AuditLine, thumbnails: Thumbnails) -> EstimateCard:
    return EstimateCard(
        photo=f"bin {line.record.bin_id}",
        jpeg=None if line.estimate is None else thumbnails.of(line.estimate.photo),
        estimate=line.estimate,
        error="" if line.estimate else line.reason,
        known=line.record.expected,
    )


def _bands(by: Judging) -> list[dict[str, Any]]:
    if by.certificate is None:
        return [{"band": "none", "verified from": f"nothing: {by.withheld or 'no certificate is in force'}"}]
    return [_band(band) for band in by.certificate.bands if band.alpha == by.alpha]


def _band(band: "BandCertificate") -> dict[str, Any]:
    return {
        "band": band.name,
        "verified from": band.reason or f"p(record) ≥ {band.threshold:g}",
        "wrong records tried": band.num_wrong,
        "of them verified": band.num_accepted if band.threshold else 0,
        "upper bound": f"{band.upper:.1%}" if band.threshold else "",
        "right records verified": f"{band.coverage:.1%}",
    }


def _how_many(tally: Tally) -> str:
    all_of_them = tally.words[SUSPECT] + tally.exceptions.total()
    return f"{len(tally.worst):,} of {all_of_them:,} suspects and exceptions."
