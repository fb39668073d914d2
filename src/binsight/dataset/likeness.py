"""Photos that are the same picture: byte for byte, or stored again at another size, quality or brightness.

Bins look alike: one pod, one yellow, the same bands across. So a pair must pass two tests. A perceptual hash
finds candidates among hundreds of thousands without comparing all with all; the fine detail of small grey copies
decides. Measured on 13,979 photos of the Amazon Bin Image Dataset and on 150 of them stored again:

- Stored again (JPEG quality 20, half the size, squashed to a square, ±30% brightness or contrast): hashes at most
  6 bits apart, detail correlated by 0.98 or more. Cut by 3 pixels at two sides: 8 bits, 0.93.
- Different bins: of 98 million pairs, 2,357 have hashes at most 10 bits apart; among those that share no item
  the highest correlations are 0.89, 0.87, 0.86 (empty bins).
- Before and after a change in one bin: 0.99 and less. Those above the limit are the ones in which the change
  can hardly be seen at this size, and they belong in one split.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from binsight.errors import MissingExtra

MAX_HASH_DISTANCE = 10
"""Bits in which the hashes of a candidate pair may differ. The search below finds all pairs up to 11."""
MIN_CORRELATION = 0.90
"""Of the fine detail of two photos; between the 0.89 of different bins and the 0.93 of pictures stored again."""
ENOUGH_SIDE = 64
"""A photo decoded at 1/2, 1/4 or 1/8 of its size serves, as long as its shorter side keeps this many pixels."""

_HASH_SIDE = 8
_DETAIL_SIDE = 32
_BLUR_RADIUS = 4  # pixels of the small copy: what is coarser is light and shade, which all bins share
_DETAIL_SCALE = 32.0  # int8 steps per standard deviation: the range reaches 4 deviations
_FLATTEST = 1.0  # standard deviation in grey values below which there is no detail, only noise
_BANDS = 4
_BAND_BITS = 16
_BLOCK = 4_000_000  # candidate pairs looked at together: some 100 MB

Indices = npt.NDArray[np.intp]
Pairs = tuple[Indices, Indices]
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A photo in 1 KB: a 64-bit perceptual hash, and the fine detail of a 32×32 grey copy as int8.

    The detail is what a blur takes away, scaled to a standard deviation of 32; all zero for a photo of one colour.
    """

    phash: int
    detail: bytes


def fingerprint(image: Image.Image) -> Fingerprint:
    """Fingerprint an upright photo of any size and proportions; 1 to 2 ms."""
    grey = image.convert("L").resize((ENOUGH_SIDE, ENOUGH_SIDE), Image.Resampling.BOX)
    small = grey.resize((_DETAIL_SIDE, _DETAIL_SIDE), Image.Resampling.BOX)
    smooth = small.filter(ImageFilter.GaussianBlur(_BLUR_RADIUS))
    detail = np.asarray(small, dtype=np.float32) - np.asarray(smooth, dtype=np.float32)
    detail -= detail.mean()
    deviation = float(detail.std())
    scaled = detail * (_DETAIL_SCALE / deviation) if deviation >= _FLATTEST else np.zeros_like(detail)
    return Fingerprint(
        phash=int(str(_imagehash().phash(grey, hash_size=_HASH_SIDE)), 16),
        detail=scaled.round().clip(-127, 127).astype(np.int8).tobytes(),
    )


def near_identical_pairs(
    fingerprints: Sequence[Fingerprint], known: Sequence[bool] | None = None
) -> list[tuple[int, int]]:
    """Index pairs `(i, j)`, `i < j`, of photos that are nearly the same picture, sorted.

    Of photos that are `known` (N,) it need not be found out again which of them are like one another: they are compared
    with the others alone, in a time that grows with how many those are.

    Photos with equal fingerprints are linked one to the next (1–2, 2–3, …) instead of each with each, and only the
    first of them is compared with others: what hangs together is the same, and a thousand copies cost a thousand
    pairs. A photo of one flat colour is like none but those with an equal fingerprint.
    """
    same: dict[Fingerprint, list[int]] = {}
    for index, one in enumerate(fingerprints):
        same.setdefault(one, []).append(index)
    pairs = [pair for indices in same.values() for pair in pairwise(indices)]
    firsts = np.array([indices[0] for indices in same.values()], dtype=np.intp)
    if len(firsts) > 1:
        hashes = np.array([one.phash for one in same], dtype=np.uint64)
        details = np.frombuffer(b"".join(one.detail for one in same), dtype=np.int8).reshape(len(same), -1)
        is_new = np.ones(len(same), dtype=np.bool_)
        if known is not None:  # an equal fingerprint of a known photo has been compared with theirs
            is_new = np.array([not any(known[index] for index in indices) for indices in same.values()])
        for left, right in _candidates(hashes, is_new):
            alike = _correlations(details, left, right) >= MIN_CORRELATION
            ends = np.sort(np.stack([firsts[left[alike]], firsts[right[alike]]], axis=1), axis=1)
            pairs += map(tuple, ends.tolist())
    return sorted(set(pairs))


