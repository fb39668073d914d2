"""Training photos that a promotion set holds too: the same file, nearly the same picture, or the same chain of bins.

A challenger that has seen a photo of the set answers it from memory: what it seems to gain there is gained nowhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from binsight.dataset.likeness import Fingerprint, near_identical_pairs
from binsight.dataset.manifest import LabelledPhoto
from binsight.lifecycle.comparison import Leak

SAME_FILE, SAME_PICTURE, SAME_CHAIN = "the same file", "nearly the same picture", "the same chain of bins"
MOST_NAMED = 20


@dataclass(slots=True)
class Pictures:
    """Photos and their fingerprints, in one order."""

    photos: list[LabelledPhoto] = field(default_factory=list)
    fingerprints: list[Fingerprint] = field(default_factory=list)

    def add(self, photos: Sequence[LabelledPhoto], fingerprints: Sequence[Fingerprint]) -> None:
        """Add photos with a fingerprint each."""
        self.photos += photos
        self.fingerprints += fingerprints


def find_leaks(training: Pictures, promotion: Pictures) -> list[Leak]:
    """One leak for every training photo that has any, the plainest kind of it."""
    leaks: dict[int, Leak] = {}
    by_sha256 = {photo.sha256: photo.photo for photo in promotion.photos}
    by_group = {photo.group: photo.photo for photo in promotion.photos}
    alike = _alike(training, promotion)
    for place, photo in enumerate(training.photos):
        for kind, found in (
            (SAME_FILE, by_sha256.get(photo.sha256)),
            (SAME_PICTURE, alike.get(place)),
            (SAME_CHAIN, by_group.get(photo.group)),
        ):
            if found is not None:
                leaks[place] = Leak(kind=kind, training=photo.photo, promotion=found)
                break
    return list(leaks.values())


def _alike(training: Pictures, promotion: Pictures) -> dict[int, str]:
    """By the place of a training photo: a photo of the promotion set that is nearly the same picture."""
    first = len(training.photos)
    if not first:
        return {}
    pairs = near_identical_pairs([*training.fingerprints, *promotion.fingerprints])
    return {left: promotion.photos[right - first].photo for left, right in pairs if left < first <= right}
