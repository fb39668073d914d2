"""Training photos that a promotion set holds too: the same file, nearly the same picture, or the same chain of bins.

A challenger that has seen a photo of the set answers it from memory: what it seems to gain there is gained nowhere else.

A chain is the same where it has the same name. The labels' name for a bin says so in every dataset. A name that Binsight
gave (dataset/groups.py) is the id of a photo, and at another site another photo may have that id: it says so only where the
two chains share a picture.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from binsight.dataset.likeness import Fingerprint, near_identical_pairs
from binsight.dataset.manifest import Dataset, LabelledPhoto
from binsight.lifecycle.comparison import Leak

SAME_FILE, SAME_PICTURE, SAME_CHAIN = "the same file", "nearly the same picture", "the same chain of bins"
MOST_NAMED = 20


@dataclass(slots=True)
class Pictures:
    """Photos and their fingerprints, in one order, and what all photos of their datasets say of their groups.

    `own_names` are the groups that Binsight named, `files` every file of a group, also of photos that were not chosen.
    """

    photos: list[LabelledPhoto] = field(default_factory=list)
    fingerprints: list[Fingerprint] = field(default_factory=list)
    own_names: set[str] = field(default_factory=set)
    files: set[tuple[str, str]] = field(default_factory=set)

    def add(self, dataset: Dataset, photos: Sequence[LabelledPhoto], fingerprints: Sequence[Fingerprint]) -> None:
        """Add photos of a dataset with a fingerprint each."""
        self.photos += photos
        self.fingerprints += fingerprints
        self.own_names |= {one.group for one in dataset.photos if one.group in (one.photo, f"chain {one.photo}")}
        self.files |= {(one.group, one.sha256) for one in dataset.photos}


def find_leaks(training: Pictures, promotion: Pictures) -> list[Leak]:
    """One leak for every training photo that has any, the plainest kind of it."""
    leaks: dict[int, Leak] = {}
    by_sha256 = {photo.sha256: photo.photo for photo in promotion.photos}
    pairs = list(_alike(training, promotion))
    alike = {place: photo.photo for place, photo in pairs}
    by_group = {photo.group: photo.photo for photo in promotion.photos}
    for name in _of_other_chains(training, promotion, pairs):
        by_group.pop(name, None)
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


def _of_other_chains(
    training: Pictures, promotion: Pictures, alike: Sequence[tuple[int, LabelledPhoto]]
) -> set[str]:
    """The names that Binsight gave in either, without a picture that both chains of that name hold."""
    shared = {group for group, _ in training.files & promotion.files}
    shared |= {photo.group for place, photo in alike if training.photos[place].group == photo.group}
    return (training.own_names | promotion.own_names) - shared


def _alike(training: Pictures, promotion: Pictures) -> Iterator[tuple[int, LabelledPhoto]]:
    """Places of training photos, each with a photo of the promotion set that is nearly the same picture."""
    first = len(training.photos)
    if not first:
        return
    for left, right in near_identical_pairs([*training.fingerprints, *promotion.fingerprints]):
        if left < first <= right:
            yield left, promotion.photos[right - first]
