"""The report of an evaluation: first what a manager wants to know, then the evidence."""

from collections.abc import Mapping

from binsight.decision.curves import risk_coverage
from binsight.decision.measures import Measured, Range
from binsight.decision.resample import Interval
from binsight.model import evaluation_plots as plots
from binsight.model.evaluate import UNTEMPERED, Evaluation
from binsight.model.evaluation_examples import examples_section
from binsight.model.readability_page import readability_section
from binsight.model.verification_page import verification_section
from binsight.report import Page

SURENESS_MARGIN = 0.02
"""Stated and actual sureness closer than this are called equal: a thousand photos tell no finer."""

PERCENT_SCORES = ("exact", "within_one", "ece")
HEADINGS = {
    "exact": "exact",
    "within_one": "within ±1",
    "mae": "MAE",
    "rmse": "RMSE",
    "mae_of_median": "MAE of the median",
    "rmse_of_mean": "RMSE of the mean",
    "rps": "RPS",
    "nll": "NLL",
    "ece": "ECE",
}


def evaluation_page(evaluation: Evaluation) -> Page:
    """The whole report, ready to be written."""
    page = Page(f"How well {evaluation.model} counts", lead=_lead(evaluation))
    _headline(page, evaluation)
    _ranges(page, evaluation)
    _by_count(page, evaluation)
    _sureness(page, evaluation)
    readability_section(page, evaluation.readability)
    verification_section(page, evaluation.verification)
    for column, values in evaluation.by.items():
        _by_column(page, evaluation, column, values)
    examples_section(page, evaluation)
    _not_opened(page, evaluation)
    _method(page, evaluation)
    return page


def _lead(evaluation: Evaluation) -> str:
    predictions, selection = evaluation.predictions, evaluation.selection
    return (
        f"{len(predictions.photos):,} photos in {len(set(predictions.groups)):,} chains of bins, "
        f"from {evaluation.dataset.folder.name} ({selection.text}). {evaluation.familiar.sentence}"
    )


def headline_range(evaluation: Evaluation) -> Range:
    """The narrowest range that holds every photo, any count being a possible answer."""
    return next(
        within
        for within, measured in evaluation.ranges.items()
        if measured.num_photos == len(evaluation.predictions.photos) and not within.restricted
    )


def range_title(within: Range) -> str:
    """The range's name with a dash that reads as "to"."""
    return within.name.replace("-", "–")


def _headline(page: Page, evaluation: Evaluation) -> None:
    measured = evaluation.ranges[headline_range(evaluation)]
    scores = measured.scores
    page.figures(
        {
            "of photos counted exactly right": _figure("exact", scores.exact),
            "right or one item off": _figure("within_one", scores.within_one),
            "items off on average": _figure("mae", scores.mae),
            f"exactly right by always saying {evaluation.count_name(measured.majority_count)}, "
            "without looking": _figure("exact", measured.majority.exact),
        }
    )
    page.text(gain_sentence(measured))
    half = min(risk_coverage(evaluation.photo_scores), key=lambda point: abs(point.coverage - 0.5))
    page.text(
        f"Of the half of the photos that it is surest of, {half.exact:.0%} are exactly right and "
        f"{half.within_one:.0%} are right or one off. {sureness_sentence(evaluation)}"
    )


def gain_sentence(measured: Measured) -> str:
    """Whether the model is better than an answer that never looks, and how far chance could explain it."""
    gain, ahead = measured.gain("exact"), measured.ahead
    points = f"{abs(gain) * 100:.1f} points {'more' if gain >= 0 else 'less'} often"
    if ahead is None:
        return (
            f"It is exactly right {points} than an answer that never looks at the photo; "
            f"{measured.num_groups} chains of bins are too few to say how far chance explains that."
        )
    low, high = ahead["exact"].low, ahead["exact"].high
    span = f"95% interval {_span('exact', ahead, signed=True)}"
    if low > 0:
        return f"It is exactly right {points} than an answer that never looks at the photo ({span})."
    if high < 0:
        return f"It is worse than an answer that never looks at the photo: exactly right {points} ({span})."
    return (
        "It is not shown to be better than an answer that never looks at the photo: "
        f"exactly right {points} ({span}), which chance explains."
    )


