"""Binsight counts the items in a warehouse bin from one photo and says how sure it is."""

__version__ = "0.1.0"
