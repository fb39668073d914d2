"""Texts that a spreadsheet would take for formulas, made harmless in CSV, and read back."""

import re

FORMULA_SIGNS = tuple("=+-@\t\r\n＝＋－＠")
"""What a spreadsheet may take for the beginning of a formula, by OWASP's page on CSV injection."""

_PLAIN_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?")


def harmless(text: str) -> str:
    """A cell's text for CSV: with an apostrophe before it where a spreadsheet would take it for a formula.

    Plain numbers stay. So that `as_written` gets every text back, one that already has apostrophes before such a sign
    gets one more.
    """
    body = text.lstrip("'")
    if not body.startswith(FORMULA_SIGNS):
        return text
    return text if _PLAIN_NUMBER.fullmatch(text) else f"'{text}"


def as_written(text: str) -> str:
    """A cell's text from CSV without the apostrophe that `harmless`, or somebody's like, has put before it."""
    if not text.startswith("'"):
        return text
    return text[1:] if text.lstrip("'").startswith(FORMULA_SIGNS) else text
