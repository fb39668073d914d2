"""Bin chains: which photos are linked, on small worlds and on 11,102 real records."""

import tarfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from binsight.dataset.chains import (
    POPULAR_ITEM,
    Link,
    Sighting,
    chain_sizes,
    chains,
    find_links,
    id_order,
)
from binsight.records import BinRecord


def sightings(**items: tuple[str, ...] | None) -> list[Sighting]:
    """`p00001=("a",)` is photo 00001 with item a; None is a photo without a record."""
    return [Sighting(photo=name[1:], skus=frozenset(skus or ())) for name, skus in items.items()]


def linked(found: list[Link]) -> set[tuple[str, ...]]:
    return {link.photos for link in found}


def test_neighbours_that_share_an_item_are_linked_and_others_are_not() -> None:
    found = find_links(sightings(p00001=("a", "b"), p00002=("b",), p00003=("c",)))
    assert linked(found) == {("00001", "00002")}


def test_a_rare_item_links_at_any_distance_and_across_series() -> None:
    found = find_links(sightings(p00001=("a",), p70000=("a",), p123456=("a",)))
    assert linked(found) == {("00001", "70000", "123456")}


def test_a_popular_item_links_only_photos_at_most_two_ids_apart() -> None:
    far = {f"p{10 * n:05}": ("tape",) for n in range(1, 8)}
    found = find_links(sightings(**far, p00012=("tape",), p00014=("tape",), p00017=("tape",)), popular_item=5)
    assert linked(found) == {("00010", "00012"), ("00012", "00014")}


def test_an_emptied_bin_is_linked_to_both_neighbours() -> None:
    found = find_links(sightings(p00001=("a",), p00002=(), p00003=("b",)))
    assert linked(found) == {("00001", "00002"), ("00002", "00003")}


def test_a_photo_without_a_record_is_linked_to_both_neighbours() -> None:
    found = find_links(sightings(p00001=("a",), p00002=None, p00003=("b",)))
    assert linked(found) == {("00001", "00002"), ("00002", "00003")}


def test_neighbouring_ids_say_nothing_where_no_record_names_items() -> None:
    """A folder of labelled photos without records must not become one giant chain."""
    assert find_links(sightings(p00001=None, p00002=None, p00003=None)) == []


def test_neighbours_with_groups_of_their_own_have_been_told_apart() -> None:
    seen = [
        Sighting(photo="00001", skus=frozenset("a"), group="x"),
        Sighting(photo="00002", group="y"),
        Sighting(photo="00003", group="y"),
    ]
    assert linked(find_links(seen)) == {("00002", "00003")}


def test_1_and_00001_and_999_are_of_different_series() -> None:
    found = find_links(sightings(p1=(), p00002=("a",), p999=("b",), p1000=()))
    assert found == []


def test_a_bin_label_links() -> None:
    seen = [Sighting(photo=photo, bin_label="P-7-A379C224") for photo in ("00001", "00900")]
    seen.append(Sighting(photo="00002", bin_label=""))
    assert linked(find_links(seen)) == {("00001", "00900")}


def test_pictures_that_hang_together_are_one_link() -> None:
    """Of many copies only neighbours come as pairs: leaving out the middle one must not untie the ends."""
    found = find_links(sightings(p1=("a",), p2=("b",), p3=("c",)), [("3", "2"), ("1", "2")])
    assert linked(found) == {("1", "2", "3")}


def test_a_chain_is_named_by_its_first_photo_so_that_later_photos_do_not_rename_it() -> None:
    before = chains(["00007", "00008"], [Link(kind="item", photos=("00008", "00007"), why="")])
    after = chains(["00007", "00008", "100000"], [Link(kind="item", photos=("100000", "00008", "00007"), why="")])
    assert before == {"00007": "00007", "00008": "00007"}
    assert after["00007"] == after["100000"] == "00007"


photo_ids = st.integers(1, 30).map(lambda number: f"{number:05}")
pairs = st.lists(st.tuples(photo_ids, photo_ids), max_size=30)


@settings(deadline=None)
@given(pairs=pairs, order=st.randoms())
def test_chains_do_not_depend_on_the_order_of_photos_or_links(pairs, order) -> None:
    photos = [f"{number:05}" for number in range(1, 31)]
    links = [Link(kind="pixels", photos=pair, why="") for pair in pairs]
    expected = chains(photos, links)
    shuffled_photos, shuffled_links = list(photos), list(links)
    order.shuffle(shuffled_photos)
    order.shuffle(shuffled_links)
    assert chains(shuffled_photos, shuffled_links) == expected


@settings(deadline=None)
@given(st.lists(st.text(max_size=12), unique=True))
def test_every_id_has_a_place_in_the_order(ids) -> None:
    assert len({id_order(photo) for photo in ids}) == len(ids)


@pytest.fixture(scope="session")
def real_records(abid: Path) -> dict[str, BinRecord]:
    with tarfile.open(abid / "metadata.tar.gz") as archive:
        files = [(Path(member.name).stem, archive.extractfile(member)) for member in archive if member.isfile()]
        return {photo: BinRecord.from_abid_json(file.read(), photo=photo) for photo, file in files if file}


def test_real_twins_share_a_chain_and_no_chain_is_giant(real_records: dict[str, BinRecord]) -> None:
    """Twins are found here by the rule in plain words, not by the code under test."""
    seen = [Sighting(photo=photo, skus=found.skus) for photo, found in real_records.items()]
    chain_of = chains(real_records, find_links(seen))
    twins = [
        (a, b)
        for a, b in pairwise(sorted(real_records))
        if len(a) == len(b) and int(b) - int(a) <= 2 and real_records[a].skus & real_records[b].skus
    ]
    assert len(twins) > 4000
    assert all(chain_of[a] == chain_of[b] for a, b in twins)
    assert chain_sizes(chain_of)[0] < 0.01 * len(real_records)


def test_no_real_item_is_popular_yet(real_records: dict[str, BinRecord]) -> None:
    """The limit stands above what was measured, so that here every shared item links."""
    seen = [Sighting(photo=photo, skus=found.skus) for photo, found in real_records.items()]
    assert find_links(seen) == find_links(seen, popular_item=POPULAR_ITEM * 100)
