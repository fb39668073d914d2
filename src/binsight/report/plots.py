"""Plots in one style, for every report. Each helper returns a figure for `Page.plot`.

    bar(labels, values, *, xlabel="", ylabel="", highlight=())      upright bars, one per label
    histogram(values, *, bins=40, limits=(), xlabel="", ylabel="")  how values are spread, limits marked
    lines(series, *, xlabel="", ylabel="", band=None, diagonal=False, log_y=False)   named curves over x
    heatmap(table_RC, *, row_labels, column_labels, ylabel="", xlabel="", shares=False)   a matrix with its numbers
    new_axes(*, width=WIDTH, height=HEIGHT)                         an empty plot in the style, for all else
    legend_above(axes)                                              the names of what is drawn, above it

Figures are made without pyplot: nothing global is touched, no display is needed, threads may draw.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from binsight.errors import MissingExtra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACCENT = "#1f6feb"
HIGHLIGHT = "#b35900"
INK = "#1c2430"
SOFT = "#5b6675"
GRID = "#e3e8ee"
SERIES = (ACCENT, HIGHLIGHT, "#1a7f5a", "#8250df", SOFT)
"""Colours of curves in order. Each has a contrast of at least 4.5 on white, and their lightness differs enough
that the first three can be told apart without seeing red or green."""
WIDTH = 8.0
HEIGHT = 3.2
"""Inches of the drawing; a page scales it to the width of its column."""

Series = Mapping[str, tuple[Sequence[float], Sequence[float]]]
Band = tuple[Sequence[float], Sequence[float], Sequence[float]]


def new_axes(*, width: float = WIDTH, height: float = HEIGHT) -> "tuple[Figure, Axes]":
    """An empty plot: light grid along y, no upper or right edge, soft tick labels."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("plots", extra="data") from None
    figure = Figure(figsize=(width, height), facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(SOFT)
    axes.tick_params(colors=SOFT, labelsize=9)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def bar(
    labels: Sequence[Any],
    values: Sequence[float],
    *,
    xlabel: str = "",
    ylabel: str = "",
    highlight: Collection[Any] = (),
) -> "Figure":
    """Upright bars, one per label, with their values above where there are few; `highlight`ed labels stand out."""
    figure, axes = new_axes()
    colours = [HIGHLIGHT if label in highlight else ACCENT for label in labels]
    positions = range(len(labels))
    bars = axes.bar(positions, values, color=colours, width=0.8)
    if len(labels) <= 24:
        texts = [f"{value:,}" if isinstance(value, int) else f"{value:.3g}" for value in values]
        axes.bar_label(bars, texts, padding=2, fontsize=8, color=SOFT)
    step = 1 + len(labels) // 40  # ticks that do not run into each other
    axes.set_xticks(positions[::step], [str(label) for label in labels[::step]])
    _name(axes, xlabel, ylabel)
    return figure


def histogram(
    values: Sequence[float],
    *,
    bins: int | Sequence[float] = 40,
    limits: Collection[float] = (),
    xlabel: str = "",
    ylabel: str = "photos",
) -> "Figure":
    """How values are spread; each of `limits` is marked by an upright line."""
    figure, axes = new_axes()
    axes.hist(values, bins=bins, color=ACCENT, edgecolor="white", linewidth=0.4)
    for limit in limits:
        axes.axvline(limit, color=HIGHLIGHT, linewidth=1.5, linestyle="--")
    _name(axes, xlabel, ylabel)
    return figure


def lines(
    series: Series,
    *,
    xlabel: str = "",
    ylabel: str = "",
    band: Band | None = None,
    diagonal: bool = False,
    log_y: bool = False,
) -> "Figure":
    """Named curves, each `(x, y)`; `band` is `(x, low, high)`, shaded; `diagonal` draws y = x."""
    figure, axes = new_axes(height=3.6)
    if diagonal:
        axes.axline((0, 0), slope=1, color=SOFT, linewidth=1, linestyle=":")
    if band is not None:
        axes.fill_between(*band, color=ACCENT, alpha=0.15, linewidth=0)
    for number, (name, (x, y)) in enumerate(series.items()):
        marker = "o" if len(x) <= 30 else None
        axes.plot(
            x, y, label=name, color=SERIES[number % len(SERIES)], linewidth=1.8, marker=marker, markersize=3.5
        )
    if log_y:
        axes.set_yscale("log")
    if len(series) > 1:
        legend_above(axes)
    _name(axes, xlabel, ylabel)
    return figure


def heatmap(
    table_RC: Sequence[Sequence[float]],
    *,
    row_labels: Sequence[Any],
    column_labels: Sequence[Any],
    ylabel: str = "",
    xlabel: str = "",
    shares: bool = False,
) -> "Figure":
    """A matrix (R rows, C columns) in shades of one colour, its numbers in the cells.

    With `shares` each row is shaded by its own sum, as for a confusion matrix; the numbers stay as given.
    """
    rows, columns = len(row_labels), len(column_labels)
    if len(table_RC) != rows or any(len(row) != columns for row in table_RC):
        raise ValueError(f"table must have {rows} rows of {columns}, as many as labels")
    figure, axes = new_axes(width=min(WIDTH, 1.4 + 0.5 * columns), height=1.0 + 0.36 * rows)
    shades = [[_share(value, row if shares else None, table_RC) for value in row] for row in table_RC]
    axes.imshow(shades, cmap=_shades(), vmin=0, vmax=1, aspect="auto")
    for row in range(rows):
        for column in range(columns):
            value = table_RC[row][column]
            text = f"{value:,}" if isinstance(value, int) else f"{value:.2f}"
            axes.text(
                column,
                row,
                text if value else "",
                ha="center",
                va="center",
                fontsize=7.5,
                color="white" if shades[row][column] > 0.55 else INK,
            )
    axes.set_xticks(range(columns), [str(label) for label in column_labels])
    axes.set_yticks(range(rows), [str(label) for label in row_labels])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    _name(axes, xlabel, ylabel)
    return figure


def _share(value: float, row: Sequence[float] | None, table_RC: Sequence[Sequence[float]]) -> float:
    whole = sum(row) if row is not None else max((max(r, default=0) for r in table_RC), default=0)
    return float(value / whole) if whole else 0.0


def _shades() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("binsight", ["#ffffff", "#9cc2f7", ACCENT, "#0b3d91"])


def legend_above(axes: "Axes") -> None:
    """A legend in one line above the plot, where it hides nothing and matplotlib need not search for a place
    (a search that warns where the machine is busy)."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=5, frameon=False, fontsize=9, labelcolor=INK)


def _name(axes: "Axes", xlabel: str, ylabel: str) -> None:
    axes.set_xlabel(xlabel, fontsize=10, color=INK)
    axes.set_ylabel(ylabel, fontsize=10, color=INK)