def sureness_sentence(evaluation: Evaluation) -> str:
    """Whether what the model says of its own sureness holds on average."""
    confidence = float(evaluation.photo_scores.confidence.mean())
    exact = float(evaluation.photo_scores.exact.mean())
    word = "about as sure as it should be"
    if abs(confidence - exact) > SURENESS_MARGIN:
        word = "too sure of itself" if confidence > exact else "less sure of itself than it could be"
    yet = "" if evaluation.tempered else ", as a run that is not tempered yet"
    return f"It gives its answers {confidence:.0%} on average, and {exact:.0%} are right: it is {word}{yet}."


def _ranges(page: Page, evaluation: Evaluation) -> None:
    page.section(
        "Scores",
        "Beside the model stand two blind answers: the most frequent count for every photo, sure of it, and the "
        "prior, that is the distribution of counts, for every photo. Intervals hold 95%.",
    )
    shown = shown_ranges(evaluation)
    for within, measured in shown.items():
        if not within.restricted:
            _score_table(page, evaluation, within, measured, "Any count may be the answer.")
    if any(within.restricted for within in shown):
        page.section(
            "Answers from the range alone",
            "As a network with only these classes would answer. It profits from knowing that no other count "
            "occurs, which a camera does not know: do not mix these figures with those above.",
        )
    for within, measured in shown.items():
        if within.restricted:
            _score_table(page, evaluation, within, measured, "The answer is one of these counts.")


def shown_ranges(evaluation: Evaluation) -> dict[Range, Measured]:
    """The ranges that say something new: not the same photos again with answers of the same kind."""
    shown: dict[Range, Measured] = {}
    seen: set[tuple[str, bool, int]] = set()
    for within, measured in evaluation.ranges.items():
        folded = within.last is not None and int(evaluation.predictions.counts_B.max()) > within.last
        key = (within.answers, folded, measured.num_photos)
        if key not in seen:
            seen.add(key)
            shown[within] = measured
    return shown


def _score_table(page: Page, evaluation: Evaluation, within: Range, measured: Measured, caption: str) -> None:
    title = f"counts {range_title(within)}"
    rows = [
        {
            title: HEADINGS[name],
            "model": _figure(name, getattr(measured.scores, name)),
            "interval": _span(name, measured.intervals),
            f"always {evaluation.count_name(measured.majority_count)}": _figure(
                name, getattr(measured.majority, name)
            ),
            "prior": _figure(name, getattr(measured.prior, name)),
            "model − prior": _figure(name, measured.gain(name), signed=True),
            "its interval": _span(name, measured.ahead, signed=True),
        }
        for name in HEADINGS
    ]
    stem = within.name.replace("-", "_").replace("+", "_or_more")
    page.table(
        f"scores_{stem}" + ("_restricted" if within.restricted else ""),
        rows,
        caption=f"{measured.num_photos:,} photos, {measured.num_groups:,} chains. {caption} The best constant "
        f"answer in hindsight, {evaluation.count_name(measured.best_constant)}, is exact for "
        f"{_figure('exact', measured.best_constant_exact)}.",
    )


def with_interval(name: str, value: float, intervals: Mapping[str, Interval] | None) -> str:
    """`41.2% (38.1–44.3)`; without brackets where there is no interval."""
    figure = _figure(name, value)
    return figure if intervals is None else f"{figure} ({_span(name, intervals)})"


def _span(name: str, intervals: Mapping[str, Interval] | None, *, signed: bool = False) -> str:
    if intervals is None:
        return ""
    low, high = (
        _figure(name, end, signed=signed).rstrip("%") for end in (intervals[name].low, intervals[name].high)
    )
    return f"{low} to {high}" if signed else f"{low}–{high}"


def _figure(name: str, value: float, *, signed: bool = False) -> str:
    scaled, decimals, unit = (value * 100, 1, "%") if name in PERCENT_SCORES else (value, 2, "")
    sign = "+" if signed else ""
    return f"{scaled:{sign}z.{decimals}f}{unit}".replace("-", "−")