def _candidates(hashes: Hashes, is_new: npt.NDArray[np.bool_]) -> Iterator[Pairs]:
    """Blocks of index pairs with hashes at most `MAX_HASH_DISTANCE` apart, one of them new; some come more than once."""
    new, known = np.flatnonzero(is_new), np.flatnonzero(~is_new)
    for band in range(_BANDS):
        yield from _close_by_band(hashes, band, new, new)
        if len(known):
            yield from _close_by_band(hashes, band, new, known)


def _close_by_band(hashes: Hashes, band: int, some: Indices, others: Indices) -> Iterator[Pairs]:
    """Pairs of `some` with `others`, both in ascending order, whose hashes are close in this band and as a whole.

    Multi-index hashing (Norouzi, Punjani and Fleet, CVPR 2012): 64 bits are cut into four bands of 16. Where two
    hashes differ in 11 bits or fewer, some band differs in 2 or fewer; so it is enough to compare each photo with
    those whose band is one of the 137 values within two bits of its own, under 1% of all. Both sides lie in the order of
    their bands, so that memory is read in sequence, and a pair is seen from one side: four times as fast as without.
    """
    flips = [sum(1 << bit for bit in bits) for size in range(3) for bits in combinations(range(_BAND_BITS), size)]
    some, keys = _by_band(hashes, band, some)
    others, other_keys = _by_band(hashes, band, others)
    starts = np.searchsorted(other_keys, np.arange((1 << _BAND_BITS) + 1))
    some_hashes, other_hashes, is_same = hashes[some], hashes[others], np.array_equal(some, others)
    for flip in flips:
        wanted = keys ^ flip
        sizes = starts[wanted + 1] - starts[wanted]
        if is_same:  # each pair from one side only
            sizes[wanted < keys] = 0
        for block in _blocks(sizes):
            ends = np.cumsum(sizes[block])
            places = np.arange(ends[-1]) + np.repeat(starts[wanted[block]] - ends + sizes[block], sizes[block])
            differing = np.repeat(some_hashes[block], sizes[block]) ^ other_hashes[places]
            close = np.flatnonzero(np.bitwise_count(differing) <= MAX_HASH_DISTANCE)
            left, right = some[block[np.searchsorted(ends, close, side="right")]], others[places[close]]
            if is_same and flip == 0:
                once = left < right
                left, right = left[once], right[once]
            yield left, right


def _by_band(hashes: Hashes, band: int, photos: Indices) -> tuple[Indices, Indices]:
    """The photos in the order of one band of their hashes, and that band's values, ascending."""
    keys = ((hashes[photos] >> np.uint64(band * _BAND_BITS)) & np.uint64((1 << _BAND_BITS) - 1)).astype(np.intp)
    order = np.argsort(keys, kind="stable")
    return photos[order], keys[order]


def _blocks(sizes: Indices) -> Iterator[Indices]:
    """Indices of the sizes above 0, in runs of about `_BLOCK` comparisons."""
    photos = np.flatnonzero(sizes)
    totals = np.cumsum(sizes[photos])
    if len(photos):
        cuts = np.searchsorted(totals, np.arange(_BLOCK, int(totals[-1]), _BLOCK))
        yield from (block for block in np.split(photos, cuts) if len(block))


def _correlations(
    details: npt.NDArray[np.int8], left: npt.NDArray[np.intp], right: npt.NDArray[np.intp]
) -> npt.NDArray[np.float32]:
    """Normalised correlation of the details of each pair; 0 where one has none."""
    correlations = np.empty(len(left), dtype=np.float32)
    for start in range(0, len(left), 10_000):
        a = details[left[start : start + 10_000]].astype(np.float32)
        b = details[right[start : start + 10_000]].astype(np.float32)
        norms = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
        correlations[start : start + 10_000] = (a * b).sum(axis=1) / np.maximum(norms, 1.0)
    return correlations


def _imagehash() -> Any:
    try:
        import imagehash
    except ImportError:
        raise MissingExtra("comparing photos", extra="data") from None
    return imagehash
