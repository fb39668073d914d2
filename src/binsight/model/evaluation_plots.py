"""The plots of an evaluation, each as a figure and the rows that it shows."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from binsight.decision.curves import confusion, reliability, risk_coverage
from binsight.errors import MissingExtra
from binsight.model.evaluate import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Plot = tuple["Figure", list[dict[str, Any]]]

MODEL_COLOUR, BLIND_COLOUR, SOFT_COLOUR = "#1f6feb", "#8a949e", "#dde3ea"


def _axes(
    width: float, height: float, *, rows: int = 1, height_ratios: Sequence[float] | None = None
) -> tuple["Figure", list["Axes"]]:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("a report with plots", extra="data") from None
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = list(np.atleast_1d(figure.subplots(rows, height_ratios=height_ratios)).ravel())
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def error_by_count(evaluation: Evaluation) -> Plot:
    """Share exact and mean absolute error for each recorded count, with intervals, beside the blind answer."""
    capped_B = np.minimum(evaluation.predictions.counts_B, evaluation.num_counts - 1)
    bias_B = evaluation.photo_scores.answer - capped_B
    rows: list[dict[str, Any]] = []
    for count, measured in evaluation.by_count.items():
        row: dict[str, Any] = {"count": evaluation.count_name(count), "num_photos": measured.num_photos}
        for name in ("exact", "within_one", "mae"):
            row[name] = getattr(measured.scores, name)
            for end in ("low", "high"):
                row[f"{name}_{end}"] = getattr(measured.intervals[name], end) if measured.intervals else ""
            row[f"{name}_majority"] = getattr(measured.majority, name)
        row["bias"] = float(bias_B[capped_B == count].mean())
        rows.append(row)
    figure, (exact, error) = _axes(8, 5.6, rows=2)
    names, places = [row["count"] for row in rows], np.arange(len(rows))
    for ax, name, label in ((exact, "exact", "exactly right"), (error, "mae", "items off, mean")):
        values = [row[name] for row in rows]
        ax.bar(places, values, color=MODEL_COLOUR, width=0.7, label="model")
        known = [i for i, row in enumerate(rows) if row[f"{name}_low"] != ""]
        below = [max(0.0, values[i] - rows[i][f"{name}_low"]) for i in known]
        above = [max(0.0, rows[i][f"{name}_high"] - values[i]) for i in known]
        ax.errorbar(known, [values[i] for i in known], [below, above], fmt="none", ecolor="#1c2430", elinewidth=1)
        ax.plot(
            places,
            [row[f"{name}_majority"] for row in rows],
            "_",
            color=BLIND_COLOUR,
            markersize=13,
            markeredgewidth=2,
            label="always the most frequent count",
        )
        ax.set_ylabel(label)
        ax.set_xticks(places, names)
    exact.set_ylim(0, 1)
    exact.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    exact.legend(frameon=False, loc="upper right")
    error.set_xlabel("recorded count")
    return figure, rows


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
    times_KK = times_KK[:used, :used]
    shares_KK = times_KK / np.maximum(times_KK.sum(axis=1, keepdims=True), 1)
    side = 2.2 + 0.3 * used
    figure, (ax,) = _axes(side, side)
    ax.pcolormesh(shares_KK, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=0.5)
    for count, answer in np.ndindex(*shares_KK.shape):
        share = shares_KK[count, answer]
        if share >= 0.005:
            colour = "white" if share > 0.5 else "#1c2430"
            ax.text(answer + 0.5, count + 0.5, f"{share:.0%}", ha="center", va="center", fontsize=6.5, color=colour)
    ax.set_xticks(np.arange(used) + 0.5, names[:used], fontsize=8)
    ax.set_yticks(np.arange(used) + 0.5, names[:used], fontsize=8)
    ax.invert_yaxis()
    ax.set_aspect("equal")
    ax.set_xlabel("answered")
    ax.set_ylabel("recorded")
    return figure, rows


def reliability_diagram(evaluation: Evaluation) -> Plot:
    """How often answers given with some probability are right, and how many there are of each."""
    bins = reliability(evaluation.photo_scores)
    figure, (ax, share) = _axes(5.2, 5.6, rows=2, height_ratios=(3, 1))
    share.sharex(ax)
    ax.plot([0, 1], [0, 1], color=BLIND_COLOUR, linestyle="--", linewidth=1, label="as sure as it should be")
    confidence = [b.confidence for b in bins]
    ax.plot(confidence, [b.exact for b in bins], "o-", color=MODEL_COLOUR, label="model", clip_on=False)
    ax.set(xlim=(0, 1), ylim=(0, 1), ylabel="exactly right")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(lambda share, _: f"{share:.0%}")
    ax.legend(frameon=False, loc="upper left")
    width = bins[0].high - bins[0].low
    share.bar([b.low for b in bins], [b.num_photos for b in bins], width=width, align="edge", color=MODEL_COLOUR)
    share.set(xlabel="probability of the answer", ylabel="photos")
    return figure, [asdict(b) for b in bins]


def risk_coverage_curve(evaluation: Evaluation) -> Plot:
    """How often the answers are right if only the surest are used."""
    points = risk_coverage(evaluation.photo_scores)
    figure, (ax,) = _axes(6.4, 3.6)
    covered = [point.coverage for point in points]
    ax.plot(covered, [point.exact for point in points], color=MODEL_COLOUR, label="exactly right")
    ax.plot(covered, [point.within_one for point in points], color=MODEL_COLOUR, ls=":", label="right or one off")
    ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="share of photos answered, surest first")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(lambda share, _: f"{share:.0%}")
    ax.legend(frameon=False, loc="lower left")
    return figure, [asdict(point) for point in points]


def counts_answered(evaluation: Evaluation) -> Plot:
    """How many photos have each count by the records, by the answers, and by the probabilities added up."""
    num_counts = evaluation.num_counts
    recorded = np.bincount(np.minimum(evaluation.predictions.counts_B, num_counts - 1), minlength=num_counts)
    answered = np.bincount(evaluation.photo_scores.answer, minlength=num_counts)
    expected = evaluation.predictions.probs_BK.sum(axis=0)
    names = [evaluation.count_name(n) for n in range(num_counts)]
    rows = [
        {
            "count": names[n],
            "recorded": int(recorded[n]),
            "answered": int(answered[n]),
            "expected": round(float(expected[n]), 2),
        }
        for n in range(num_counts)
    ]
    used = int(np.flatnonzero(recorded + answered).max()) + 1
    figure, (ax,) = _axes(8, 3)
    places = np.arange(used)
    ax.bar(places - 0.2, recorded[:used], width=0.38, color=BLIND_COLOUR, label="by the records")
    ax.bar(places + 0.2, answered[:used], width=0.38, color=MODEL_COLOUR, label="by the answers")
    ax.plot(places, expected[:used], ".", color="#1c2430", label="by the probabilities, added up")
    ax.set_xticks(places, names[:used])
    ax.set(xlabel="count", ylabel="photos")
    ax.legend(frameon=False)
    return figure, rows