def _by_count(page: Page, evaluation: Evaluation) -> None:
    page.section("By count", "Large counts are rarer, and often some of the items cannot be seen.")
    page.plot(
        "exact_by_count",
        *plots.exact_by_count(evaluation),
        caption="With 95% intervals where there are ten chains of bins or more.",
    )
    page.plot("error_by_count", *plots.error_by_count(evaluation), caption="How far off the answers are.")
    page.plot(
        "confusion",
        *plots.confusion_matrix(evaluation),
        caption="Of the photos with the count at the left, how many got the answer below (darker: a larger share). "
        f"{evaluation.count_name(evaluation.num_counts - 1)} stands for this many or more.",
    )
    page.plot(
        "counts_answered",
        *plots.counts_answered(evaluation),
        caption="Whether some counts are answered too often. The records may be wrong, too.",
    )


def _sureness(page: Page, evaluation: Evaluation) -> None:
    page.section(
        "How sure it is", "A probability is worth something if answers given 60% are right 60 times in 100."
    )
    if not evaluation.tempered:
        page.text(UNTEMPERED)
    page.plot(
        "reliability",
        *plots.reliability_diagram(evaluation),
        caption="Dots below the dotted line are answers given too surely; a larger dot stands for more photos.",
    )
    within = headline_range(evaluation)
    found = evaluation.ranges[within]
    page.text(
        f"The calibration error (ECE) is {_figure('ece', found.scores.ece)} for counts {range_title(within)}; on as many "
        f"photos, a counter whose probabilities were exactly right would read {_figure('ece', found.ece_by_chance)} by "
        "chance alone."
    )
    page.plot(
        "risk_coverage",
        *plots.risk_coverage_curve(evaluation),
        caption="What is gained by leaving the unsure photos to people.",
    )


def _by_column(page: Page, evaluation: Evaluation, column: str, values: dict[str, dict[Range, Measured]]) -> None:
    page.section(
        f"By {column}",
        f"Photos apart by {column}. The blind answers differ too: compare with those, not only across.",
    )
    rows = [
        {
            "counts": range_title(within),
            column: value or "(none)",
            "photos": measured.num_photos,
            "exact": with_interval("exact", measured.scores.exact, measured.intervals),
            "blind exact": _figure("exact", measured.majority.exact),
            "within ±1": with_interval("within_one", measured.scores.within_one, measured.intervals),
            "MAE": with_interval("mae", measured.scores.mae, measured.intervals),
            "blind MAE": _figure("mae", measured.majority.mae),
        }
        for within in shown_ranges(evaluation)
        if not within.restricted
        for value, ranges in values.items()
        if (measured := ranges.get(within)) is not None
    ]
    page.table(f"by_{column}", rows, caption="All scores of each are in metrics.csv.")


def _not_opened(page: Page, evaluation: Evaluation) -> None:
    lost = evaluation.predictions.unreadable
    if lost:
        page.section(
            "Photos that could not be opened", f"No figure above takes these {len(lost)} photos into account."
        )
        page.table("not_opened", [{"photo": u.photo, "reason": u.reason} for u in lost])


def _method(page: Page, evaluation: Evaluation) -> None:
    last = evaluation.count_name(evaluation.num_counts - 1)
    page.section("How this was measured")
    page.text(
        "exact: the most likely count is the recorded one. within ±1: or one off. MAE and RMSE: mean and root mean "
        "square of the items off. The most likely count is the answer that is right most often, and not the one that "
        "is the fewest items off: for that, take the median of the distribution for the MAE, its mean for the RMSE. "
        "RPS: ranked probability score, in items; it judges the whole distribution and equals the MAE of an answer "
        "that is sure. NLL: the log score in nats; an answer that is sure and wrong costs 27.6. ECE: expected "
        "calibration error over 15 bins of equal width; a few hundred photos give some per cent by chance, which its "
        "interval takes off."
    )
    page.text(
        f"Counts above {last.rstrip('+')} are taken as {last}, and for 0–10+ those above 10 as 10. The blind "
        f"answers know the counts of {evaluation.selection.prior_from}. Intervals hold 95%, from 2,000 "
        "resamples of whole chains of bins; a chain is a set of linked photos, which are never split."
    )
    page.text("All figures are in metrics.json and metrics.csv, every photo's estimate in predictions.csv.")
