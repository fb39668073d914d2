"""Photos that are the same picture, and bins that only look alike."""

import csv
import io
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from binsight.dataset.likeness import (
    ENOUGH_SIDE,
    MAX_HASH_DISTANCE,
    Fingerprint,
    _candidates,
    fingerprint,
    near_identical_pairs,
)
from binsight.imaging import decode_photo

REAL = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def originals(abid: Path) -> list[Image.Image]:
    paths = sorted((abid / "originals").iterdir())[:60]
    return [decode_photo(path.read_bytes()) for path in paths]


@pytest.fixture(scope="module")
def groups(abid: Path) -> dict[str, tuple[str, Fingerprint]]:
    """Group (chain of linked photos) and fingerprint of 800 photos, empty bins among them, by id."""
    with (abid / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    chosen = rows[:500] + [row for row in rows if row["count"] == "0"][:300]
    return {
        row["image_id"]: (row["group"], fingerprint(_decode(abid / "bin-images" / f"{row['image_id']}.jpg")))
        for row in chosen
    }


def _decode(path: Path) -> Image.Image:
    return decode_photo(path.read_bytes(), enough_side=ENOUGH_SIDE)


def _stored(photo: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=quality)
    return decode_photo(file.getvalue())


def _alike(one: Image.Image, other: Image.Image) -> bool:
    return near_identical_pairs([fingerprint(one), fingerprint(other)]) == [(0, 1)]


@REAL
@given(number=st.integers(0, 59), quality=st.integers(20, 95))
def test_a_photo_stored_again_is_near_identical(originals: list[Image.Image], number: int, quality: int) -> None:
    assert _alike(originals[number], _stored(originals[number], quality))


@REAL
@given(number=st.integers(0, 59), side=st.integers(128, 600))
def test_a_photo_at_another_size_is_near_identical(originals: list[Image.Image], number: int, side: int) -> None:
    """Squashed to a square too: half of the real collection is."""
    photo = originals[number]
    assert _alike(photo, photo.resize((side, side * photo.height // photo.width)))
    assert _alike(photo, photo.resize((side, side)))


@REAL
@given(number=st.integers(0, 59), light=st.floats(0.7, 1.3))
def test_a_photo_in_another_light_is_near_identical(
    originals: list[Image.Image], number: int, light: float
) -> None:
    assert _alike(originals[number], ImageEnhance.Brightness(originals[number]).enhance(light))


def test_different_bins_are_not_near_identical(groups: dict[str, tuple[str, Fingerprint]]) -> None:
    """Among them 300 empty bins, which differ in little but the folds of the fabric."""
    names = list(groups)
    pairs = near_identical_pairs([groups[name][1] for name in names])
    linked = [(names[i], names[j]) for i, j in pairs]
    assert linked
    assert [pair for pair in linked if groups[pair[0]][0] != groups[pair[1]][0]] == []


@given(st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=40), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=30)
def test_the_search_finds_every_close_pair(values: list[int], random: Random) -> None:
    """Hashes that differ in up to the greatest distance, wherever the bits lie."""
    near = [
        value ^ sum(1 << bit for bit in random.sample(range(64), random.randint(0, MAX_HASH_DISTANCE + 2)))
        for value in values
    ]
    hashes = np.array(values + near, dtype=np.uint64)
    is_new = np.array([random.random() < 0.5 for _ in hashes])
    close = {
        (i, j)
        for i, j in combinations(range(len(hashes)), 2)
        if (int(hashes[i]) ^ int(hashes[j])).bit_count() <= MAX_HASH_DISTANCE
    }
    assert pairs_of(hashes, np.ones(len(hashes), dtype=np.bool_)) == close
    assert pairs_of(hashes, is_new) == {(i, j) for i, j in close if is_new[i] or is_new[j]}


def pairs_of(hashes: npt.NDArray[np.uint64], is_new: npt.NDArray[np.bool_]) -> set[tuple[int, int]]:
    blocks = _candidates(hashes, is_new)
    pairs = {pair for left, right in blocks for pair in zip(left.tolist(), right.tolist(), strict=True)}
    return {(min(pair), max(pair)) for pair in pairs}


def test_many_copies_cost_as_many_pairs(originals: list[Image.Image]) -> None:
    one = fingerprint(originals[0])
    assert near_identical_pairs([one] * 1000) == [(n, n + 1) for n in range(999)]


def test_a_copy_is_linked_to_what_its_original_is_linked_to(originals: list[Image.Image]) -> None:
    photo, again = fingerprint(originals[0]), fingerprint(_stored(originals[0], 40))
    if again == photo:
        again = replace(again, phash=photo.phash ^ 3)
    assert near_identical_pairs([again, photo, photo]) == [(0, 1), (1, 2)]


def test_photos_of_one_colour_are_like_nothing(originals: list[Image.Image]) -> None:
    grey, white = (Image.new("RGB", (300, 200), colour) for colour in ("grey", "white"))
    noise = Image.effect_noise((300, 200), 0.5).convert("RGB")
    prints = [fingerprint(photo) for photo in (grey, noise, *originals[:5])]
    assert near_identical_pairs(prints) in ([], [(0, 1)])
    assert fingerprint(grey).detail == bytes(32 * 32) == fingerprint(white).detail


@pytest.mark.parametrize("number", [0, 1])
def test_few_photos_have_no_pairs(originals: list[Image.Image], number: int) -> None:
    assert near_identical_pairs([fingerprint(photo) for photo in originals[:number]]) == []


def test_a_scaled_decode_gives_nearly_the_same_fingerprint(abid: Path) -> None:
    path = sorted((abid / "originals").iterdir())[0]
    assert _alike(decode_photo(path.read_bytes()), _decode(path))
