"""One HTML page that needs no other file: sections of prose, tables, plots and contact sheets.

A page is built up in order and written once:

    page = Page("Photos in bins/", lead="1,200 photos, 1,187 records.")
    page.section("Counts")
    page.plot("photos_per_count", figure, rows, caption="Photos per recorded count.")
    page.write(folder)          # folder/index.html and folder/photos_per_count.csv, …
"""

import base64
import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from binsight.errors import StorageFailure
from binsight.report.cards import EstimateCard
from binsight.report.formulas import harmless

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One photo of a contact sheet: JPEG bytes, and a line or two below it."""

    jpeg: bytes
    caption: str
    detail: str = ""

    @property
    def data_uri(self) -> str:
        return "data:image/jpeg;base64," + base64.b64encode(self.jpeg).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two photos to be compared side by side, and a line below them."""

    left: Tile
    right: Tile
    caption: str = ""


@dataclass(slots=True)
class Page:
    """A report under construction. Text is escaped; only `plot` puts markup in, matplotlib's own SVG."""

    title: str
    lead: str = ""
    blocks: list[dict[str, Any]] = field(default_factory=list)
    tables: dict[str, Sequence[Row]] = field(default_factory=dict)
    columns: dict[str, Sequence[str]] = field(default_factory=dict)

    def section(self, heading: str, text: str = "") -> None:
        """Begin a section."""
        self.blocks.append({"kind": "section", "heading": heading, "text": text})

    def text(self, text: str) -> None:
        """A paragraph."""
        self.blocks.append({"kind": "text", "text": text})

    def figures(self, values: Mapping[str, str]) -> None:
        """A row of large figures with their labels, for what a reader wants first."""
        self.blocks.append({"kind": "figures", "values": dict(values)})

    def table(
        self,
        name: str,
        rows: Sequence[Row],
        *,
        caption: str = "",
        most: int = 200,
        columns: Sequence[str] = (),
    ) -> None:
        """A table, its first `most` rows on the page and all of them in `name`.csv.

        `columns` name the CSV's columns where there may be no rows to take them from.
        """
        self._keep(name, rows, columns)
        self.blocks.append(
            {
                "kind": "table",
                "name": name,
                "caption": caption,
                "columns": [str(column).replace("_", " ") for column in rows[0]] if rows else [],
                "rows": [list(row.values()) for row in rows[:most]],
                "left_out": max(0, len(rows) - most),
            }
        )

    def plot(self, name: str, figure: "Figure", rows: Sequence[Row], *, caption: str = "") -> None:
        """A matplotlib figure as SVG, with the numbers it shows in `name`.csv."""
        self._keep(name, rows)
        svg = io.StringIO()
        figure.savefig(svg, format="svg", bbox_inches="tight", metadata={"Date": None})
        markup = svg.getvalue()
        self.blocks.append(
            {"kind": "plot", "name": name, "caption": caption, "svg": markup[markup.index("<svg") :]}
        )

    def contact_sheet(self, tiles: Sequence[Tile], *, caption: str = "") -> None:
        """A grid of small photos."""
        self.blocks.append({"kind": "contact_sheet", "tiles": list(tiles), "caption": caption})

    def estimates(self, cards: Sequence[EstimateCard], *, caption: str = "") -> None:
        """A grid of estimate cards: photo, count, interval, distribution, flags, and what is known otherwise."""
        # One scale for every card of the grid, so that a sure estimate looks surer than an unsure one.
        tallest = max((bar.percent for card in cards for bar in card.bars), default=100.0)
        self.blocks.append({"kind": "estimates", "cards": list(cards), "caption": caption, "tallest": tallest})

    def pairs(self, pairs: Sequence[Pair], *, caption: str = "") -> None:
        """A grid of pairs of small photos."""
        self.blocks.append({"kind": "pairs", "pairs": list(pairs), "caption": caption})

    def data(self, name: str, rows: Sequence[Row], *, caption: str, columns: Sequence[str] = ()) -> None:
        """Rows that are too many to show: `name`.csv and a line that leads to it."""
        self._keep(name, rows, columns)
        self.blocks.append({"kind": "data", "name": name, "caption": caption, "num_rows": len(rows)})

    def html(self) -> str:
        """The page by itself, without the CSV files."""
        from jinja2 import Environment, PackageLoader

        environment = Environment(loader=PackageLoader("binsight.report"), autoescape=True, trim_blocks=True)
        environment.filters["shown"] = _shown
        return environment.get_template("page.html").render(page=self)

    def files(self) -> dict[str, bytes]:
        """What `write` writes, by name: the page, and the CSV files that it leads to."""
        tables = {f"{name}.csv": csv_text(rows, self.columns[name]) for name, rows in self.tables.items()}
        return {name: text.encode() for name, text in ({"index.html": self.html()} | tables).items()}

    def write(self, folder: Path) -> Path:
        """Write the CSV files and then `index.html` into `folder`, each whole or not at all; the page's path.

        Raises `StorageFailure` where the folder cannot be written.
        """
        html = self.html()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, rows in self.tables.items():
                write_csv(folder / f"{name}.csv", rows, self.columns[name])
            return _write_whole(folder / "index.html", html)
        except OSError as error:
            raise StorageFailure(f"the report cannot be written to {folder}: {error.strerror}") from None

    def _keep(self, name: str, rows: Sequence[Row], columns: Sequence[str] = ()) -> None:
        if name in self.tables:
            raise ValueError(f"the page already has a table or plot named {name}")
        self.tables[name] = rows
        self.columns[name] = list(rows[0]) if rows else columns


def write_csv(path: Path, rows: Sequence[Row], columns: Sequence[str] = ()) -> None:
    """Write rows of equal keys as CSV, whole or not at all; the heading alone where there are none; no formulas."""
    _write_whole(path, csv_text(rows, columns))


def csv_text(rows: Sequence[Row], columns: Sequence[str] = ()) -> str:
    """What `write_csv` writes."""
    text = io.StringIO(newline="")
    columns = list(rows[0]) if rows else columns
    if columns:
        writer = csv.DictWriter(text, fieldnames=columns)
        writer.writeheader()
        for row in rows:
            writer.writerow({name: harmless(cell) if isinstance(cell, str) else cell for name, cell in row.items()})
    return text.getvalue()


def _write_whole(path: Path, text: str) -> Path:
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8", newline="")
        os.replace(partial, path)  # noqa: PTH105 - the name says that it replaces
    finally:
        partial.unlink(missing_ok=True)
    return path


def _shown(cell: Any) -> str:
    """A cell as a person reads it: thousands apart, four digits of a fraction."""
    if isinstance(cell, bool) or cell is None:
        return {True: "yes", False: "no", None: ""}[cell]
    if isinstance(cell, float) and abs(cell) < 1000:
        return f"{cell:.4g}"
    return f"{cell:,.0f}" if isinstance(cell, int | float) else str(cell)
