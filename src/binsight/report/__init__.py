"""Self-contained HTML reports with a CSV twin beside every plot."""

from binsight.report.page import Page, Pair, Tile

__all__ = ["Page", "Pair", "Tile"]
