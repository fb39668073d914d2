"""Python's search for reference cycles: off while many objects are made, and afterwards as it was."""

import gc
from collections.abc import Iterator

import pytest

from binsight.dataset.bulk import no_garbage_collected
from binsight.dataset.chains import Sighting, find_links


@pytest.fixture(autouse=True)
def searching() -> Iterator[None]:
    gc.enable()
    yield
    gc.enable()


def test_nothing_is_searched_inside_and_all_is_as_before_afterwards() -> None:
    with no_garbage_collected():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ValueError, match="inside"), no_garbage_collected():
        raise ValueError("inside")
    assert gc.isenabled()


def test_one_who_switched_it_off_finds_it_off() -> None:
    gc.disable()
    with no_garbage_collected(), no_garbage_collected():
        assert not gc.isenabled()
    assert not gc.isenabled()


def test_links_of_many_photos_are_found_without_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    searches: list[str] = []
    monkeypatch.setattr(gc, "callbacks", [lambda phase, _: searches.append(phase)])
    sightings = [Sighting(photo=f"{number:06}", skus=frozenset({f"{number // 2}"})) for number in range(20_000)]
    gc.collect()
    searches.clear()
    assert len(find_links(sightings)) == 10_000
    assert not searches
