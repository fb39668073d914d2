"""Pages that need no other file, and the plots on them."""

import csv
import threading
from html.parser import HTMLParser
from pathlib import Path

import pytest

from binsight.errors import StorageFailure
from binsight.report import Page, Pair, Tile, plots


class Checker(HTMLParser):
    """Collects addresses and checks that tags are closed in order."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "srcset"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _page() -> Page:
    page = Page("Bins & <b>photos</b>", lead="A lead.")
    page.figures({"photos": "1,200"})
    for heading in ("One", "Two", "Three"):
        page.section(heading, "Text with <script>alert(1)</script>.")
    rows = [{"photo": "00001", "average_count": 1234.5678, "kept": True, "note": "x" * 60}]
    page.table("sizes", rows * 3, caption="Sizes.", most=2)
    page.table("nothing", [], columns=("photo", "reason"))
    page.plot("counts", plots.bar([0, 1, 2], [3, 5, 1]), [{"count": 0, "photos": 3}], caption="Counts.")
    tile = Tile(jpeg=b"\xff\xd8\xff", caption="00001", detail="count 5")
    page.contact_sheet([tile, tile], caption="Count 5")
    page.pairs([Pair(left=tile, right=tile, caption="change +1")])
    page.data("photos", rows, caption="All photos:")
    return page


def test_a_page_is_one_well_formed_file_without_outside_addresses(tmp_path: Path) -> None:
    html = _page().write(tmp_path).read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(html)
    assert checker.open == []
    outside = [a for a in checker.addresses if not a.startswith(("data:", "#")) and "/" in a]
    assert outside == []
    assert "<script" not in html
    assert "Bins &amp; &lt;b&gt;photos" in html


def test_every_link_of_a_page_leads_to_a_file_or_section_that_is_there(tmp_path: Path) -> None:
    html = _page().write(tmp_path).read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(html)
    links = [address for address in checker.addresses if not address.startswith("data:")]
    assert len([link for link in links if link.endswith(".csv")]) == 4
    for link in links:
        assert f'id="{link[1:]}"' in html if link.startswith("#") else (tmp_path / link).is_file(), link


def test_a_table_has_all_its_rows_in_the_csv_and_says_how_many_are_left_out(tmp_path: Path) -> None:
    html = _page().write(tmp_path).read_text(encoding="utf-8")
    with (tmp_path / "sizes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    assert rows[0]["average_count"] == "1234.5678"
    assert "1 more rows are in the CSV" in html
    assert "1,235" in html


def test_an_empty_table_has_its_heading_in_the_csv(tmp_path: Path) -> None:
    _page().write(tmp_path)
    assert (tmp_path / "nothing.csv").read_text() == "photo,reason\n"


def test_a_name_stands_for_one_table_only() -> None:
    page = _page()
    with pytest.raises(ValueError, match="already has a table or plot named sizes"):
        page.table("sizes", [])


def test_writing_again_replaces_and_leaves_no_partial_files(tmp_path: Path) -> None:
    _page().write(tmp_path)
    (tmp_path / "index.html").write_text("old")
    _page().write(tmp_path)
    assert (tmp_path / "index.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert not list(tmp_path.glob(".*"))


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageFailure, match="the report cannot be written to"):
        _page().write(tmp_path / "file" / "report")


def test_every_plot_can_be_drawn_in_a_thread_without_touching_pyplot(tmp_path: Path) -> None:
    import sys

    figures = []

    def draw() -> None:
        figures.append(plots.bar(list("abc"), [1, 2.5, 3], highlight={"b"}, xlabel="x", ylabel="y"))
        figures.append(plots.bar(range(100), range(100)))
        figures.append(plots.histogram([1, 2, 2, 3], limits=[2.5]))
        curves = {"train": ([0, 1, 2], [3, 2, 1]), "val": ([0, 1, 2], [3, 2.5, 2.4])}
        figures.append(plots.lines(curves, band=([0, 1], [1, 1], [2, 2]), diagonal=True))
        figures.append(plots.lines({"loss": ([0, 1], [1, 10])}, log_y=True))
        figures.append(plots.heatmap([[3, 0], [1, 2]], row_labels="ab", column_labels="cd", shares=True))
        figures.append(plots.heatmap([[0.5, 0.25]], row_labels=["a"], column_labels=["c", "d"]))

    thread = threading.Thread(target=draw)
    thread.start()
    thread.join()
    assert len(figures) == 7
    page = Page("Plots")
    for number, figure in enumerate(figures):
        page.plot(f"plot_{number}", figure, [{"x": 1}])
    assert page.write(tmp_path).read_text(encoding="utf-8").count("<svg") == 7
    assert "matplotlib.pyplot" not in sys.modules


def test_a_heatmap_with_other_labels_than_cells_is_refused() -> None:
    with pytest.raises(ValueError, match="table must have 2 rows of 3"):
        plots.heatmap([[1, 2]], row_labels="ab", column_labels="cde")


def _luminance(colour: str) -> float:
    """Relative luminance by WCAG 2."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colour", [*plots.SERIES, plots.INK, plots.SOFT])
def test_colours_stand_out_from_white(colour: str) -> None:
    assert 1.05 / (_luminance(colour) + 0.05) >= 4.5
