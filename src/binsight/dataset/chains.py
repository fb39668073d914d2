"""Bin chains: which photos may show the same bin, and so must share a split.

A *link* ties photos together by one fact; a *chain* is whatever links connect. Measured on 13,979 photos of the
Amazon Bin Image Dataset, 11,102 of them with a record (`docs/decisions/0004-split-by-bin-chain.md` has the table):

- **item**: records that name the same item. Half of the neighbouring ids share one (4,548 of 9,198), 8% of those
  two apart, none of the 7,966 three apart: a bin is photographed two or three times running. All 27 bin labels read
  in several photos were read at most two ids apart. Items shared at a distance are thus the same product elsewhere,
  rarely the same bin (12 of 2,358 pairs of bins share two items); they link all the same, which costs little while
  items are rare. An item in more than `POPULAR_ITEM` photos links only photos at most two ids apart.
- **neighbour**: a photo whose record names no item (an emptied bin, or no record at all) cannot be told apart from
  its neighbours and is linked to both. Not where no record names items: then ids say nothing. Nor where both photos
  come with a group: then somebody has told them apart.
- **pixels**: near-identical pictures. **label**: the same bin label. **group**: the same group in the labels, or in
  the dataset that is extended.

Together they make 6,633 chains, 3,204 of them of one photo, the largest of 69; 0.025% of all pairs share a chain.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from binsight.dataset.bulk import no_garbage_collected
from binsight.errors import MissingExtra

LinkKind = Literal["item", "neighbour", "pixels", "label", "group"]

POPULAR_ITEM = 20
"""An item in more photos than this is found in many bins; the most common one at hand is in 19 of 11,102."""

_NEAR = 2
"""Photos of one bin are at most this many ids apart."""

_ID = re.compile(r"(.*?)(\d*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What is known of the bin in one photo: its record's items, and what is written on it. Empty where unknown."""

    photo: str
    skus: frozenset[str] = frozenset()
    bin_label: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Photos that one fact ties together; `why` names the fact (the item, the label, the group)."""

    kind: LinkKind
    photos: tuple[str, ...]
    why: str

    @property
    def num_pairs(self) -> int:
        return len(self.photos) * (len(self.photos) - 1) // 2


@no_garbage_collected()
def find_links(
    sightings: Sequence[Sighting],
    near_identical: Iterable[tuple[str, str]] = (),
    *,
    popular_item: int = POPULAR_ITEM,
) -> list[Link]:
    """All links between photos, in an order that depends only on the photos, not on their order."""
    ordered = sorted(sightings, key=lambda sighting: id_order(sighting.photo))
    return [
        *_item_links(ordered, popular_item),
        *_neighbour_links(ordered),
        *shared_links("label", {sighting.photo: sighting.bin_label for sighting in ordered}),
        *shared_links("group", {sighting.photo: sighting.group for sighting in ordered}),
        *_pixel_links(near_identical),
    ]


def chains(photos: Iterable[str], links: Iterable[Link]) -> dict[str, str]:
    """The chain of each photo, named by its first photo. Links to photos not in `photos` count for the rest."""
    sets = disjoint_sets(photos)
    for link in links:
        merge(sets, link.photos)
    return {photo: name for subset in sets.subsets() for name in [first_photo(subset)] for photo in subset}


def disjoint_sets(photos: Iterable[str]) -> Any:
    """SciPy's union-find over the photos."""
    try:
        from scipy.cluster.hierarchy import DisjointSet
    except ImportError:
        raise MissingExtra("splitting by bin chain", extra="data") from None
    return DisjointSet(photos)


def merge(sets: Any, photos: Iterable[str]) -> None:
    """Unite the photos that are in `sets`."""
    for a, b in pairwise(photo for photo in photos if photo in sets):
        sets.merge(a, b)


def first_photo(photos: Iterable[str]) -> str:
    """The photo that names a chain: the lowest id, so that photos taken later do not rename it."""
    return min(photos, key=id_order)


def id_order(photo: str) -> tuple[str, int, int, str]:
    """Sort key: by series (what stands before the number, and the number's width), then by number.

    `1` and `00001` are of different series.
    """
    match = _ID.fullmatch(photo)
    assert match is not None
    before, digits = match.groups()
    return before, len(digits), int(digits or 0), photo


def shared_links(kind: LinkKind, values: Mapping[str, str]) -> Iterable[Link]:
    """One link for every value (a label's text, a group) that several photos have; empty values do not count."""
    photos_by_value: dict[str, list[str]] = defaultdict(list)
    for photo, value in values.items():
        if value:
            photos_by_value[value].append(photo)
    for value, photos in sorted(photos_by_value.items()):
        if len(photos) >= 2:
            yield Link(kind=kind, photos=tuple(photos), why=f"{kind} {value}")


def chain_sizes(chain_of: Mapping[str, str]) -> list[int]:
    """Photos per chain, largest first."""
    return sorted(Counter(chain_of.values()).values(), reverse=True)


def _item_links(ordered: Sequence[Sighting], popular_item: int) -> Iterable[Link]:
    photos_by_sku: dict[str, list[str]] = defaultdict(list)
    for sighting in ordered:
        for sku in sighting.skus:
            photos_by_sku[sku].append(sighting.photo)
    for sku, photos in sorted(photos_by_sku.items()):
        why = f"item {sku}"
        if 2 <= len(photos) <= popular_item:
            yield Link(kind="item", photos=tuple(photos), why=why)
        elif len(photos) > popular_item:
            for a, b in pairwise(photos):
                if _steps_apart(a, b) <= _NEAR:
                    yield Link(kind="item", photos=(a, b), why=why)


def _neighbour_links(ordered: Sequence[Sighting]) -> Iterable[Link]:
    if not any(sighting.skus for sighting in ordered):
        return
    for a, b in pairwise(ordered):
        told_apart = (a.skus and b.skus) or (a.group and b.group)
        if not told_apart and _steps_apart(a.photo, b.photo) == 1:
            yield Link(kind="neighbour", photos=(a.photo, b.photo), why="neighbouring ids, one names no item")


def _pixel_links(near_identical: Iterable[tuple[str, str]]) -> Iterable[Link]:
    """One link for all pictures that hang together: of a thousand copies, only neighbours are given as pairs."""
    pairs = list(near_identical)
    sets = disjoint_sets(photo for pair in pairs for photo in pair)
    for pair in pairs:
        merge(sets, pair)
    alike = (tuple(sorted(subset, key=id_order)) for subset in sets.subsets())
    for photos in sorted(alike, key=lambda photos: id_order(photos[0])):
        yield Link(kind="pixels", photos=photos, why="near-identical pictures")


def _steps_apart(a: str, b: str) -> float:
    """How many numbers apart two ids are; infinity for ids of different series, or without a number."""
    (before_a, width_a, number_a, _), (before_b, width_b, number_b, _) = id_order(a), id_order(b)
    if (before_a, width_a) != (before_b, width_b) or width_a == 0:
        return float("inf")
    return abs(number_a - number_b)
