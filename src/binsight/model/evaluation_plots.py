"""The plots of an evaluation, each as a figure and the rows that it shows."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from binsight.decision.curves import confusion, reliability, risk_coverage
from binsight.model.evaluate import Evaluation
from binsight.report.plots import ACCENT, INK, SOFT, heatmap, legend_above, lines, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = list[dict[str, Any]]
Plot = tuple["Figure", Rows]


def exact_by_count(evaluation: Evaluation) -> Plot:
    """Share of photos counted exactly right for each recorded count, and how many are one off at most."""
    rows = _rows_by_count(evaluation, ("exact", "within_one"))
    figure, axes = _bars_by_count(rows, "exact")
    near = [row["within_one"] for row in rows]
    axes.plot(near, "o", color=ACCENT, fillstyle="none", markersize=5, label="right or one off")
    axes.set(ylabel="exactly right", ylim=(0, 1.04))
    _percent(axes, "y")
    legend_above(axes)
    return figure, rows


def error_by_count(evaluation: Evaluation) -> Plot:
    """Mean absolute error for each recorded count; the rows have the bias, the mean of answer less record, too."""
    rows = _rows_by_count(evaluation, ("mae",))
    capped_B = _capped(evaluation)
    bias_B = evaluation.photo_scores.answer - capped_B
    for row, count in zip(rows, evaluation.by_count, strict=True):
        row["bias"] = float(bias_B[capped_B == count].mean())
    figure, axes = _bars_by_count(rows, "mae")
    axes.set_ylabel("items off, mean")
    legend_above(axes)
    return figure, rows


def _capped(evaluation: Evaluation) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Recorded counts as they are scored: no higher than the last one."""
    return np.minimum(evaluation.predictions.counts_B, evaluation.num_counts - 1)


def _rows_by_count(evaluation: Evaluation, names: tuple[str, ...]) -> Rows:
    rows: Rows = []
    for count, measured in evaluation.by_count.items():
        row: dict[str, Any] = {"count": evaluation.count_name(count), "num_photos": measured.num_photos}
        for name in names:
            row[name] = getattr(measured.scores, name)
            for end in ("low", "high"):
                row[f"{name}_{end}"] = getattr(measured.intervals[name], end) if measured.intervals else None
            row[f"{name}_majority"] = getattr(measured.majority, name)
        rows.append(row)
    return rows


def _bars_by_count(rows: Rows, name: str) -> "tuple[Figure, Axes]":
    """A bar with its interval for each count, and a mark where always answering one count would stand."""
    figure, axes = new_axes()
    values, places = [row[name] for row in rows], range(len(rows))
    axes.bar(places, values, color=ACCENT, alpha=0.85, width=0.7, label="model")
    known = [place for place in places if rows[place][f"{name}_low"] is not None]
    below = [max(0.0, values[i] - rows[i][f"{name}_low"]) for i in known]
    above = [max(0.0, rows[i][f"{name}_high"] - values[i]) for i in known]
    middles = [values[i] for i in known]
    axes.errorbar(known, middles, [below, above], fmt="none", ecolor=INK, elinewidth=1)
    blind = [row[f"{name}_majority"] for row in rows]
    label = "always the most frequent count"
    axes.plot(places, blind, "_", color=SOFT, markersize=13, markeredgewidth=2, label=label)
    axes.set_xticks(places, [row["count"] for row in rows])
    axes.set_xlabel("recorded count")
    return figure, axes


def confusion_matrix(evaluation: Evaluation) -> Plot:
    """For each recorded count, how often each count was answered."""
    times_KK = confusion(evaluation.photo_scores.answer, evaluation.predictions.counts_B, evaluation.num_counts)
    names = [evaluation.count_name(n) for n in range(evaluation.num_counts)]
    rows = [
        {"count": names[count], "answer": names[answer], "num_photos": int(times_KK[count, answer])}
        for count, answer in np.ndindex(*times_KK.shape)
        if times_KK[count, answer]
    ]
    # Counts beyond those that occur are left off: half a page of white says nothing.
    used = int(np.flatnonzero(times_KK.sum(axis=0) + times_KK.sum(axis=1)).max()) + 1
    figure = heatmap(
        times_KK[:used, :used].tolist(),
        row_labels=names[:used],
        column_labels=names[:used],
        ylabel="recorded count",
        xlabel="answer",
        shares=True,
    )
    return figure, rows


def reliability_diagram(evaluation: Evaluation) -> Plot:
    """How often answers given with some probability are right; the larger a dot, the more photos it stands for."""
    bins = reliability(evaluation.photo_scores)
    figure, axes = new_axes(height=4)
    axes.plot([0, 1], [0, 1], color=SOFT, linestyle=":", linewidth=1, label="as sure as it should be")
    confidence, exact = [b.confidence for b in bins], [b.exact for b in bins]
    axes.plot(confidence, exact, color=ACCENT, linewidth=1.2, alpha=0.6)
    most = max(b.num_photos for b in bins)
    areas = [8 + 150 * b.num_photos / most for b in bins]
    axes.scatter(confidence, exact, s=areas, color=ACCENT, label="model", clip_on=False, zorder=3)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability of the answer", ylabel="exactly right")
    for axis in "xy":
        _percent(axes, axis)
    legend_above(axes)
    return figure, [asdict(b) for b in bins]


def risk_coverage_curve(evaluation: Evaluation) -> Plot:
    """How often the answers are right if only the surest are used."""
    points = risk_coverage(evaluation.photo_scores)
    covered = [point.coverage for point in points]
    figure = lines(
        {
            "right or one off": (covered, [point.within_one for point in points]),
            "exactly right": (covered, [point.exact for point in points]),
        },
        xlabel="share of photos answered, surest first",
    )
    axes = figure.axes[0]
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    for axis in "xy":
        _percent(axes, axis)
    return figure, [asdict(point) for point in points]


def counts_answered(evaluation: Evaluation) -> Plot:
    """How many photos have each count by the records, by the answers, and by the probabilities added up."""
    num_counts = evaluation.num_counts
    recorded = np.bincount(_capped(evaluation), minlength=num_counts)
    answered = np.bincount(evaluation.photo_scores.answer, minlength=num_counts)
    expected = evaluation.predictions.probs_BK.sum(axis=0)
    names = [evaluation.count_name(n) for n in range(num_counts)]
    rows = [
        {"count": name, "recorded": r, "answered": a, "expected": round(e, 2)}
        for name, r, a, e in zip(names, recorded.tolist(), answered.tolist(), expected.tolist(), strict=True)
    ]
    used = int(np.flatnonzero(recorded + answered).max()) + 1
    places = np.arange(used)
    figure, axes = new_axes()
    axes.bar(places - 0.2, recorded[:used], width=0.38, color=SOFT, alpha=0.6, label="by the records")
    axes.bar(places + 0.2, answered[:used], width=0.38, color=ACCENT, label="by the answers")
    axes.plot(places, expected[:used], ".", color=INK, label="by the probabilities, added up")
    axes.set_xticks(places, names[:used])
    axes.set(xlabel="count", ylabel="photos")
    legend_above(axes)
    return figure, rows


def _percent(axes: "Axes", axis: str) -> None:
    getattr(axes, f"{axis}axis").set_major_formatter(lambda share, _: f"{share:.0%}")
