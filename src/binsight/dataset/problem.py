"""What a photo file is called, and what can be wrong with a file or row."""

from dataclasses import dataclass

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
"""Endings of the files that are taken for photos, whatever their case."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One photo, record or row that cannot be used as it is.

    `photo` is the photo's id, or a file's name where that says more; `reason` a short stable word; `detail`
    one sentence for a person.
    """

    photo: str
    reason: str
    detail: str
