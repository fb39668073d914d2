"""Self-contained HTML reports with a CSV twin beside every plot."""

from binsight.report.cards import EstimateCard
from binsight.report.page import Page, Pair, Tile

__all__ = ["EstimateCard", "Page", "Pair", "Tile"]
