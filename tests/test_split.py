"""Splitting by chain: whole, repeatable, stable, and checked over the links alone."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import binsight.dataset.split as split_module
from binsight.dataset.chains import Link
from binsight.dataset.manifest import SPLITS
from binsight.dataset.split import assign, check_no_link_crosses, crossing, hashed_split, leaking, parse_shares
from binsight.errors import BadInput, GateFailed

SHARES = parse_shares("70/20/10")


def link(*photos: str) -> Link:
    return Link(kind="item", photos=photos, why="item a")


photo_ids = st.integers(0, 40).map(lambda number: f"{number:03}")
links = st.lists(st.lists(photo_ids, min_size=2, max_size=4, unique=True).map(lambda p: link(*p)), max_size=25)


@settings(deadline=None)
@given(photos=st.sets(photo_ids), links=links, seed=st.integers(0, 5))
def test_no_link_ever_crosses(photos, links, seed) -> None:
    assignment = assign(photos, links, shares=SHARES, seed=seed)
    assert assignment.split_of.keys() == photos
    for tied in links:
        assert len({assignment.split_of[photo] for photo in tied.photos if photo in photos}) <= 1


@settings(deadline=None)
@given(photos=st.sets(photo_ids), links=links, pinned=st.dictionaries(photo_ids, st.sampled_from(SPLITS)))
def test_no_link_crosses_where_splits_are_pinned_and_pinned_photos_stay(photos, links, pinned) -> None:
    leaks = leaking(links, pinned)
    pinned = {photo: split for photo, split in pinned.items() if photo not in leaks}
    assignment = assign(photos - leaks.keys(), links, shares=SHARES, seed=0, pinned=pinned)
    assert crossing(links, assignment.split_of) == []
    assert all(assignment.split_of[photo] == pinned[photo] for photo in photos & pinned.keys())
    assert not assignment.rejected.keys() & pinned.keys()
    assert assignment.split_of.keys() | assignment.rejected.keys() == photos - leaks.keys()


@settings(deadline=None)
@given(old=st.sets(photo_ids), new=st.sets(photo_ids), links=links)
def test_adding_photos_moves_none_of_a_dataset_that_is_extended(old, new, links) -> None:
    before = assign(old, links, shares=SHARES, seed=0).split_of
    after = assign(old | new, links, shares=SHARES, seed=0, pinned=before)
    assert {photo: after.split_of[photo] for photo in old} == before


@settings(deadline=None)
@given(old=st.sets(photo_ids), new=st.sets(photo_ids), links=links)
def test_adding_photos_moves_none_whose_chain_they_do_not_join(old, new, links) -> None:
    before = assign(old, links, shares=SHARES, seed=0)
    after = assign(old | new, links, shares=SHARES, seed=0)
    for photo in old:
        if after.chain_of[photo] == before.chain_of[photo]:
            assert after.split_of[photo] == before.split_of[photo]


def test_a_new_photo_that_ties_chains_of_different_splits_is_rejected_with_the_reason() -> None:
    pinned = {"001": "train", "005": "test"}
    tied = [link("001", "003"), link("003", "004"), link("004", "005")]
    assignment = assign(["001", "003", "004", "005"], tied, shares=SHARES, seed=0, pinned=pinned)
    assert assignment.split_of == {"001": "train", "003": "train", "005": "test"}
    assert assignment.rejected == {"004": "ties chains of different splits together: 001 (train) and 005 (test)"}


def test_a_list_of_photos_is_not_searched_for_each_one_that_has_its_split() -> None:
    class Searched(list[str]):
        def __contains__(self, _: object) -> bool:
            raise AssertionError("a million photos would be compared with a million")

    found = assign(Searched("abc"), [], shares=SHARES, seed=0, pinned={"a": "test", "gone": "val"})
    assert found.split_of["a"] == "test" and sorted(found.split_of) == ["a", "b", "c"]


def test_of_a_link_that_crosses_a_given_split_the_training_photos_give_way() -> None:
    given_split = {"1": "train", "2": "val", "3": "test", "4": "train", "5": "val"}
    leaks = leaking([link("1", "2", "3"), link("4", "5")], given_split)
    assert leaks.keys() == {"1", "2", "4"}
    assert leaks["1"] == "linked to 3 (test) by item a"


def test_shares_are_approached_as_photos_grow() -> None:
    for n, tolerance in ((1_000, 0.05), (100_000, 0.005)):
        found = [hashed_split(str(number), shares=SHARES, seed=3) for number in range(n)]
        for split in SPLITS:
            assert found.count(split) / n == pytest.approx(SHARES[split], abs=tolerance)


def test_the_split_of_a_chain_is_fixed_for_ever() -> None:
    """Golden: datasets that people made must come out the same from every later version."""

    def splits(seed: int) -> str:
        letters = {"train": "T", "val": "v", "test": "t"}
        return "".join(letters[hashed_split(f"{number:05}", shares=SHARES, seed=seed)] for number in range(1, 21))

    assert splits(seed=0) == "TTTTTTTTtvTtTvTtTvTT"
    assert splits(seed=1) != splits(seed=0)


def test_a_share_of_nothing_gets_nothing() -> None:
    shares = parse_shares("90/0/10")
    assert "val" not in {hashed_split(str(number), shares=shares, seed=0) for number in range(2_000)}


@pytest.mark.parametrize("text", ["70/20", "70/20/20", "a/b/c", "", "70/20/10/0", "-10/100/10", "70.5/19.5/10"])
def test_impossible_shares_are_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(BadInput, match="add up to 100"):
        parse_shares(text)


def test_the_gate_names_the_links_that_cross() -> None:
    with pytest.raises(GateFailed, match=r"1 links cross: 1 \(test\) – 2 \(train\) by item a. Mend it"):
        check_no_link_crosses([link("1", "2"), link("2", "3")], {"1": "test", "2": "train"}, mend="Mend it")


def test_the_gate_does_not_trust_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    """With chains built wrongly (every photo alone), the check over the links must notice."""
    monkeypatch.setattr(split_module, "chains", lambda photos, links: {photo: photo for photo in photos})
    photos = [f"{number:03}" for number in range(40)]
    tied = [link(a, b) for a, b in pairwise(photos)]
    assignment = assign(photos, tied, shares=SHARES, seed=0)
    with pytest.raises(GateFailed):
        check_no_link_crosses(tied, assignment.split_of, mend="")
